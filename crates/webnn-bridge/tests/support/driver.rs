//! A WebDriver endpoint without a browser: it tells which address it was asked to open, and so a test can be the page.

use axum::extract::State;
use axum::routing::{any, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

/// Starts the endpoint. The receiver gets each address that a session is asked to open.
pub async fn fake_driver() -> (Url, mpsc::UnboundedReceiver<Url>) {
    let (opened, addresses) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let app = Router::new()
        .route("/session", post(session))
        .route("/session/{id}/url", post(open))
        .fallback(any(|| async { Json(json!({ "value": "tab" })) }))
        .with_state(opened);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url.parse().expect("an address"), addresses)
}

async fn session() -> Json<Value> {
    Json(json!({ "value": { "sessionId": "1", "capabilities": { "browserVersion": "1.0" } } }))
}

async fn open(State(opened): State<mpsc::UnboundedSender<Url>>, Json(body): Json<Value>) -> Json<Value> {
    let url = body["url"].as_str().and_then(|url| url.parse().ok()).expect("an address");
    // Nobody listens once the test has what it wants.
    let _ = opened.send(url);
    Json(json!({ "value": null }))
}
