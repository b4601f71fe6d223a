//! ONNX Runtime on this machine, through a Python that has it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use provision::Home;
use tensor::NamedTensor;
use tensor::oip::{InferRequest, InferResponse, Limits, Parameters};
use tokio::process::Command;

use super::error::NativeError;

const SCRIPT: &str = include_str!("native.py");

/// The status by which the script says that this Python has no ONNX Runtime.
const ABSENT: i32 = 3;

/// What a native run gave.
#[derive(Debug)]
pub(super) struct Native {
    pub(super) outputs: Vec<NamedTensor>,
    /// The runtime's version.
    pub(super) version: String,
}

/// Where a Python with ONNX Runtime may be, best first: those that the project makes for its fixtures and clients, and the
/// system's.
pub(super) fn candidates(home: Option<&Home>) -> Vec<PathBuf> {
    let own = home
        .into_iter()
        .flat_map(|home| ["python", "python-clients"].map(|name| home.root().join(name).join("bin/python")));
    own.filter(|path| path.exists()).chain(["python3", "python"].map(PathBuf::from)).collect()
}

/// Runs the model once. `None` where this Python is not there or has no ONNX Runtime.
///
/// Cancellation safety: dropping the future kills the process.
pub(super) async fn run(
    python: &Path,
    model: &Path,
    inputs: &[NamedTensor],
    limit: Duration,
) -> Result<Option<Native>, NativeError> {
    let io = |source| NativeError::Files { source };
    let folder = tempfile::tempdir().map_err(io)?;
    let (request, response) = (folder.path().join("request"), folder.path().join("response"));
    let message = InferRequest {
        id: None,
        parameters: Parameters::default(),
        inputs: inputs.to_vec(),
        outputs: Vec::new(),
    }
    .to_binary()
    .map_err(|source| NativeError::Message { source })?;
    let header = message.header.len().to_string();
    tokio::fs::write(&request, message.into_bytes()).await.map_err(io)?;
    let mut command = Command::new(python);
    command
        .args(["-I", "-c", SCRIPT])
        .args([model.as_os_str(), request.as_os_str(), header.as_ref(), response.as_os_str()])
        // The runtime leaves a file of its own in the folder for temporary ones.
        .envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, folder.path())))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = match tokio::time::timeout(limit, command.output()).await {
        Err(_) => return Err(NativeError::TimedOut { python: python.to_owned(), limit }),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(source)) => return Err(NativeError::Start { python: python.to_owned(), source }),
        Ok(Ok(ended)) => ended,
    };
    if ended.status.code() == Some(ABSENT) {
        return Ok(None);
    }
    let failed = |said: &[u8]| NativeError::Failed {
        python: python.to_owned(),
        // The last line of a traceback is the error.
        said: String::from_utf8_lossy(said)
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("nothing")
            .to_owned(),
    };
    if !ended.status.success() {
        return Err(failed(&ended.stderr));
    }
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let mut words = said.split_whitespace();
    let (Some(version), Some(Ok(header))) = (words.next(), words.next().map(str::parse)) else {
        return Err(failed(&ended.stdout));
    };
    let message = Bytes::from(tokio::fs::read(&response).await.map_err(io)?);
    let answer = InferResponse::from_binary(message, header, &Limits::default())
        .map_err(|source| NativeError::Message { source })?;
    Ok(Some(Native { outputs: answer.outputs, version: version.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_python_that_is_not_there_is_passed_over() {
        let none = run(Path::new("no-such-python"), Path::new("m.onnx"), &[], Duration::from_secs(5)).await;
        assert!(matches!(none, Ok(None)), "{none:?}");
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why() {
        // The shell has no option -I, and says so.
        let error = run(Path::new("sh"), Path::new("m.onnx"), &[], Duration::from_secs(5)).await;
        assert!(matches!(error, Err(NativeError::Failed { .. })), "{error:?}");
    }
}
