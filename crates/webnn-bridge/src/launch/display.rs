//! A virtual display for the browsers that have no headless mode.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::process::{OwnedProcess, RunDir};

/// How long the server may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// A running X server without a screen, or the name of a display that was there already.
#[derive(Debug)]
pub(crate) struct Display {
    name: String,
    server: Option<OwnedProcess>,
}

impl Display {
    /// Starts `program`, an Xvfb, on the first free display number. Where there is none, the display of the environment is
    /// used.
    pub(crate) async fn start(run: &RunDir, program: &Path) -> io::Result<Self> {
        match Self::start_virtual(run, program).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match std::env::var("DISPLAY") {
                Ok(name) if !name.is_empty() => Ok(Self { name, server: None }),
                _ => Err(error),
            },
            other => other,
        }
    }

    async fn start_virtual(run: &RunDir, program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = OwnedProcess::spawn(command, run.marks())?;
        let stdout = server.take_stdout().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        tokio::time::timeout(Duration::from_secs(10), stdout.read_line(&mut line))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        let number: u32 =
            line.trim().parse().map_err(|_| io::Error::other("Xvfb ended without naming a display"))?;
        Ok(Self { name: format!(":{number}"), server: Some(server) })
    }

    /// The value for `DISPLAY`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends the server, if it is ours.
    pub(crate) async fn end(mut self) {
        if let Some(server) = self.server.take() {
            server.end(GRACE).await;
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // A server that is killed leaves its lock and its socket behind; one that is asked to end takes them along.
        if let Some(server) = self.server.take() {
            server.end_blocking(GRACE);
        }
    }
}
