//! A driver process and the one browser that it holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parking_lot::Mutex;
use provision::Installed;
use thirtyfour::WebDriver;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::Instant;
use vocab::BrowserName;

use super::capabilities::{capabilities, running_as_root};
use super::error::LaunchError;
use super::spec::{BrowserSource, LaunchSpec};
use crate::process::{BrowserPlace, OwnedProcess, RunDir};

/// How long a driver may take until it listens.
const DRIVER_START: Duration = Duration::from_secs(15);
/// How long a browser may take until the driver has a session.
const SESSION_START: Duration = Duration::from_secs(60);
/// How long a browser may take to close when asked.
const SESSION_END: Duration = Duration::from_secs(5);
/// How often a driver is started anew when its port was taken in the moment between choosing and binding it.
const PORT_ATTEMPTS: u32 = 3;

/// A browser that runs, with the driver that started it. Dropping it kills both.
#[derive(Debug)]
pub(crate) struct RunningBrowser {
    name: BrowserName,
    session: Option<WebDriver>,
    local: bool,
    driver: Mutex<Option<OwnedProcess>>,
    // Dropped last: it clears away what the driver leaves.
    place: Mutex<Option<BrowserPlace>>,
    version: String,
}

impl RunningBrowser {
    /// Starts the driver (unless it is a remote one) and a session.
    pub(crate) async fn start(
        spec: &LaunchSpec,
        run: &RunDir,
        label: &str,
        display: Option<&str>,
    ) -> Result<Self, LaunchError> {
        crate::tls::ensure_tls_provider();
        let browser = spec.name;
        let (endpoint, driver, place, version) = match &spec.source {
            BrowserSource::Remote { url, .. } => (url.to_string(), None, None, None),
            BrowserSource::Installed(installed) => {
                let place = run.browser(label).map_err(|source| LaunchError::Profile { browser, source })?;
                let (address, driver) = start_driver(installed, &place, display).await?;
                (format!("http://{address}"), Some(driver), Some(place), Some(installed.version.clone()))
            }
        };
        let home = place.as_ref().map(BrowserPlace::path);
        let binary =
            browser_program(spec, home).map_err(|source| LaunchError::Profile { browser, source })?;
        let profile_dir = home.map(|home| home.join("profile"));
        let wanted = capabilities(spec, binary.as_deref(), profile_dir.as_deref());
        // Cancellation safety: `this` owns the driver from here on, so a caller who gives up kills it.
        let mut this = Self {
            name: browser,
            session: None,
            local: driver.is_some(),
            driver: Mutex::new(driver),
            place: Mutex::new(place),
            version: version.unwrap_or_default(),
        };
        let session = tokio::time::timeout(SESSION_START, WebDriver::new(endpoint, wanted))
            .await
            .map_err(|_| LaunchError::TimedOut { browser, phase: "starting", waited: SESSION_START })?
            .map_err(|source| LaunchError::Session { browser, source: Box::new(source) })?;
        if let Some(version) =
            session.capabilities().get("browserVersion").and_then(|version| version.as_str())
            && !version.is_empty()
        {
            version.clone_into(&mut this.version);
        }
        this.session = Some(session);
        Ok(this)
    }

    /// The version that the browser gave itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Opens `url` in the browser's one tab.
    pub(crate) async fn open(&self, url: &str) -> Result<(), LaunchError> {
        let browser = self.name;
        let Some(session) = &self.session else { return Err(LaunchError::ShuttingDown) };
        tokio::time::timeout(SESSION_START, session.goto(url))
            .await
            .map_err(|_| LaunchError::TimedOut { browser, phase: "opening the page", waited: SESSION_START })?
            .map_err(|source| LaunchError::Session { browser, source: Box::new(source) })
    }

    /// Loads the page in the browser's tab anew.
    pub(crate) async fn reload(&self) -> Result<(), LaunchError> {
        let browser = self.name;
        let Some(session) = &self.session else { return Err(LaunchError::ShuttingDown) };
        tokio::time::timeout(SESSION_START, session.refresh())
            .await
            .map_err(|_| LaunchError::TimedOut {
                browser,
                phase: "reloading the page",
                waited: SESSION_START,
            })?
            .map_err(|source| LaunchError::Session { browser, source: Box::new(source) })
    }

    /// Opens `url` in a new tab, beside the one that is open.
    pub(crate) async fn open_tab(&self, url: &str) -> Result<(), LaunchError> {
        let browser = self.name;
        let Some(session) = &self.session else { return Err(LaunchError::ShuttingDown) };
        let opened = async {
            let first = session.window().await?;
            let tab = session.new_tab().await?;
            session.switch_to_window(tab).await?;
            session.goto(url).await?;
            // Commands go to the worker page again.
            session.switch_to_window(first).await
        };
        tokio::time::timeout(SESSION_START, opened)
            .await
            .map_err(|_| LaunchError::TimedOut { browser, phase: "opening a tab", waited: SESSION_START })?
            .map_err(|source| LaunchError::Session { browser, source: Box::new(source) })
    }

    /// Whether the driver process has ended by itself.
    pub(crate) fn driver_ended(&self) -> bool {
        self.driver.lock().as_mut().is_some_and(|driver| !matches!(driver.try_wait(), Ok(None)))
    }

    /// Whether the driver is a process of ours.
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }

    /// Asks the driver whether the browser still has its tab. Being asked also keeps a grid from ending the session as one
    /// that nobody uses.
    pub(crate) async fn tab(&self, limit: Duration) -> Tab {
        let Some(session) = &self.session else { return Tab::Gone };
        match tokio::time::timeout(limit, session.window()).await {
            Ok(Ok(_)) => Tab::Open,
            Ok(Err(_)) => Tab::Gone,
            Err(_) => Tab::NoAnswer,
        }
    }

    /// Whether the driver says that the page's process has crashed. Some say so only when they are to do something in the
    /// page; no answer in time, and every other failure, proves nothing.
    pub(crate) async fn has_crashed(&self, limit: Duration) -> bool {
        let Some(session) = &self.session else { return false };
        let asked = tokio::time::timeout(limit, session.execute("return 1", Vec::new())).await;
        matches!(asked, Ok(Err(error)) if error.to_string().contains("crash"))
    }

    /// Whether the browser still has its tab, where no answer in time counts as yes: a busy machine is slow, and other signs tell of a dead one.
    pub(crate) async fn has_tab(&self) -> bool {
        self.tab(SESSION_END).await != Tab::Gone
    }

    /// The driver's process id, if it is a process of ours.
    pub(crate) fn driver_id(&self) -> Option<u32> {
        self.driver.lock().as_ref().and_then(OwnedProcess::id)
    }

    /// Kills the browser and its driver without asking them, and deletes the profile. A browser on another machine can
    /// only be asked.
    pub(crate) async fn kill(&self) {
        if !self.local {
            return self.end().await;
        }
        let _ = self.session.clone().map(WebDriver::leak);
        let driver = self.driver.lock().take();
        if let Some(driver) = driver {
            driver.end(Duration::ZERO).await;
        }
        let place = self.place.lock().take();
        if let Some(place) = place {
            place.clear().await;
        }
    }

    /// Closes the browser, ends the driver and deletes the profile.
    pub(crate) async fn end(&self) {
        if self.driver_ended() {
            // Nobody is there to be asked, and the client would go on trying.
            let _ = self.session.clone().map(WebDriver::leak);
        } else if let Some(session) = &self.session
            && !matches!(tokio::time::timeout(SESSION_END, session.clone().quit()).await, Ok(Ok(())))
        {
            // The browser or its driver no longer answers; killing the group below ends both.
            let _ = session.clone().leak();
        }
        let driver = self.driver.lock().take();
        if let Some(driver) = driver {
            driver.end(Duration::from_secs(1)).await;
        }
        let place = self.place.lock().take();
        if let Some(place) = place {
            place.clear().await;
        }
    }
}

/// What the driver says of the browser's tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there, not there and no answer are all that there is")]
pub enum Tab {
    /// It is there. Its page may have crashed all the same.
    Open,
    /// It is not, or the driver is not.
    Gone,
    /// The driver did not answer in time.
    NoAnswer,
}

impl Drop for RunningBrowser {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            if !self.local
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                // A remote browser is not ours to kill; all that can be done is to ask its driver.
                runtime.spawn(session.quit());
            } else {
                // Without this the client would block this thread with a farewell to a driver that is killed next.
                let _ = session.leak();
            }
        }
    }
}

/// The program that the driver is to start.
///
/// The headless shell opens no tab of its own when it is given no address, its driver waits for one before it has a
/// session, and a driver passes switches on but no addresses. So the shell is started through a script that adds one.
fn browser_program(spec: &LaunchSpec, home: Option<&Path>) -> std::io::Result<Option<PathBuf>> {
    let BrowserSource::Installed(installed) = &spec.source else { return Ok(None) };
    let (BrowserName::ChromiumHeadlessShell, Some(home)) = (spec.name, home) else {
        return Ok(Some(installed.binary.clone()));
    };
    let quoted = installed.binary.display().to_string().replace('\'', r"'\''");
    let script = home.join("shell");
    std::fs::write(&script, format!("#!/bin/sh\nexec '{quoted}' \"$@\" about:blank\n"))?;
    #[cfg(unix)]
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(Some(script))
}

/// Starts the driver on a free port and waits until it listens.
async fn start_driver(
    installed: &Installed,
    place: &BrowserPlace,
    display: Option<&str>,
) -> Result<(SocketAddr, OwnedProcess), LaunchError> {
    let browser = installed.name;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let spawn_error =
            |source| LaunchError::Spawn { browser, program: installed.driver.display().to_string(), source };
        let address = free_address().await.map_err(spawn_error)?;
        let command = driver_command(installed, address.port(), place.path(), display);
        let mut driver = OwnedProcess::spawn(command, place.marks()).map_err(spawn_error)?;
        match wait_until_listening(browser, &mut driver, address).await {
            Ok(()) => return Ok((address, driver)),
            Err(LaunchError::DriverEnded { .. }) if attempt < PORT_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

async fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}

async fn wait_until_listening(
    browser: BrowserName,
    driver: &mut OwnedProcess,
    address: SocketAddr,
) -> Result<(), LaunchError> {
    let deadline = Instant::now() + DRIVER_START;
    loop {
        let connected = TcpStream::connect(address).await.is_ok();
        // Asked after connecting: somebody else may have the port, and then our driver has ended over it.
        if let Ok(Some(status)) = driver.try_wait() {
            return Err(LaunchError::DriverEnded { browser, status });
        }
        if connected {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(LaunchError::DriverSilent { browser, waited: DRIVER_START });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The driver's command line. Everything that it or the browser writes for itself goes below `home`.
fn driver_command(installed: &Installed, port: u16, home: &Path, display: Option<&str>) -> Command {
    let mut command = Command::new(&installed.driver);
    match installed.name {
        BrowserName::Chromium
        | BrowserName::ChromiumHeadlessShell
        | BrowserName::Chrome
        | BrowserName::Edge => {
            command.arg(format!("--port={port}"));
            if installed.driver_mismatch {
                // The shell comes from elsewhere than the system's driver: their versions differ by design.
                command.arg("--disable-build-check");
            }
        }
        BrowserName::Firefox => {
            let port = port.to_string();
            command.args(["--host", "127.0.0.1", "--port", &port, "--websocket-port", "0", "--log", "error"]);
            command.arg("--profile-root").arg(home);
        }
        BrowserName::Safari => {
            command.args(["--port", &port.to_string()]);
        }
        BrowserName::WebKitGtk => {
            command.arg(format!("--port={port}")).arg("--host=127.0.0.1");
        }
    }
    command
        .env("TMPDIR", home)
        .env("XDG_CACHE_HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("XDG_DATA_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(display) = display {
        command.env("DISPLAY", display).env_remove("WAYLAND_DISPLAY").env("GDK_BACKEND", "x11");
    }
    if installed.name == BrowserName::WebKitGtk && running_as_root() {
        // WebKit's sandbox needs user namespaces that root in a container does not get; as anybody else it stays.
        command.env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1");
    }
    command
}
