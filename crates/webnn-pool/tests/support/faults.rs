//! What can be done to a browser from outside.

use std::process::Command;
use std::time::Duration;

use vocab::BrowserName;

use super::leftovers::of_browser;
use super::proxy::Proxy;

/// A fault that is inflicted on a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChaosFault {
    /// `kill -9` of the processes that pages run in.
    KillRenderer,
    /// `kill -9` of the browser's main process.
    KillBrowser,
    /// `kill -9` of the driver.
    KillDriver,
    /// `SIGSTOP` of the browser, all that it started, and its driver; nobody continues them.
    Stop,
    /// Somebody else loads the page anew.
    Reload,
    /// The page's connections are cut.
    CutSocket,
}

impl ChaosFault {
    pub const ALL: [Self; 6] =
        [Self::KillRenderer, Self::KillBrowser, Self::KillDriver, Self::Stop, Self::Reload, Self::CutSocket];

    pub fn name(self) -> &'static str {
        match self {
            Self::KillRenderer => "kill -9 renderer",
            Self::KillBrowser => "kill -9 browser",
            Self::KillDriver => "kill -9 driver",
            Self::Stop => "SIGSTOP all",
            Self::Reload => "reload from outside",
            Self::CutSocket => "sockets cut",
        }
    }

    /// Whether it can be inflicted on this engine: only chromedriver tells its sessions to somebody who did not open them.
    pub fn possible(self, browser: BrowserName) -> bool {
        self != Self::Reload || matches!(browser, BrowserName::Chromium | BrowserName::ChromiumHeadlessShell)
    }

    /// Does it to the browser of a page. Says how many processes or connections were hit.
    pub async fn inflict(self, mark: &str, label: &str, browser: BrowserName, proxy: &Proxy) -> usize {
        let processes = of_browser(mark, label);
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let hit = processes.iter().filter(|(_, command)| wanted(command));
            hit.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
        };
        let (signal, hit) = match self {
            Self::KillRenderer => ("-9", of(&|command| is_renderer(browser, command))),
            Self::KillBrowser => ("-9", of(&|command| is_main(browser, command))),
            Self::KillDriver => ("-9", of(&|command| is_driver(command))),
            Self::Stop => ("-STOP", of(&|_| true)),
            Self::Reload => {
                reload(&processes).await;
                return 1;
            }
            Self::CutSocket => return proxy.cut(),
        };
        assert!(!hit.is_empty(), "{}: no process of {label} fits: {processes:#?}", self.name());
        // Some of them may end while the others are being killed.
        let _ = Command::new("kill").arg(signal).args(&hit).stderr(std::process::Stdio::null()).status();
        hit.len()
    }
}

fn program(command: &str) -> &str {
    let program = command.split(' ').next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or_default()
}

fn is_driver(command: &str) -> bool {
    matches!(program(command), "chromedriver" | "geckodriver" | "WebKitWebDriver")
}

fn is_renderer(browser: BrowserName, command: &str) -> bool {
    match browser {
        BrowserName::Firefox => command.contains("-contentproc") && command.trim_end().ends_with("tab"),
        BrowserName::WebKitGtk => command.contains("WebKitWebProcess"),
        _ => command.contains("--type=renderer"),
    }
}

fn is_main(browser: BrowserName, command: &str) -> bool {
    match browser {
        BrowserName::Firefox => program(command).starts_with("firefox") && !command.contains("-contentproc"),
        BrowserName::WebKitGtk => program(command) == "MiniBrowser",
        _ => {
            command.contains("--user-data-dir")
                && !command.contains("--type=")
                && !is_driver(command)
                && !command.contains("crashpad")
        }
    }
}

/// Asks chromedriver for its session, and has it load the page anew.
async fn reload(processes: &[(i32, String)]) {
    let (_, driver) = processes.iter().find(|(_, command)| is_driver(command)).expect("a driver");
    let port = driver.split("--port=").nth(1).expect("a port").split(' ').next().expect("a number");
    let base = format!("http://127.0.0.1:{port}");
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let answer = client.get(format!("{base}/sessions")).send().await.expect("an answer");
    let sessions: serde_json::Value =
        serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
    let id = sessions["value"][0]["id"].as_str().expect("a session");
    let sent = client.post(format!("{base}/session/{id}/refresh")).body("{}").send().await;
    assert!(sent.expect("an answer").status().is_success());
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("small")
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}
