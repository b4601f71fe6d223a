//! A client that is no browser: it says of itself what a test has it say.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a connection says of itself.
#[derive(Clone)]
pub struct Claim<'a> {
    pub path: &'a str,
    pub origin: Option<&'a str>,
    pub host: Option<&'a str>,
    pub protocols: Option<String>,
}

/// Opens a WebSocket; the error is the status of the refusal.
pub async fn connect(origin: &str, claim: Claim<'_>) -> Result<Socket, u16> {
    let url = format!("{}{}", origin.replacen("http", "ws", 1), claim.path);
    let mut request = url.into_client_request().expect("a request");
    let headers = request.headers_mut();
    let mut set = |name: &'static str, value: Option<&str>| {
        if let Some(value) = value {
            headers.insert(name, value.parse().expect("a value"));
        }
    };
    set("origin", claim.origin);
    set("host", claim.host);
    set("sec-websocket-protocol", claim.protocols.as_deref());
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Everything right about a claim of this path.
pub fn honest<'a>(origin: &'a str, token: &str, path: &'a str) -> Claim<'a> {
    Claim { path, origin: Some(origin), host: None, protocols: Some(format!("webnn-pool.1, token.{token}")) }
}

pub fn hello(protocol: u32) -> Message {
    let hello = json!({
        "type": "hello", "protocol": protocol, "user_agent": "a test", "cross_origin_isolated": true,
        "secure_context": true, "hardware_concurrency": 1, "device_memory_gib": null,
    });
    Message::text(hello.to_string())
}

/// Reads until the connection closes, and gives the code.
pub async fn close_code(socket: &mut Socket) -> Option<u16> {
    let reading = async {
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
    };
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("the host closes")
}

#[track_caller]
pub fn refused(what: &str, result: Result<Socket, u16>, status: u16) {
    assert_eq!(result.map(drop), Err(status), "{what}");
}

/// The head of the answer to a request, as it stands on the wire: no client tidies its path.
pub async fn get(origin: &str, path: &str, headers: &str) -> String {
    let address = origin.strip_prefix("http://").expect("an origin");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    String::from_utf8_lossy(&answer[..end]).to_lowercase()
}

/// Posts JSON, and gives the status and the answer, which may be plain text.
pub async fn post(origin: &str, path: &str, claimed: Option<&str>, body: &Value) -> (u16, Value) {
    let address = origin.strip_prefix("http://").expect("an origin");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let body = body.to_string();
    let from = claimed.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{from}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
}
