//! Who may connect, what is refused and how, and that a page that does not keep to the protocol is ended.

mod support;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use support::{
    Backend, BrowserName, Claim, close_code, connect, fake_driver, get, hello, honest, refused, rig, runtime,
};
use tokio_tungstenite::tungstenite::Message;
use webnn_bridge::{Bridge, BridgeConfig, BrowserSource, LaunchError, LaunchSpec, LaunchedBrowser, Page};

type Launched = Option<Result<(LaunchedBrowser, Page), LaunchError>>;

/// Plays `scenario` as the page of a launch, whose token it is given. Returns what became of the launch by its end.
async fn as_page(bridge: &Bridge, scenario: impl AsyncFnOnce(&str)) -> Launched {
    let (url, mut opened) = fake_driver().await;
    let source = BrowserSource::Remote { url, capabilities: serde_json::Map::new() };
    let mut spec = LaunchSpec::new(BrowserName::Chrome, source);
    spec.backends = vec![Backend::Wasm];
    let launch = bridge.launch(spec);
    let scenario = async {
        let page = opened.recv().await.expect("the page's address");
        assert_eq!((page.path(), page.query()), ("/page/", None), "a token in the query would stand in logs");
        let token = page.fragment().and_then(|fragment| fragment.strip_prefix("token=")).expect("a token");
        assert_eq!(token.len(), 64, "256 bits");
        scenario(token).await;
    };
    tokio::pin!(launch, scenario);
    let mut launched = None;
    loop {
        tokio::select! {
            biased;
            result = &mut launch, if launched.is_none() => launched = Some(result),
            () = &mut scenario => return launched,
        }
    }
}

async fn bridge() -> Bridge {
    Bridge::start(BridgeConfig::new(runtime())).await.expect("a bridge")
}

#[tokio::test]
async fn connections_that_are_not_a_page_of_ours_are_refused() {
    let bridge = bridge().await;
    let origin = bridge.origin().to_owned();
    let ended = std::sync::Mutex::new(String::new());
    as_page(&bridge, async |token| {
        token.clone_into(&mut ended.lock().expect("a lock"));
        for path in ["/ws/control", "/ws/data/wasm"] {
            let good = honest(&origin, token, path);
            let with = |protocols: &str| Claim { protocols: Some(protocols.to_owned()), ..good.clone() };
            refused("no token", connect(&origin, with("webnn-pool.1")).await, 401);
            refused("a wrong token", connect(&origin, with("webnn-pool.1, token.0123")).await, 401);
            refused("no subprotocol", connect(&origin, Claim { protocols: None, ..good.clone() }).await, 400);
            refused(
                "another subprotocol",
                connect(&origin, with(&format!("webnn-pool.2, token.{token}"))).await,
                400,
            );
            refused(
                "a foreign origin",
                connect(&origin, Claim { origin: Some("http://evil.example"), ..good.clone() }).await,
                403,
            );
            refused("no origin", connect(&origin, Claim { origin: None, ..good.clone() }).await, 403);
            refused(
                "another host",
                connect(&origin, Claim { host: Some("evil.example"), ..good.clone() }).await,
                421,
            );
        }
        refused("data before control", connect(&origin, honest(&origin, token, "/ws/data/wasm")).await, 409);
        refused("no such backend", connect(&origin, honest(&origin, token, "/ws/data/cuda")).await, 404);
        connect(&origin, honest(&origin, token, "/ws/control")).await.expect("an honest page connects");
    })
    .await;
    let ended = ended.into_inner().expect("a lock");
    refused(
        "the token of an ended launch",
        connect(&origin, honest(&origin, &ended, "/ws/control")).await,
        401,
    );
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_page_of_another_version_is_refused() {
    let bridge = bridge().await;
    let origin = bridge.origin().to_owned();
    let launched = as_page(&bridge, async |token| {
        let mut socket = connect(&origin, honest(&origin, token, "/ws/control")).await.expect("a connection");
        socket.send(hello(2)).await.expect("a hello");
        assert_eq!(close_code(&mut socket).await, Some(4400));
    })
    .await;
    if let Some(result) = launched {
        assert!(matches!(result, Err(LaunchError::PageEnded { .. })), "{result:?}");
    }
    bridge.shutdown().await;
}

/// Says hello, opens a data connection, sends `bytes` on it, and expects to be shown out.
async fn data_of_a_liar(bytes: &[u8]) {
    let bridge = bridge().await;
    let origin = bridge.origin().to_owned();
    as_page(&bridge, async |token| {
        let mut control =
            connect(&origin, honest(&origin, token, "/ws/control")).await.expect("a connection");
        control.send(hello(1)).await.expect("a hello");
        let welcome = control.next().await.expect("a welcome").expect("a welcome");
        assert!(welcome.to_text().is_ok_and(|text| text.contains("\"welcome\"")), "{welcome:?}");
        let mut data = connect(&origin, honest(&origin, token, "/ws/data/wasm")).await.expect("a connection");
        data.send(Message::binary(bytes.to_vec())).await.expect("a frame");
        assert_eq!(close_code(&mut control).await, Some(4400));
    })
    .await;
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_garbage_frame_ends_the_page() {
    data_of_a_liar(&[0x55; 40]).await;
}

#[tokio::test]
async fn a_claim_of_three_gigabytes_in_ten_bytes_ends_the_page() {
    data_of_a_liar(b"WNF1\x82\0\x01\0\x01\0").await;
    let mut claim = vec![0; 32];
    claim[..4].copy_from_slice(b"WNF1");
    claim[24..].copy_from_slice(&(3_u64 << 30).to_le_bytes());
    data_of_a_liar(&claim).await;
}

#[tokio::test]
async fn files_outside_the_lists_are_not_served() {
    let bridge = bridge().await;
    let origin = bridge.origin().to_owned();
    let version = runtime().version;
    for path in [
        "/page/../Cargo.toml",
        "/page/..%2f..%2fCargo.toml",
        "/page/golden/../../Cargo.toml",
        "/page/%2e%2e/%2e%2e/etc/passwd",
        "/page//etc/passwd",
        "/",
        "/etc/passwd",
        &format!("/runtime/{version}/..%2f..%2fstamp.json"),
        &format!("/runtime/{version}/../../../etc/passwd"),
        "/runtime/..%2f..%2fetc/passwd",
    ] {
        let answer = get(&origin, path, "").await;
        assert!(answer.starts_with("http/1.1 404"), "{path}: {answer}");
    }
    let hash = "0".repeat(64);
    let answer = get(&origin, &format!("/models/{hash}"), "").await;
    assert!(answer.starts_with("http/1.1 401"), "a model without a token: {answer}");
    let answer = get(&origin, &format!("/models/{hash}"), "Authorization: Bearer 0123\r\n").await;
    assert!(answer.starts_with("http/1.1 401"), "a model with a wrong token: {answer}");
    bridge.shutdown().await;
}

#[tokio::test]
async fn every_answer_carries_its_policies() {
    let bridge = bridge().await;
    let origin = bridge.origin().to_owned();
    for path in ["/page/", "/page/page.js", "/page/engine-worker.js", "/nowhere"] {
        let answer = get(&origin, path, "").await;
        for header in [
            "cross-origin-opener-policy: same-origin",
            "cross-origin-embedder-policy: require-corp",
            "cross-origin-resource-policy: same-origin",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(header), "{path} lacks {header}: {answer}");
        }
        if path.starts_with("/page/") {
            assert!(
                answer.contains(
                    "content-security-policy: default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"
                ),
                "{path}: {answer}"
            );
        }
    }
    let eval = get(&origin, "/page/engine-worker.js?eval=1", "").await;
    assert!(eval.contains("'unsafe-eval'"), "{eval}");
    let not_this = get(&origin, "/page/?eval=1", "").await;
    assert!(!not_this.contains("'unsafe-eval'"), "{not_this}");
    bridge.shutdown().await;
}

#[tokio::test]
async fn a_real_page_is_not_disturbed_by_strangers() {
    let rig = rig(BrowserName::Firefox, &[Backend::Wasm]).await;
    let origin = rig.bridge.origin().to_owned();
    for path in ["/ws/control", "/ws/data/wasm"] {
        refused("a stranger", connect(&origin, honest(&origin, "0123", path)).await, 401);
    }
    let answer = get(&origin, "/page/../../etc/passwd", "").await;
    assert!(answer.starts_with("http/1.1 404"), "{answer}");
    assert_eq!(rig.page.echo(Backend::Wasm, &[], Duration::from_secs(5)).await, Ok(Vec::new()));
    rig.end().await;
}
