//! A collector over real TCP that answers as it is told and keeps what it gets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, perhaps with a `Retry-After`.
    Status(u16, Option<&'static str>),
    /// 200 with this body.
    Body(Bytes),
    /// Nothing, until the gate is opened; then 200.
    Wait,
}

#[derive(Default)]
struct Book {
    posts: HashMap<String, Vec<Post>>,
    answers: HashMap<String, VecDeque<Answer>>,
}

#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) url: Url,
    book: Arc<Mutex<Book>>,
    came: watch::Sender<()>,
    gate: watch::Sender<bool>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}/prefix", listener.local_addr().unwrap()).parse().unwrap();
        let collector =
            Self { url, book: Arc::default(), came: watch::Sender::new(()), gate: watch::Sender::new(false) };
        let app = Router::new().fallback(receive).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        collector
    }

    /// What the next request to `/prefix/v1/<signal>` that nothing is said about yet is answered with; otherwise 200.
    pub(crate) fn answer(&self, signal: &str, answer: Answer) {
        self.book.lock().unwrap().answers.entry(path(signal)).or_default().push_back(answer);
    }

    /// Lets the requests go on that wait, and all that come.
    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    pub(crate) fn posts(&self, signal: &str) -> Vec<Post> {
        self.book.lock().unwrap().posts.get(&path(signal)).cloned().unwrap_or_default()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn wait_for(&self, signal: &str, count: usize) -> Vec<Post> {
        let mut came = self.came.subscribe();
        let all = async {
            while self.posts(signal).len() < count {
                came.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), all).await;
        assert!(found.is_ok(), "{signal}: {} of {count} requests came", self.posts(signal).len());
        self.posts(signal)
    }
}

fn path(signal: &str) -> String {
    format!("/prefix/v1/{signal}")
}

async fn receive(State(collector): State<Collector>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut book = collector.book.lock().unwrap();
        let post = Post { headers, body, at: Instant::now() };
        book.posts.entry(uri.path().to_owned()).or_default().push(post);
        book.answers.get_mut(uri.path()).and_then(VecDeque::pop_front)
    };
    collector.came.send_replace(());
    match answer {
        None => StatusCode::OK.into_response(),
        Some(Answer::Body(body)) => body.into_response(),
        Some(Answer::Status(status, retry_after)) => {
            let status = StatusCode::from_u16(status).unwrap();
            match retry_after {
                Some(after) => (status, [("retry-after", after)]).into_response(),
                None => status.into_response(),
            }
        }
        Some(Answer::Wait) => {
            let _ = collector.gate.subscribe().wait_for(|open| *open).await;
            StatusCode::OK.into_response()
        }
    }
}
