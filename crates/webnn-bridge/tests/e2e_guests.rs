//! Who comes in as a guest and who does not: codes, tokens, origins and files, before a client that says whatever it likes.

mod support;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use support::{Claim, Socket, close_code, connect, get, hello, honest, post, refused, runtime, until};
use telemetry::GuestRefusal;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use vocab::ModelHash;
use webnn_bridge::{Bridge, BridgeConfig, Guest, GuestModel, GuestNews, InviteError, JoinConfig, Wish};

struct Rig {
    bridge: Bridge,
    origin: String,
    news: mpsc::Receiver<GuestNews>,
}

impl Rig {
    async fn open(set: impl FnOnce(&mut JoinConfig)) -> Self {
        let mut join = JoinConfig::default();
        set(&mut join);
        let mut config = BridgeConfig::new(runtime());
        config.limits.resume_grace = Duration::from_millis(100);
        config.join = Some(join);
        let bridge = Bridge::start(config).await.expect("a bridge");
        let news = bridge.guest_news().expect("guests are let in");
        assert!(bridge.guest_news().is_none(), "they are told to one");
        Self { origin: bridge.origin().to_owned(), bridge, news }
    }

    fn code(&self) -> String {
        let invitation = self.bridge.invite().expect("a code");
        let url = invitation.url.clone();
        assert_eq!(url, format!("{}/join#code={}", self.origin, invitation.code));
        invitation.code.to_string()
    }

    async fn ask(&self, path: &str, body: Value) -> (u16, Value) {
        post(&self.origin, path, Some(&self.origin), &body).await
    }

    /// Comes in with a new code. Gives the guest and its first token.
    async fn come_in(&mut self) -> (Guest, String) {
        self.come_in_by(&self.code()).await
    }

    async fn come_in_by(&mut self, code: &str) -> (Guest, String) {
        let (status, told) = self.ask("/join/enter", json!({ "code": code })).await;
        assert_eq!(status, 200, "{told}");
        match self.news.recv().await {
            Some(GuestNews::Came(guest)) => (guest, text(&told["token"])),
            other => panic!("{other:?}"),
        }
    }

    /// Connects with a token, and says hello. Gives the connection and what the welcome brings.
    async fn enter(&self, token: &str) -> (Socket, Value) {
        let mut socket =
            connect(&self.origin, honest(&self.origin, token, "/ws/control")).await.expect("a connection");
        socket.send(hello(1)).await.expect("a hello");
        let welcome = socket.next().await.expect("a welcome").expect("a welcome");
        (socket, serde_json::from_str(welcome.to_text().expect("text")).expect("JSON"))
    }

    /// Connects with a token, says hello, and is shown out again with this code.
    async fn shown_out(&self, token: &str, code: u16) {
        let mut socket =
            connect(&self.origin, honest(&self.origin, token, "/ws/control")).await.expect("a connection");
        socket.send(hello(1)).await.expect("a hello");
        assert_eq!(close_code(&mut socket).await, Some(code));
    }

    /// What was refused since this was asked last, in order.
    fn refusals(&mut self) -> Vec<GuestRefusal> {
        let mut all = Vec::new();
        while let Ok(news) = self.news.try_recv() {
            match news {
                GuestNews::Refused(why) => all.push(why),
                other => panic!("{other:?}"),
            }
        }
        all
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_code_is_good_once_for_a_while_and_for_our_own_page() {
    let mut rig = Rig::open(|join| {
        join.code_lifetime = Duration::from_millis(1_500);
        join.max_codes = 2;
        join.pool = "a pool".to_owned();
    })
    .await;
    rig.bridge.set_guest_models(vec![GuestModel::new("minilm", 90 << 20, vec![ModelHash([1; 32])])], &[]);
    let code = rig.code();
    let foreign =
        post(&rig.origin, "/join/enter", Some("https://evil.example"), &json!({ "code": code })).await;
    assert_eq!((foreign.0, foreign.1["refused"].as_str()), (403, Some("foreign_origin")));
    let nobody = post(&rig.origin, "/join/enter", None, &json!({ "code": code })).await;
    assert_eq!(nobody.0, 403, "a program that says no origin is no page of ours");
    // Looking does not use it up; it says what there is to be known before anything is done.
    for _ in 0..2 {
        let (status, terms) = rig.ask("/join/terms", json!({ "code": code })).await;
        assert_eq!(status, 200, "{terms}");
        assert_eq!(terms["pool"], "a pool");
        assert_eq!(terms["models"], json!([{ "name": "minilm", "bytes": 90 << 20 }]));
    }
    let (status, _) = rig.ask("/join/enter", json!({ "code": code.to_lowercase().replace('-', " ") })).await;
    assert_eq!(status, 200);
    assert!(matches!(rig.news.recv().await, Some(GuestNews::Refused(GuestRefusal::ForeignOrigin))));
    assert!(matches!(rig.news.recv().await, Some(GuestNews::Refused(GuestRefusal::ForeignOrigin))));
    assert!(matches!(rig.news.recv().await, Some(GuestNews::Came(_))));
    let expiring = rig.code();
    rig.code();
    assert_eq!(rig.bridge.invite(), Err(InviteError::TooMany { open: 2 }));
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    for (code, status, refused) in [
        (code.as_str(), 410, "used_code"),
        (&expiring, 410, "expired_code"),
        ("ZZZZ-ZZZZ", 403, "wrong_code"),
    ] {
        for path in ["/join/terms", "/join/enter"] {
            let answer = rig.ask(path, json!({ "code": code })).await;
            assert_eq!((answer.0, answer.1["refused"].as_str()), (status, Some(refused)), "{answer:?}");
            assert!(text(&answer.1["message"]).contains("another one"), "it says what to do: {answer:?}");
        }
    }
    use GuestRefusal::{ExpiredCode, UsedCode, WrongCode};
    assert_eq!(rig.refusals(), [UsedCode, UsedCode, ExpiredCode, ExpiredCode, WrongCode, WrongCode]);
    // Whoever guesses on is made to wait, with a right code too.
    let right = rig.code();
    for _ in 0..2 {
        rig.ask("/join/terms", json!({ "code": "0" })).await;
    }
    let answer = rig.ask("/join/enter", json!({ "code": right })).await;
    assert_eq!((answer.0, answer.1["refused"].as_str()), (429, Some("too_many_attempts")), "{answer:?}");
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn guests_have_places_and_a_code_is_not_used_up_for_nothing() {
    let mut rig = Rig::open(|join| join.max_guests = 1).await;
    let (guest, _) = rig.come_in().await;
    let code = rig.code();
    let answer = rig.ask("/join/enter", json!({ "code": code })).await;
    assert_eq!((answer.0, answer.1["refused"].as_str()), (503, Some("full")), "{answer:?}");
    drop(guest);
    assert_eq!(rig.ask("/join/enter", json!({ "code": code })).await.0, 200);
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn a_token_opens_one_connection_and_what_was_copied_opens_none() {
    let mut rig = Rig::open(|_| {}).await;
    let (guest, first) = rig.come_in().await;
    let (mut page, welcome) = rig.enter(&first).await;
    assert_eq!(welcome["type"], "welcome");
    let (second, key) = (text(&welcome["token"]), text(&welcome["key"]));
    assert!(first != second && second != key && key.len() == 64);
    // While the first is there, no other comes in: neither with what let it in, nor with what will.
    rig.shown_out(&first, 4409).await;
    rig.shown_out(&second, 4409).await;
    // What opens a control connection opens nothing else.
    let data = |token: &str| honest(&rig.origin, token, "/ws/data/wasm");
    refused("the first token", connect(&rig.origin, data(&first)).await, 401);
    refused("the second token", connect(&rig.origin, data(&second)).await, 401);
    let control = honest(&rig.origin, &key, "/ws/control");
    refused("the key", connect(&rig.origin, control).await, 401);
    connect(&rig.origin, data(&key)).await.expect("the page's own engine connects");
    // The page has spoken: what let it in is over.
    page.send(Message::text(r#"{"type":"pong","n":0}"#)).await.expect("a word");
    let origin = rig.origin.clone();
    let over = async || {
        loop {
            let claim = honest(&origin, &first, "/ws/control");
            match connect(&origin, claim).await {
                Err(status) => break status,
                Ok(mut socket) => drop(socket.close(None).await),
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), over()).await, Ok(401));
    let (_, why) = rig.ask("/join/why", json!({ "token": first })).await;
    assert_eq!((&why["good"], text(&why["why"]).as_str()), (&json!(false), "it has let a tab in already"));
    assert_eq!(rig.ask("/join/why", json!({ "token": second })).await.1["good"], true);
    // A reload: the page goes, and comes with the second token.
    page.close(None).await.expect("it goes");
    until("it is gone", Duration::from_secs(5), || !guest.is_connected()).await;
    let (mut page, welcome) = rig.enter(&second).await;
    assert_eq!(welcome["resumed"], false);
    let (third, new_key) = (text(&welcome["token"]), text(&welcome["key"]));
    assert_ne!(key, new_key, "a fresh page has a key of its own");
    refused("the key of the page before", connect(&rig.origin, data(&key)).await, 401);
    // It says goodbye; then nothing that it had is good for anything.
    page.send(Message::text(r#"{"type":"leave"}"#)).await.expect("a word");
    guest.wishes().wait_for(|wish| *wish == Wish::Leave).await.expect("it is heard");
    guest.goodbye();
    assert_eq!(close_code(&mut page).await, Some(4000));
    for token in [&first, &second, &third, &key, &new_key] {
        for path in ["/ws/control", "/ws/data/wasm"] {
            let claim = honest(&rig.origin, token, path);
            refused("after the goodbye", connect(&rig.origin, claim).await, 401);
        }
    }
    let (_, why) = rig.ask("/join/why", json!({ "token": third })).await;
    assert_eq!(text(&why["why"]), "the guest has left");
    let refusals = rig.refusals();
    assert!(
        !refusals.is_empty() && refusals.iter().all(|why| *why == GuestRefusal::ReplayedToken),
        "{refusals:?}"
    );
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn one_that_is_put_out_is_told_why_and_does_not_come_again() {
    let mut rig = Rig::open(|_| {}).await;
    let (guest, first) = rig.come_in().await;
    let (mut page, welcome) = rig.enter(&first).await;
    guest.put_out("its numbers are wrong");
    assert_eq!(close_code(&mut page).await, Some(4403));
    let second = text(&welcome["token"]);
    refused("it", connect(&rig.origin, honest(&rig.origin, &second, "/ws/control")).await, 401);
    let (_, why) = rig.ask("/join/why", json!({ "token": second })).await;
    assert_eq!(text(&why["why"]), "the guest was put out: its numbers are wrong");
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn guests_get_the_files_that_are_allowed_and_hear_of_no_others() {
    let mut rig = Rig::open(|_| {}).await;
    let (allowed, golden, other) = (ModelHash([1; 32]), ModelHash([2; 32]), ModelHash([3; 32]));
    rig.bridge.set_guest_models(vec![GuestModel::new("a", 1, vec![allowed])], &[golden]);
    let (_guest, first) = rig.come_in().await;
    let (_page, welcome) = rig.enter(&first).await;
    let key = text(&welcome["key"]);
    let ask = async |hash: &str, token: &str| {
        let answer =
            get(&rig.origin, &format!("/models/{hash}"), &format!("Authorization: Bearer {token}\r\n")).await;
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    // None of them is on offer now; whether one that is not allowed exists is not told.
    assert_eq!(ask(&allowed.to_string(), &key).await, "404");
    assert_eq!(ask(&golden.to_string(), &key).await, "404");
    assert_eq!(ask(&other.to_string(), &key).await, "403");
    assert_eq!(ask("../../etc/passwd", &key).await, "404");
    assert_eq!(ask("nonsense", &key).await, "404");
    assert_eq!(ask(&allowed.to_string(), &first).await, "401", "a token is no key");
    rig.bridge.set_guest_models(Vec::new(), &[golden]);
    assert_eq!(ask(&allowed.to_string(), &key).await, "403");
    assert_eq!(rig.refusals(), [GuestRefusal::ModelNotAllowed; 2]);
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn foreign_pages_and_names_are_refused_and_the_public_origin_is_ours() {
    let mut rig = Rig::open(|join| join.public_origin = Some("https://pool.example".to_owned())).await;
    let invitation = rig.bridge.invite().expect("a code");
    assert_eq!(invitation.url, format!("https://pool.example/join#code={}", invitation.code));
    let (guest, first) = rig.come_in_by(&invitation.code.to_string()).await;
    for origin in ["https://evil.example", "http://pool.example", "null"] {
        let claim = Claim { origin: Some(origin), ..honest(&rig.origin, &first, "/ws/control") };
        refused(origin, connect(&rig.origin, claim).await, 403);
    }
    // Each name goes with its own origin: a page of one does not speak to the other.
    let mixed = Claim { host: Some("pool.example"), ..honest(&rig.origin, &first, "/ws/control") };
    refused("another name", connect(&rig.origin, mixed).await, 403);
    let wrong = Claim { host: Some("evil.example"), ..honest(&rig.origin, &first, "/ws/control") };
    refused("a foreign name", connect(&rig.origin, wrong).await, 421);
    let public = Claim {
        host: Some("pool.example"),
        origin: Some("https://pool.example"),
        ..honest(&rig.origin, &first, "/ws/control")
    };
    let mut socket = connect(&rig.origin, public).await.expect("through the proxy");
    socket.send(hello(1)).await.expect("a hello");
    until("it is there", Duration::from_secs(5), || guest.is_connected()).await;
    let page = get(&rig.origin, "/join", "").await;
    assert!(page.starts_with("http/1.1 200") && page.contains("frame-ancestors 'none'"), "{page}");
    assert!(page.contains(&format!("connect-src 'self' {}", rig.origin.replacen("http", "ws", 1))), "{page}");
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn a_pool_without_guests_has_no_page_for_them() {
    let bridge = Bridge::start(BridgeConfig::new(runtime())).await.expect("a bridge");
    let origin = bridge.origin().to_owned();
    assert!(get(&origin, "/join", "").await.starts_with("http/1.1 404"));
    for path in ["/join/terms", "/join/enter", "/join/why"] {
        assert_eq!(post(&origin, path, Some(&origin), &json!({ "code": "7KQ2-M8XN" })).await.0, 404);
    }
    assert_eq!(bridge.invite(), Err(InviteError::Disabled));
    bridge.shutdown().await;
}
