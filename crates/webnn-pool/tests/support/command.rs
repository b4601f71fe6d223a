//! The binary, run as a user runs it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tensor::oip::{InferResponse, Limits};
use tokio::time::Instant;
use vocab::{Backend, BrowserName};

/// The command, not yet started. Its temporary files go to `temp`.
pub fn webnn_pool(temp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webnn-pool"));
    command.env("TMPDIR", temp).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a run of the command ended.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// Runs the command with these arguments and this standard input to its end.
#[track_caller]
pub fn pool(arguments: &[&str], input: &[u8]) -> Ran {
    let temp = tempfile::tempdir().expect("a folder");
    let mut command = webnn_pool(temp.path());
    let started = Instant::now();
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().expect("the command starts");
    // A command that finds a mistake before it reads has closed its end, which is its right.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let ran = Ran::of(child, started);
    let left: Vec<_> = std::fs::read_dir(temp.path()).expect("the folder").collect();
    assert!(left.is_empty(), "left over after {arguments:?}: {left:?}");
    ran
}

impl Ran {
    /// Waits for the end.
    #[track_caller]
    pub fn of(child: Child, started: Instant) -> Self {
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            took: started.elapsed(),
        }
    }

    /// The one message of a run that failed. Standard output must be empty then.
    pub fn error(&self) -> Result<&str, String> {
        let lines: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        let others = self
            .stderr
            .lines()
            .filter(|line| !line.starts_with("error: ") && !line.starts_with("launching "));
        match (lines.as_slice(), others.count(), self.stdout.as_str()) {
            ([line], 0, "") => Ok(line),
            _ => Err(format!("not one message on standard error and nothing else: {self:?}")),
        }
    }

    /// Whether a browser was started: the command says so before it does.
    pub fn launched(&self) -> bool {
        self.stderr.lines().any(|line| line.starts_with("launching "))
    }

    /// The response of a run that worked. Standard output must hold it alone.
    pub fn response(&self) -> Result<InferResponse, String> {
        if self.status != Some(0) {
            return Err(format!("exit status {:?}: {}", self.status, self.stderr.trim()));
        }
        InferResponse::from_json(self.stdout.as_bytes(), &Limits::default()).map_err(|error| {
            format!("standard output is not the response alone: {error}: {:.200}", self.stdout)
        })
    }
}

/// The arguments of `webnn-pool run`.
#[derive(Debug)]
pub struct RunArgs {
    pub model: PathBuf,
    pub input: PathBuf,
    pub browser: BrowserName,
    pub backend: Backend,
    pub seconds: u64,
}

impl RunArgs {
    /// Runs it.
    #[track_caller]
    pub fn run(&self) -> Ran {
        let Self { model, input, browser, backend, seconds } = self;
        let (model, input) = (model.to_string_lossy(), input.to_string_lossy());
        let (browser, backend, seconds) = (browser.to_string(), backend.to_string(), seconds.to_string());
        let arguments = [
            "run",
            &model,
            "--input",
            &input,
            "--browser",
            &browser,
            "--backend",
            &backend,
            "--timeout",
            &seconds,
            "--json",
        ];
        pool(&arguments, b"")
    }
}
