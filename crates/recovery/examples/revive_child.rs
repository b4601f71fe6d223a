//! Revives a child process: the whole recovery layer without a browser.
//!
//! The child is a shell that repeats each line that it is sent. It is first killed, so that pinging it would be pointless
//! and only a restart can help; then it is stopped, so that it is there and does not answer, and the ladder asks before it
//! restarts; and at last it is stopped only for a moment, so that asking is enough.
//!
//!     cargo run -p recovery --example revive_child

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::io;
use std::process::Stdio;
use std::time::Duration;

use recovery::{
    AttemptError, Fault, RecoverySettings, ResourcePoolErrorRecovery, Reviver, Rung, RungSet, Seen, Signs,
    Subject,
};
use telemetry::Telemetry;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;
use vocab::WorkerId;

/// A child with both ends of its pipes.
struct Echo {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    sent: u64,
}

impl Echo {
    fn start() -> io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", "while read -r line; do echo \"$line\"; done"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let none = || io::Error::other("the child has no pipe");
        let input = child.stdin.take().ok_or_else(none)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(none)?).lines();
        Ok(Self { child, input, output, sent: 0 })
    }

    /// Sends a line and waits until just that line comes back. A call that was given up leaves its line behind; the next
    /// one passes over that.
    async fn ask(&mut self) -> io::Result<()> {
        self.sent += 1;
        let line = format!("line {}", self.sent);
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        while let Some(answer) = self.output.next_line().await? {
            if answer == line {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the child closed its output"))
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        let pid = self.child.id().ok_or_else(|| io::Error::other("it has ended"))?;
        std::process::Command::new("kill").args([format!("-{name}"), pid.to_string()]).status()?;
        Ok(())
    }
}

/// The seam: what can be done to the child.
struct ChildReviver(Mutex<Echo>);

impl Reviver for ChildReviver {
    type Error = io::Error;

    fn offers(&self) -> RungSet {
        RungSet::NONE.with(Rung::Ping).with(Rung::Restart)
    }

    async fn signs(&self) -> Signs {
        let mut signs = Signs::default();
        signs.process = match self.0.lock().await.child.try_wait() {
            Ok(None) => Seen::Up,
            Ok(Some(_)) => Seen::Down,
            Err(_) => Seen::Unknown,
        };
        signs
    }

    async fn attempt(&self, rung: Rung, _until: Instant) -> Result<(), AttemptError<io::Error>> {
        println!("    {rung} …");
        let mut echo = self.0.lock().await;
        match rung {
            Rung::Ping => Ok(echo.ask().await?),
            // The old child is killed when its handle is dropped.
            Rung::Restart => {
                *echo = Echo::start()?;
                Ok(())
            }
            _ => Err(AttemptError::Unavailable),
        }
    }

    async fn proved(&self, _rung: Rung, _until: Instant) -> Result<(), io::Error> {
        self.0.lock().await.ask().await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = Telemetry::new();
    let recovery = ResourcePoolErrorRecovery::new(RecoverySettings::default(), telemetry.clone())?;
    let subject = Subject { worker: WorkerId(1), browser: None };
    let child = ChildReviver(Mutex::new(Echo::start()?));

    println!("the child is killed");
    child.0.lock().await.signal("KILL")?;
    child.0.lock().await.child.wait().await?;
    let recovered = recovery.recover(subject, Fault::ProcessDead, &child).await?;
    println!("  {} helped after {:?}", recovered.rung, recovered.took);

    println!("the child is stopped for good");
    child.0.lock().await.signal("STOP")?;
    let recovered = recovery.recover(subject, Fault::PageHung, &child).await?;
    println!("  {} helped after {:?}, in {} attempts", recovered.rung, recovered.took, recovered.attempts);

    println!("the child is stopped for half a second");
    child.0.lock().await.signal("STOP")?;
    let pid = child.0.lock().await.child.id().unwrap_or_default();
    let (recovered, woken) = tokio::join!(recovery.recover(subject, Fault::PageHung, &child), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Command::new("kill").args(["-CONT", &pid.to_string()]).status().await
    });
    let recovered = recovered?;
    woken?;
    println!("  {} helped after {:?}", recovered.rung, recovered.took);

    for (name, count) in telemetry.snapshot().counters {
        if count > 0 && name != "events_lost" {
            println!("{name}: {count}");
        }
    }
    Ok(())
}
