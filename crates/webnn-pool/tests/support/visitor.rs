//! A browser that no pool launched, with somebody in front of it: a driver of its own, spoken to in plain WebDriver.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use provision::{Detection, Home, detect};
use serde_json::{Value, json};
use tokio::time::Instant;
use vocab::BrowserName;

use super::proxy::free_port;

/// How long anything that somebody waits for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser and its driver, which lead a process group. Dropping it kills both.
pub struct Visitor {
    client: reqwest::Client,
    /// The address of the session.
    session: String,
    driver: Child,
    _home: tempfile::TempDir,
}

impl Visitor {
    /// Starts a browser.
    pub async fn open(name: BrowserName) -> Self {
        let Detection::Found(installed) = detect(&Home::locate().expect("a home"), name) else {
            panic!("{name} is not installed: run cargo xtask setup")
        };
        let home = tempfile::tempdir().expect("a folder");
        let address = free_port();
        let mut command = Command::new(&installed.driver);
        let port = address.port().to_string();
        let options = match name {
            BrowserName::Firefox => {
                command.args([
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--websocket-port",
                    "0",
                    "--log",
                    "error",
                ]);
                command.arg("--profile-root").arg(home.path());
                json!({ "browserName": "firefox", "moz:firefoxOptions": {
                    "binary": installed.binary, "args": ["-headless"],
                    "prefs": { "browser.tabs.unloadOnLowMemory": false },
                } })
            }
            _ => {
                command.arg(format!("--port={port}"));
                let profile = format!("--user-data-dir={}", home.path().join("profile").display());
                let mut arguments = vec![
                    "--headless=new",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--window-size=900,900",
                    &profile,
                ];
                if rustix::process::geteuid().is_root() {
                    arguments.push("--no-sandbox");
                }
                let options = json!({ "binary": installed.binary, "args": arguments });
                json!({ "browserName": "chrome", "goog:chromeOptions": options })
            }
        };
        for variable in ["TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(variable, home.path());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let driver = command.spawn().expect("a driver");
        webnn_bridge::ensure_tls_provider();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let mut this = Self { client, session: format!("http://{address}/session"), driver, _home: home };
        let wanted = json!({ "capabilities": { "alwaysMatch": options } });
        let started = Instant::now();
        let told = loop {
            match this.request("", Some(&wanted)).await {
                Ok(told) => break told,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{name}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let id = told["sessionId"].as_str().unwrap_or_else(|| panic!("{name} does not start: {told}"));
        this.session = format!("{}/{id}", this.session);
        this
    }

    async fn request(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let request = match body {
            Some(body) => self.client.post(url).body(body.to_string()),
            None => self.client.get(url),
        };
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let good = answer.status().is_success();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let told: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if good { Ok(told["value"].clone()) } else { Err(told["value"]["message"].to_string()) }
    }

    #[track_caller]
    fn told(result: Result<Value, String>) -> Value {
        result.unwrap_or_else(|error| panic!("the driver: {error}"))
    }

    /// Opens an address.
    pub async fn goto(&self, url: &str) {
        Self::told(self.request("/url", Some(&json!({ "url": url }))).await);
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        Self::told(self.request("/refresh", Some(&json!({}))).await);
    }

    /// Runs a script in the page.
    pub async fn script(&self, text: &str) -> Value {
        Self::told(self.request("/execute/sync", Some(&json!({ "script": text, "args": [] }))).await)
    }

    /// The text that somebody sees in the element with this id; empty where it is hidden.
    pub async fn text(&self, id: &str) -> String {
        let told = self.script(&format!("return document.getElementById('{id}').innerText")).await;
        told.as_str().unwrap_or_default().to_owned()
    }

    async fn element(&self, id: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": format!("#{id}") });
        let found = Self::told(self.request("/element", Some(&wanted)).await);
        found.as_object().and_then(|found| found.values().next()?.as_str()).expect("an element").to_owned()
    }

    /// Clicks on an element, which must be there to be clicked on.
    pub async fn click(&self, id: &str) {
        let element = self.element(id).await;
        Self::told(self.request(&format!("/element/{element}/click"), Some(&json!({}))).await);
    }

    /// Types into an element.
    pub async fn type_into(&self, id: &str, text: &str) {
        let element = self.element(id).await;
        Self::told(self.request(&format!("/element/{element}/value"), Some(&json!({ "text": text }))).await);
    }

    /// Waits until an element shows a text with this in it.
    #[track_caller]
    pub fn sees<'a>(&'a self, id: &'a str, part: &'a str) -> impl Future<Output = String> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let started = Instant::now();
            loop {
                let text = self.text(id).await;
                if text.contains(part) {
                    return text;
                }
                assert!(started.elapsed() < PATIENCE, "{caller}: {id} shows {text:?} and no {part:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Hides the window, and with it the tab, or shows it again.
    pub async fn hide(&self, hidden: bool) {
        let path = if hidden { "/window/minimize" } else { "/window/rect" };
        let body = if hidden { json!({}) } else { json!({ "width": 900, "height": 900 }) };
        Self::told(self.request(path, Some(&body)).await);
    }

    /// Gives the window this width, in CSS pixels.
    pub async fn width(&self, width: u32) {
        Self::told(self.request("/window/rect", Some(&json!({ "width": width, "height": 900 }))).await);
    }

    /// Keeps a picture of the page.
    pub async fn picture(&self, path: &Path) {
        let told = Self::told(self.request("/screenshot", None).await);
        let script = "base64 -d > \"$0\"";
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", script]).arg(path).stdin(Stdio::piped()).spawn().expect("a shell");
        let text = told.as_str().expect("a picture").as_bytes();
        std::io::Write::write_all(shell.stdin.as_mut().expect("its input"), text).expect("it is read");
        drop(shell.stdin.take());
        assert!(shell.wait().expect("it ends").success());
    }

    /// Kills the browser at once, with its driver.
    pub fn kill(self) {
        drop(self);
    }

    /// Closes the browser as somebody would.
    pub async fn close(self) {
        let _ = self.client.delete(&self.session).send().await;
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.driver.wait();
    }
}
