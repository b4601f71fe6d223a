//! A model at an address, served by a server of the test's own.

use std::net::Ipv4Addr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use url::Url;
use vocab::ModelHash;
use webnn_pool::{ModelError, ModelSpec, ResolvedModel};

const BUDGET: u64 = 1 << 30;

/// The golden model's file, which the page carries.
fn golden() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/micro/golden-f32/model.onnx");
    std::fs::read(path).expect("the golden model")
}

fn hash(of: &[u8]) -> ModelHash {
    ModelHash(Sha256::digest(of).into())
}

/// Serves the golden model, and asks for `path` with this hash.
async fn fetch(path: &str, hash: ModelHash) -> Result<ResolvedModel, ModelError> {
    let app = Router::new()
        .route("/models/golden.onnx", get(|| async { golden() }))
        .route("/text.onnx", get(|| async { "hello" }))
        .route("/gone.onnx", get(|| async { StatusCode::GONE }));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let url = Url::parse(&format!("http://{address}{path}")).expect("an address");
    let got = ResolvedModel::read(ModelSpec::url(url, hash), BUDGET).await;
    server.abort();
    got
}

#[tokio::test]
async fn what_has_the_right_hash_is_a_model() {
    let wanted = hash(&golden());
    let model = fetch("/models/golden.onnx", wanted).await.expect("a model");
    assert_eq!((model.name(), model.hash()), ("golden.onnx", wanted));
    assert!(model.signature().input("x").is_some());
}

#[tokio::test]
async fn what_has_another_hash_is_refused() {
    let wanted = hash(b"what we wanted");
    let got = fetch("/models/golden.onnx", wanted).await;
    let right = matches!(&got, Err(ModelError::WrongHash { got, wanted: w, .. }) if (*got, *w) == (hash(&golden()), wanted));
    assert!(right, "{got:?}");
}

/// What was not asked for is not even read as a model.
#[tokio::test]
async fn the_hash_is_compared_before_anything_is_parsed() {
    let got = fetch("/text.onnx", hash(b"what we wanted")).await;
    assert!(matches!(got, Err(ModelError::WrongHash { .. })), "{got:?}");
    let got = fetch("/text.onnx", hash(b"hello")).await;
    assert!(matches!(got, Err(ModelError::Onnx { .. })), "{got:?}");
}

#[tokio::test]
async fn what_the_server_does_not_give_is_an_error_with_the_address() {
    for path in ["/gone.onnx", "/nowhere.onnx"] {
        let got = fetch(path, hash(&golden())).await;
        assert!(matches!(&got, Err(ModelError::Download { url, .. }) if url.ends_with(path)), "{got:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = Url::parse(&format!("http://{}/m.onnx", listener.local_addr().expect("an address")))
        .expect("an address");
    drop(listener);
    let got = ResolvedModel::read(ModelSpec::url(url, hash(b"")), BUDGET).await;
    assert!(matches!(got, Err(ModelError::Download { .. })), "{got:?}");
}
