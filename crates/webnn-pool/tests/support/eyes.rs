//! A browser that looks at the live page: not one of the pool's, and driven from here alone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use provision::{Detection, Home, detect};
use serde_json::{Value, json};
use thirtyfour::WebDriver;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use vocab::BrowserName;

use super::fixture::repository;
use super::leftovers::{Kept, marked, until};
use super::proxy::free_port;

/// How the page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Light,
    Dark,
    /// A telephone's width.
    Narrow,
}

impl Look {
    pub const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Narrow];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Narrow => "narrow",
        }
    }

    pub const fn width(self) -> u32 {
        match self {
            Self::Light | Self::Dark => 1_400,
            Self::Narrow => 390,
        }
    }
}

/// A Chromium with one tab.
pub struct Eyes {
    driver: WebDriver,
    process: Child,
    temp: Kept,
    mark: String,
    endpoint: String,
    client: reqwest::Client,
}

impl Eyes {
    /// Opens an address.
    pub async fn open(url: &str) -> Self {
        webnn_bridge::ensure_tls_provider();
        let home = Home::locate().expect("a home");
        let Detection::Found(found) = detect(&home, BrowserName::Chromium) else {
            panic!("there is no Chromium: run cargo xtask setup")
        };
        let temp = Kept::new();
        let port = free_port().port();
        let mark = format!("eyes-{}-{port}", std::process::id());
        let process = Command::new(&found.driver)
            .arg(format!("--port={port}"))
            .env("WEBNN_POOL_LAUNCH", &mark)
            .env("TMPDIR", temp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts");
        let endpoint = format!("http://127.0.0.1:{port}");
        let client = reqwest::Client::new();
        let deadline = Instant::now() + Duration::from_secs(15);
        while client.get(format!("{endpoint}/status")).send().await.is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut args = vec![
            "--headless=new".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--disable-background-networking".to_owned(),
            "--no-first-run".to_owned(),
            format!("--user-data-dir={}", temp.path().join("profile").display()),
        ];
        if rustix::process::geteuid().is_root() {
            args.push("--no-sandbox".to_owned());
        }
        let wanted = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": found.binary, "args": args, "excludeSwitches": ["enable-logging"] },
        });
        let Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let driver = WebDriver::new(&endpoint, wanted).await.expect("a session");
        let eyes = Self { driver, process, temp, mark, endpoint, client };
        eyes.look(Look::Light).await;
        eyes.driver.goto(url).await.expect("the page opens");
        eyes
    }

    /// What a script answers.
    pub async fn ask(&self, script: &str) -> Value {
        let answer = self.driver.execute(script, Vec::new()).await.expect("a script that runs");
        answer.json().clone()
    }

    /// Waits until a script answers `true`, and says when it did.
    pub async fn until(&self, what: &str, script: &str, limit: Duration) -> Instant {
        let deadline = Instant::now() + limit;
        loop {
            if self.ask(script).await == Value::Bool(true) {
                return Instant::now();
            }
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// All that the page says.
    pub async fn text(&self) -> String {
        self.ask("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.own("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// A command that chromedriver has beside those of the standard.
    async fn own(&self, command: &str, body: Value) -> Value {
        let url = format!("{}/session/{}/{command}", self.endpoint, self.driver.session_id());
        let sent = self.client.post(url).header("content-type", "application/json").body(body.to_string());
        let text = sent.send().await.expect("an answer").text().await.expect("text");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].clone()
    }

    pub async fn look(&self, look: Look) {
        let scheme = if look == Look::Dark { "dark" } else { "light" };
        let features = [json!({ "name": "prefers-color-scheme", "value": scheme })];
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        let size = json!({ "width": look.width(), "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// A picture of the whole page, or of so much of its height.
    pub async fn picture(&self, to: &Path, height: Option<u32>) {
        let size = self
            .ask("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
            .await;
        let whole = size[1].as_f64().expect("a height");
        let clip = json!({
            "x": 0, "y": 0, "width": size[0], "scale": 1,
            "height": height.map_or(whole, |most| whole.min(f64::from(most))),
        });
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.devtools("Page.captureScreenshot", asked).await;
        let png =
            BASE64_STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64 of a picture");
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("it is made");
        std::fs::write(to, png).expect("the picture is written");
        println!("picture: {}", to.display());
    }

    /// What the console was told since this was last asked: warnings and errors, with where they come from.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.own("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("a list");
        let bad =
            entries.iter().filter(|entry| matches!(entry["level"].as_str(), Some("WARNING" | "SEVERE")));
        bad.map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// Has axe look at the page as it is. Answers the number of rules that it passed, and those that it broke seriously,
    /// each with the places.
    pub async fn axe(&self) -> (usize, Vec<String>) {
        let axe = std::fs::read_to_string(axe()).expect("cargo xtask test --only page installs axe-core");
        self.driver.execute(axe, Vec::new()).await.expect("axe is read");
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations', 'passes'] }).then(
                (found) => done([found.passes.length, found.violations.map((one) =>
                    [one.impact, `${one.id}: ${one.help}: ${one.nodes.slice(0, 4).map((node) => node.target.join(' ') + ' ' + node.failureSummary).join(' | ')}`])]),
                (error) => done([0, [['critical', String(error)]]]));";
        let answer = self.driver.execute_async(script, Vec::new()).await.expect("axe runs");
        let found = answer.json();
        let violations = found[1].as_array().expect("a list");
        let told =
            |one: &Value| format!("{}: {}", one[0].as_str().unwrap_or(""), one[1].as_str().unwrap_or(""));
        for one in violations {
            println!("axe: {}", told(one));
        }
        let serious = violations.iter().filter(|one| matches!(one[0].as_str(), Some("serious" | "critical")));
        (found[0].as_u64().unwrap_or(0) as usize, serious.map(told).collect())
    }

    /// Closes the browser, and waits until all of it is gone.
    pub async fn close(self) {
        let Self { driver, mut process, temp, mark, .. } = self;
        let _ = driver.quit().await;
        let _ = process.kill().await;
        until("the browser that looked is gone", Duration::from_secs(10), || marked(&mark).is_empty()).await;
        drop(temp);
    }
}

/// Where `cargo xtask` puts axe-core, beside the checkers of the page's code.
fn axe() -> PathBuf {
    let program = std::env::current_exe().expect("our own program");
    let target = program.ancestors().find(|folder| folder.join("page-check").is_dir());
    let target = target.map_or_else(|| repository().join("target"), Path::to_owned);
    target.join("page-check/node_modules/axe-core/axe.min.js")
}

/// Where pictures go that nobody keeps.
pub fn pictures() -> PathBuf {
    repository().join("target/live")
}
