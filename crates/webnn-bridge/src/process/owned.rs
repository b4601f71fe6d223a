//! A child process and everything below it.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A process that leads a group of its own. Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct OwnedProcess {
    child: Child,
    group: Option<Pid>,
}

impl OwnedProcess {
    /// Starts `command` as the leader of a new process group, with `marks` in its environment.
    pub(crate) fn spawn<'a>(
        mut command: Command,
        marks: impl IntoIterator<Item = (&'static str, &'a str)>,
    ) -> io::Result<Self> {
        command.envs(marks).process_group(0).kill_on_drop(true);
        let child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// The process's id, until it has been waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Takes the pipe of the process's standard output, if it was made and not taken yet.
    pub(crate) fn take_stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether the process has ended, and how.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Ends the process and its group: asks first, and kills what is left after `grace`.
    pub(crate) async fn end(mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            tracing::debug!(?grace, "process did not end when asked, killing its group");
        }
        // The leader may have left children behind in its group, as geckodriver does with Firefox.
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
    }

    /// The same where nothing can be awaited: blocks for up to `grace`.
    pub(crate) fn end_blocking(mut self, grace: Duration) {
        const PAUSE: Duration = Duration::from_millis(10);
        self.signal(Signal::TERM);
        let mut waited = Duration::ZERO;
        while waited < grace && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group may be gone already, which is what we want.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
