//! What can be done to a browser from outside.

use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use vocab::{Backend, BrowserName};

use super::hooks::Role;
use super::leftovers::of_browser;
use super::proxy::Proxy;

/// A fault that is inflicted on a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChaosFault {
    /// `kill -9` of the processes that pages run in.
    KillRenderer,
    /// `kill -9` of the browser's main process.
    KillBrowser,
    /// `kill -9` of the driver.
    KillDriver,
    /// `kill -9` of the process that has the graphics device.
    KillGpu,
    /// The page's process crashes: `chrome://crash` where there is that, elsewhere the signal of a failed assertion, which
    /// no engine handles itself.
    Crash,
    /// `SIGSTOP` of the browser, all that it started, and its driver; nobody continues them.
    Stop,
    /// The page is loaded anew, and not by us.
    Reload,
    /// The page's connections are cut.
    CutSocket,
    /// The main thread runs in a loop for ever.
    LoopPage,
    /// The thread that computes runs in a loop for ever.
    LoopEngine,
    /// The thread that computes allocates until nothing more is to be had, and keeps it.
    OutOfMemory,
    /// The graphics device is lost.
    LoseDevice,
    /// Our own process stands still for longer than a page may be silent. No fault of the browser: nothing is to be done.
    Pause,
    /// The same for so long that the page gives us up.
    LongPause,
    /// The page alters its results: names, types and shapes are right, the numbers are not.
    Lie,
}

/// When a fault is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heals {
    /// Another worker of the same engine answers.
    NewWorker,
    /// The page comes back with all that it had, so the same worker answers.
    Resumed,
    /// The engine answers again, by whichever worker: the page may have put itself right.
    Anyhow,
    /// The same worker answers, and nothing was done.
    Untouched,
}

/// What was done, and when.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// How many processes or connections were hit.
    pub count: usize,
    /// When.
    pub at: Instant,
}

impl ChaosFault {
    pub const ALL: [Self; 15] = [
        Self::KillRenderer,
        Self::KillBrowser,
        Self::KillDriver,
        Self::KillGpu,
        Self::Crash,
        Self::Stop,
        Self::Reload,
        Self::CutSocket,
        Self::LoopPage,
        Self::LoopEngine,
        Self::OutOfMemory,
        Self::LoseDevice,
        Self::Pause,
        Self::LongPause,
        Self::Lie,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::KillRenderer => "kill -9 renderer",
            Self::KillBrowser => "kill -9 browser",
            Self::KillDriver => "kill -9 driver",
            Self::KillGpu => "kill -9 GPU process",
            Self::Crash => "crash of the page",
            Self::Stop => "SIGSTOP all",
            Self::Reload => "reload from outside",
            Self::CutSocket => "sockets cut",
            Self::LoopPage => "loop in the main thread",
            Self::LoopEngine => "loop in the engine",
            Self::OutOfMemory => "out of memory",
            Self::LoseDevice => "graphics device lost",
            Self::Pause => "pause of our own, 9 s",
            Self::LongPause => "pause of our own, 60 s",
            Self::Lie => "wrong numbers",
        }
    }

    /// The word by which it can be asked for.
    pub fn slug(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Whether it can be inflicted on this engine with this backend.
    pub fn possible(self, browser: BrowserName, backend: Backend) -> bool {
        match self {
            Self::LoseDevice => backend == Backend::WebGpu,
            Self::KillGpu => backend == Backend::WebGpu && is_chromium(browser),
            _ => backend == Backend::Wasm,
        }
    }

    /// Whether it is inflicted where nobody asked for it by name. The long pause takes its time.
    pub fn usual(self) -> bool {
        self != Self::LongPause
    }

    /// Whether it leaves the other engines alone.
    pub fn hits_one(self) -> bool {
        !matches!(self, Self::Pause | Self::LongPause)
    }

    pub fn heals(self) -> Heals {
        match self {
            Self::LoopEngine | Self::OutOfMemory | Self::LoseDevice | Self::KillGpu | Self::LongPause => {
                Heals::Anyhow
            }
            Self::CutSocket => Heals::Resumed,
            Self::Pause => Heals::Untouched,
            _ => Heals::NewWorker,
        }
    }

    /// Does it to the browser of a page.
    pub async fn inflict(
        self,
        mark: &str,
        label: &str,
        browser: BrowserName,
        proxy: &Proxy,
    ) -> Result<Hit, String> {
        let processes = of_browser(mark, label);
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let hit = processes.iter().filter(|(_, command)| wanted(command));
            hit.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
        };
        let hook = async |role, deed| {
            let at = proxy.hooks.command(label, role, deed).await?;
            Ok(Hit { count: 1, at })
        };
        let renderers = || of(&|command| is_renderer(browser, command));
        let (with, hit) = match self {
            Self::KillRenderer => ("-9", renderers()),
            Self::KillBrowser => ("-9", main_of(&processes, browser)),
            Self::KillDriver => ("-9", of(&is_driver)),
            Self::KillGpu => ("-9", of(&|command| command.contains("--type=gpu-process"))),
            Self::Stop => ("-STOP", of(&|_| true)),
            Self::Crash if is_chromium(browser) => return crash(&processes).await,
            Self::Crash => ("-ABRT", renderers()),
            Self::CutSocket => {
                let at = Instant::now();
                return match proxy.cut(label) {
                    0 => Err(format!("{label} has no connection to cut")),
                    count => Ok(Hit { count, at }),
                };
            }
            Self::Reload => return hook(Role::Page, "reload").await,
            Self::LoopPage => return hook(Role::Page, "loop").await,
            Self::LoopEngine => return hook(Role::Engine, "loop").await,
            Self::LoseDevice => return hook(Role::Engine, "lose").await,
            Self::Lie => return hook(Role::Engine, "lie").await,
            Self::OutOfMemory => {
                renderers().iter().for_each(|id| bound_memory(id));
                return hook(Role::Engine, "oom").await;
            }
            Self::Pause => return pause(9).await,
            Self::LongPause => return pause(60).await,
        };
        if hit.is_empty() {
            return Err(format!("{}: no process of {label} fits: {processes:#?}", self.name()));
        }
        let at = Instant::now();
        signal(with, &hit);
        Ok(Hit { count: hit.len(), at })
    }
}

fn is_chromium(browser: BrowserName) -> bool {
    matches!(browser, BrowserName::Chromium | BrowserName::ChromiumHeadlessShell)
}

/// `kill -9` of the main process of a browser; its page's label names it. Answers how many processes were hit.
pub fn kill_browser(mark: &str, browser: BrowserName, label: &str) -> usize {
    let hit = main_of(&of_browser(mark, label), browser);
    signal("-9", &hit);
    hit.len()
}

/// The main process of a browser, of its processes.
fn main_of(processes: &[(i32, String)], browser: BrowserName) -> Vec<String> {
    let main = processes.iter().filter(|(_, command)| is_main(browser, command));
    main.map(|(id, _)| id.to_string()).collect()
}

/// Sends a signal to processes, of which some may end meanwhile.
fn signal(signal: &str, processes: &[String]) {
    if !processes.is_empty() {
        let _ = Command::new("kill").arg(signal).args(processes).stderr(std::process::Stdio::null()).status();
    }
}

/// Stops our own process for so many seconds. What is measured begins when it goes on.
async fn pause(seconds: u32) -> Result<Hit, String> {
    let script = format!("kill -STOP $0; sleep {seconds}; kill -CONT $0");
    let mut shell = tokio::process::Command::new("sh");
    let ended = shell.args(["-c", &script, &std::process::id().to_string()]).status().await;
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.success() {
        Ok(Hit { count: 1, at: Instant::now() })
    } else {
        Err(format!("the shell: {ended}"))
    }
}

/// Lets a process have 512 MiB more than it has, and nothing beyond.
fn bound_memory(id: &str) {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")?.split_whitespace().next());
    let Some(data) = data.and_then(|kib| kib.parse::<u64>().ok()) else { return };
    let limit = (data + 512 * 1024) * 1024;
    let _ = Command::new("prlimit").args(["--pid", id, &format!("--data={limit}:{limit}")]).status();
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

/// Asks chromedriver for its session, and has it open the address that crashes a page. Nobody waits for its answer,
/// which is that this failed.
async fn crash(processes: &[(i32, String)]) -> Result<Hit, String> {
    let (_, driver) = processes.iter().find(|(_, command)| is_driver(command)).ok_or("no driver")?;
    let port = driver.split("--port=").nth(1).and_then(|rest| rest.split(' ').next()).ok_or("no port")?;
    let base = format!("http://127.0.0.1:{port}");
    let text = |error: reqwest::Error| error.to_string();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().map_err(text)?;
    let answer = client.get(format!("{base}/sessions")).send().await.map_err(text)?;
    let sessions: serde_json::Value =
        serde_json::from_str(&answer.text().await.map_err(text)?).map_err(|error| error.to_string())?;
    let id = sessions["value"][0]["id"].as_str().ok_or("no session")?.to_owned();
    let at = Instant::now();
    let address = client.post(format!("{base}/session/{id}/url")).timeout(Duration::from_millis(100));
    let _ = address.body("{\"url\":\"chrome://crash\"}").send().await;
    Ok(Hit { count: 1, at })
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
