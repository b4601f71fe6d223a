//! Asking a program for its version, without ever waiting for long.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::host::Host;

/// How long a program may take to print its version. Cold starts of a browser from a slow disk stay well below it.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of a program's output is read; nobody's version is longer.
const OUTPUT_LIMIT: u64 = 16 * 1024;

/// Why a program did not tell its version.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum ProbeError {
    /// It could not be started.
    #[error("it could not be started: {message}")]
    NotStarted {
        /// What the operating system said.
        message: String,
    },
    /// It did not end in time and was killed.
    #[error("it did not answer within {limit_s} s")]
    TimedOut {
        /// How long it was given, in seconds.
        limit_s: u64,
    },
    /// It ended with an error.
    #[error("it ended with {status}: {said}")]
    Failed {
        /// How it ended.
        status: String,
        /// The last line that it wrote.
        said: String,
    },
    /// It ended well, but wrote nothing that reads as a version.
    #[error("it wrote no version, but: {said}")]
    NoVersion {
        /// The last line that it wrote.
        said: String,
    },
}

/// What a program wrote before it ended.
struct Output {
    success: bool,
    status: String,
    stdout: String,
    stderr: String,
}

/// Runs the program with these arguments and returns what it wrote to standard output.
pub(crate) fn ask(host: &Host, program: &Path, arguments: &[&str]) -> Result<String, ProbeError> {
    let output = run(host, program, arguments, LIMIT)?;
    if output.success {
        Ok(output.stdout)
    } else {
        Err(ProbeError::Failed { said: last_line(&output), status: output.status })
    }
}

/// Runs the program with `--version` and reads the version from what it wrote.
pub(crate) fn version(host: &Host, program: &Path) -> Result<String, ProbeError> {
    let output = run(host, program, &["--version"], LIMIT)?;
    if !output.success {
        return Err(ProbeError::Failed { said: last_line(&output), status: output.status });
    }
    match find_version(&output.stdout) {
        Some(version) => Ok(version.to_owned()),
        None => Err(ProbeError::NoVersion { said: last_line(&output) }),
    }
}

/// The first word that starts with a digit and holds a dot: how every browser and driver writes its version.
pub(crate) fn find_version(text: &str) -> Option<&str> {
    text.split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
        .map(|word| word.trim_end_matches([',', ';', '.', ')']))
}

/// The number before the first dot of a version.
pub(crate) fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

fn last_line(output: &Output) -> String {
    let last = |text: &str| text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
    last(&output.stderr).or_else(|| last(&output.stdout)).unwrap_or_else(|| "nothing at all".to_owned())
}

fn run(host: &Host, program: &Path, arguments: &[&str], limit: Duration) -> Result<Output, ProbeError> {
    let mut command = host.command(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A browser's start script starts more programs. In a group of their own they can all be killed at once.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let not_started = |error: std::io::Error| ProbeError::NotStarted { message: error.to_string() };
    let child = spawn(&mut command).map_err(not_started)?;
    let pid = child.id();

    // The reader threads end when the pipes close, at the latest when the group is killed. They are not joined: a
    // program that left its group and kept the pipe open must not be able to hold us.
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // The receiver is gone only after a timeout, when nobody wants the answer any more.
        let _ = sender.send(collect(child));
    });
    match receiver.recv_timeout(limit) {
        Ok(output) => output.map_err(not_started),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            kill_group(pid);
            Err(ProbeError::TimedOut { limit_s: limit.as_secs() })
        }
    }
}

/// Starts the command, and tries again for a moment where its program is still open for writing.
///
/// A program that this process has just unpacked was closed before, but a child that another thread started meanwhile
/// may hold a copy of the open file until it has become the program that it is to be.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
    command.spawn()
}

fn collect(mut child: Child) -> std::io::Result<Output> {
    let stderr = child.stderr.take();
    let stderr = std::thread::spawn(move || read_some(stderr));
    let stdout = read_some(child.stdout.take());
    let status = child.wait()?;
    let stderr = stderr.join().unwrap_or_default();
    Ok(Output { success: status.success(), status: status.to_string(), stdout, stderr })
}

/// Reads up to the limit, then lets go of the pipe, so that a program that writes without end fails by itself.
fn read_some(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is still what the program said.
        let _ = pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(unix)]
fn kill_group(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It fails only where the group has just ended, which is what was wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill_group(pid: u32) {
    let mut command = std::process::Command::new("taskkill");
    command.args(["/T", "/F", "/PID", &pid.to_string()]);
    // It fails only where the process has just ended, which is what was wanted.
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: Result<&str, ProbeError>) {
        let output = run(&Host::current(), Path::new("/bin/sh"), &["-c", script], Duration::from_millis(300));
        let answer = output.and_then(|output| {
            find_version(&output.stdout)
                .map(str::to_owned)
                .ok_or_else(|| ProbeError::NoVersion { said: last_line(&output) })
        });
        assert_eq!(answer, expected.map(str::to_owned));
    }

    #[test]
    fn a_program_that_never_ends_is_killed() {
        check("exec cat /dev/zero > /dev/null", Err(ProbeError::TimedOut { limit_s: 0 }));
    }

    #[test]
    fn a_child_that_keeps_the_pipe_open_is_killed_too() {
        // The grandchild holds a named pipe open for as long as it lives, so that the pipe's end tells of its death.
        let folder = tempfile::tempdir().expect("a temp folder");
        let fifo = folder.path().join("alive");
        let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
        assert!(made.success());
        let script = format!("cat /dev/zero 9> '{}' > /dev/null & wait", fifo.display());
        let (sender, death) = channel();
        std::thread::spawn(move || {
            let read = std::fs::read(fifo).expect("a pipe");
            sender.send(read.len()).expect("a listener");
        });
        check(&script, Err(ProbeError::TimedOut { limit_s: 0 }));
        assert_eq!(death.recv_timeout(Duration::from_secs(10)), Ok(0), "the grandchild lives on");
    }

    #[test]
    fn a_program_that_writes_without_end_is_cut_off() {
        check("while echo blah; do :; done", Err(ProbeError::NoVersion { said: "blah".to_owned() }));
    }

    #[test]
    fn noise_on_standard_error_is_not_a_version() {
        check("echo 'line 9.1 is odd' >&2; echo Browser 7.2", Ok("7.2"));
    }
}
