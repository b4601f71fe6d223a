//! Runs one command: shows it, runs it, and says clearly which one failed and how.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long to wait for another line before looking whether the command still runs.
const PATIENCE: Duration = Duration::from_millis(200);

/// A command before it runs.
#[derive(Debug)]
pub(crate) struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    dir: PathBuf,
}

impl Cmd {
    /// A command that will run in the workspace root.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            dir: root().to_owned(),
        }
    }

    /// The cargo that runs us, with its first argument.
    pub(crate) fn cargo(verb: &str) -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).arg(verb)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = dir.as_ref().to_owned();
        self
    }

    /// Shows the command, runs it on our own terminal and fails unless it exits with 0.
    pub(crate) fn run(&self) -> Result<()> {
        self.echo();
        let status = self.command().status().with_context(|| self.cannot_start())?;
        self.expect_success(status)
    }

    /// Runs the command quietly and returns its standard output; its standard error stays visible.
    pub(crate) fn read(&self) -> Result<String> {
        let (status, text) = self.output()?;
        self.expect_success(status)?;
        Ok(text)
    }

    /// The same for a caller who judges the exit status.
    pub(crate) fn output(&self) -> Result<(ExitStatus, String)> {
        let output = self.command().stderr(Stdio::inherit()).output().with_context(|| self.cannot_start())?;
        let text = String::from_utf8(output.stdout);
        Ok((output.status, text.with_context(|| format!("`{self}` wrote bytes that are not UTF-8"))?))
    }

    /// Runs the command, which says everything into a file. The exit status is returned, not judged.
    pub(crate) fn run_into(&self, file: &File) -> Result<ExitStatus> {
        let [stdout, stderr] = [file.try_clone()?, file.try_clone()?];
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        command.status().with_context(|| self.cannot_start())
    }

    /// Shows the command, runs it, and passes each line of its standard output on to the terminal and to `line`.
    ///
    /// The exit status is returned, not judged: the caller has read the lines and knows more. A process that the
    /// command leaves behind may hold its standard output open for ever, so this ends with the command itself.
    pub(crate) fn stream(&self, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
        self.echo();
        let mut child = self.command().stdout(Stdio::piped()).spawn().with_context(|| self.cannot_start())?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let read = BufReader::new(stdout).split(b'\n').map_while(Result::ok);
            // Nobody receives any more when the command has ended and something else still writes.
            let _ = read.map(|bytes| sender.send(bytes)).take_while(Result::is_ok).count();
        });
        let mut status = None;
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    println!("{text}");
                    line(&text);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                // The command had already ended when we last waited: what it wrote has come.
                Err(RecvTimeoutError::Timeout) if status.is_some() => break,
                Err(RecvTimeoutError::Timeout) => {
                    status = child.try_wait().with_context(|| self.cannot_wait())?
                }
            }
        }
        status.map_or_else(|| child.wait(), Ok).with_context(|| self.cannot_wait())
    }

    /// Whether the command starts and exits with 0; nothing of it is shown.
    pub(crate) fn succeeds(&self) -> bool {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&self.dir)
            .envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }

    fn echo(&self) {
        eprintln!("$ {self}");
    }

    fn cannot_start(&self) -> String {
        format!("cannot start `{}`: is it installed?", self.program.to_string_lossy())
    }

    fn cannot_wait(&self) -> String {
        format!("cannot wait for `{self}`")
    }

    fn expect_success(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("`{self}` failed: {status}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.envs {
            write!(f, "{}={} ", name.to_string_lossy(), value.to_string_lossy())?;
        }
        let program = Path::new(&self.program);
        // Cargo is given by its full path, which says nothing to the reader.
        let name = if program.ends_with("cargo") { OsStr::new("cargo") } else { program.as_os_str() };
        write!(f, "{}", name.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}

/// A failure that has been shown already, so that the line which sums up stays the last one.
#[derive(Debug)]
pub(crate) struct Reported;

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed, as shown above")
    }
}

impl std::error::Error for Reported {}

/// How long something took, for the developer to read.
#[expect(clippy::disallowed_methods, reason = "a developer's tool shows wall time and decides nothing by it")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // What `cargo run` says now comes first: with a target directory that several clones share, the clone that
        // compiled us need not be the one that we are asked to work on.
        let told =
            std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|dir| dir.ends_with("xtask"));
        let xtask = told.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        xtask.parent().unwrap_or(&xtask).to_owned()
    });
    &ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let error = Cmd::new("false").arg("--why").run().expect_err("`false` fails");
        assert!(error.to_string().contains("`false --why` failed"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Cmd::new("no-such-program").run().expect_err("it is not there");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn streamed_lines_arrive_in_order_and_the_status_is_returned() {
        let mut lines = Vec::new();
        let status = Cmd::new("sh")
            .args(["-c", "echo one; echo two; exit 3"])
            .stream(|line| lines.push(line.to_owned()));
        assert_eq!(status.expect("sh starts").code(), Some(3));
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_process_that_is_left_behind_with_our_pipe_does_not_hold_us() {
        // The shell's child would live for a minute; it tells its id, so that it can be ended here.
        let mut lines = Vec::new();
        let script = "sleep 60 & echo $!";
        let (status, took) =
            timed(|| Cmd::new("sh").args(["-c", script]).stream(|line| lines.push(line.to_owned())));
        assert!(status.expect("sh starts").success());
        assert!(took < Duration::from_secs(30), "{took:?}");
        Cmd::new("kill").args(&lines).run().expect("the child still lives");
    }
}
