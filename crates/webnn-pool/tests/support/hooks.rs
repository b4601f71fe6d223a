//! What a test asks of the threads of a page, through the hook that the proxy puts into its scripts.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A thread of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The main thread.
    Page,
    /// The one that computes.
    Engine,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Engine => "engine",
        }
    }

    /// The thread whose script this is.
    pub fn of_script(path: &str) -> Option<Self> {
        match path.split('?').next() {
            Some("/page/page.js") => Some(Self::Page),
            Some("/page/engine-worker.js") => Some(Self::Engine),
            _ => None,
        }
    }

    /// What is put before its script.
    pub fn hook(self) -> String {
        include_str!("hook.js").replace("ROLE", self.name())
    }
}

/// How long a thread may leave a question open before it is answered with nothing.
const POLL: Duration = Duration::from_secs(20);
/// How long a thread may take to ask, and then to say that it obeys.
const OBEYS: Duration = Duration::from_secs(3);
/// How often it is asked.
const TRIES: usize = 4;

/// The threads that ask for something to do, and what they were told.
#[derive(Debug, Default)]
pub struct Hooks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The token of the newest page with each label.
    tokens: HashMap<String, String>,
    asking: HashMap<(&'static str, String), oneshot::Sender<String>>,
    told: HashMap<u64, oneshot::Sender<Instant>>,
    count: u64,
}

impl Hooks {
    /// Answers a request below `/chaos/`.
    pub async fn answer(&self, path: &str) -> String {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["chaos", "poll", "page", token, label] => {
                self.0.lock().tokens.insert((*label).to_owned(), (*token).to_owned());
                self.poll(Role::Page, token).await
            }
            ["chaos", "poll", "engine", token, _] => self.poll(Role::Engine, token).await,
            ["chaos", "done", n] => {
                let waits = n.parse().ok().and_then(|n: u64| self.0.lock().told.remove(&n));
                if let Some(waits) = waits {
                    let _ = waits.send(Instant::now());
                }
                "{}".to_owned()
            }
            _ => "{}".to_owned(),
        }
    }

    async fn poll(&self, role: Role, token: &str) -> String {
        let (sender, asked) = oneshot::channel();
        self.0.lock().asking.insert((role.name(), token.to_owned()), sender);
        match tokio::time::timeout(POLL, asked).await {
            Ok(Ok(deed)) => deed,
            _ => "{}".to_owned(),
        }
    }

    /// Calls the page of an engine that asks by this label, where it is no page that has said its own: a guest's has none
    /// that is known beforehand.
    pub fn adopt(&self, label: &str) -> bool {
        let mut state = self.0.lock();
        let known: Vec<String> = state.tokens.values().cloned().collect();
        let engine = Role::Engine.name();
        let mut asking = state.asking.iter().filter(|((role, _), asks)| *role == engine && !asks.is_closed());
        let found =
            asking.find(|((_, token), _)| !known.contains(token)).map(|((_, token), _)| token.clone());
        found.is_some_and(|token| state.tokens.insert(label.to_owned(), token).is_none())
    }

    /// The token of the page with this label.
    pub fn token(&self, label: &str) -> Option<String> {
        self.0.lock().tokens.get(label).cloned()
    }

    /// Has a thread do something. Answers when it began.
    pub async fn command(&self, label: &str, role: Role, deed: &str) -> Result<Instant, String> {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..TRIES {
            let since = Instant::now();
            let asking = loop {
                looks.tick().await;
                let mut state = self.0.lock();
                let token = state.tokens.get(label).cloned();
                let asking = token.and_then(|token| state.asking.remove(&(role.name(), token)));
                // One whose thread has ended meanwhile is of no use.
                match asking.filter(|asking| !asking.is_closed()) {
                    Some(asking) => break Some(asking),
                    None if since.elapsed() > OBEYS => break None,
                    None => {}
                }
            };
            let Some(asking) = asking else { continue };
            let (sender, done) = oneshot::channel();
            let n = {
                let mut state = self.0.lock();
                state.count += 1;
                let n = state.count;
                state.told.insert(n, sender);
                n
            };
            let _ = asking.send(format!("{{\"n\":{n},\"deed\":\"{deed}\"}}"));
            if let Ok(Ok(began)) = tokio::time::timeout(OBEYS, done).await {
                return Ok(began);
            }
        }
        Err(format!("the {} thread of {label} does not do as it is told: {deed}", role.name()))
    }
}
