//! A proxy between browsers and host: its connections can be cut, and it puts a hook into the scripts of pages.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::hooks::{Hooks, Role};

/// The longest head of a request or a response.
const HEAD: usize = 64 * 1024;

/// Passes requests on, one a connection, and WebSockets until they are cut.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    /// Where it passes things on to.
    pub to: SocketAddr,
    pub hooks: Arc<Hooks>,
    cut: Arc<watch::Sender<String>>,
    open: Arc<Open>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy to this address.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut = Arc::new(watch::Sender::new(String::new()));
        let hooks = Arc::new(Hooks::default());
        let open = Arc::new(Open::default());
        let (cuts, shared, counted) = (Arc::clone(&cut), Arc::clone(&hooks), Arc::clone(&open));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((inner, _)) = listener.accept().await else { return };
                let (cut, hooks, open) = (cuts.subscribe(), Arc::clone(&shared), Arc::clone(&counted));
                // A browser that breaks off has its reasons.
                connections.spawn(async move { drop(serve(inner, to, &hooks, cut, &open).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, to, hooks, cut, open, task }
    }

    /// Cuts the WebSockets of the page with this label, and says how many there were.
    pub fn cut(&self, label: &str) -> usize {
        let Some(token) = self.hooks.token(label) else { return 0 };
        let open = self.open.count(&token);
        self.cut.send_replace(token);
        open
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How many WebSockets are open, by their pages' tokens.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<String, usize>>);

/// One that is open, until it is dropped.
struct Counted<'a>(&'a Open, &'a str);

impl Open {
    fn count(&self, token: &str) -> usize {
        self.0.lock().get(token).copied().unwrap_or_default()
    }

    fn one<'a>(&'a self, token: &'a str) -> Counted<'a> {
        *self.0.lock().entry(token.to_owned()).or_default() += 1;
        Counted(self, token)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0.0.lock().get_mut(self.1) {
            *count -= 1;
        }
    }
}

/// The head of an HTTP message, and what came with it.
struct Head {
    text: String,
    rest: Vec<u8>,
}

impl Head {
    async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                let text = String::from_utf8(bytes).map_err(io::Error::other)?;
                return Ok(Self { text, rest });
            }
            if bytes.len() > HEAD || stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn path(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The same with this line instead of the one of this name.
    fn with(&self, name: &str, value: &str) -> String {
        let kept = self
            .text
            .trim_end()
            .split("\r\n")
            .filter(|line| line.split_once(':').is_none_or(|(key, _)| !key.eq_ignore_ascii_case(name)));
        let mut text = kept.collect::<Vec<_>>().join("\r\n");
        text.push_str(&format!("\r\n{name}: {value}\r\n\r\n"));
        text
    }
}

async fn serve(
    mut inner: TcpStream,
    to: SocketAddr,
    hooks: &Hooks,
    mut cut: watch::Receiver<String>,
    open: &Open,
) -> io::Result<()> {
    inner.set_nodelay(true)?;
    let head = Head::read(&mut inner).await?;
    if head.path().starts_with("/chaos/") {
        return obey(inner, hooks, head.path()).await;
    }
    let mut outer = TcpStream::connect(to).await?;
    outer.set_nodelay(true)?;
    if head.value("upgrade").is_some() {
        outer.write_all(head.text.as_bytes()).await?;
        outer.write_all(&head.rest).await?;
        let protocols = head.value("sec-websocket-protocol").unwrap_or_default();
        let token = protocols.split("token.").nth(1).unwrap_or_default().to_owned();
        let _counted = open.one(&token);
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
            () = is_cut(&mut cut, &token) => {}
        }
        return Ok(());
    }
    // One request a connection: so nobody has to know where a response ends.
    outer.write_all(head.with("connection", "close").as_bytes()).await?;
    outer.write_all(&head.rest).await?;
    let length = head.value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_u64);
    let left = length.saturating_sub(head.rest.len() as u64);
    tokio::io::copy(&mut (&mut inner).take(left), &mut outer).await?;
    if let Some(role) = Role::of_script(head.path()) {
        let head = Head::read(&mut outer).await?;
        let mut body = role.hook().into_bytes();
        body.extend_from_slice(&head.rest);
        outer.read_to_end(&mut body).await?;
        inner.write_all(head.with("content-length", &body.len().to_string()).as_bytes()).await?;
        inner.write_all(&body).await?;
    } else {
        tokio::io::copy(&mut outer, &mut inner).await?;
    }
    inner.shutdown().await
}

/// Waits until connections with this token are cut.
async fn is_cut(cut: &mut watch::Receiver<String>, token: &str) {
    while cut.changed().await.is_ok() {
        if !token.is_empty() && *cut.borrow_and_update() == token {
            return;
        }
    }
}

/// Answers what a hook asks, unless it goes away.
async fn obey(mut inner: TcpStream, hooks: &Hooks, path: &str) -> io::Result<()> {
    let mut nothing = [0];
    let answer = tokio::select! {
        answer = hooks.answer(path) => answer,
        _ = inner.peek(&mut nothing) => return Ok(()),
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nConnection: close\r\n\
                Cross-Origin-Resource-Policy: same-origin\r\n";
    inner.write_all(format!("{head}Content-Length: {}\r\n\r\n{answer}", answer.len()).as_bytes()).await?;
    inner.shutdown().await
}

/// A port that was free a moment ago.
pub fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address")
}
