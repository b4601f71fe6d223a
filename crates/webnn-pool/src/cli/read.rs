//! Files that the command line names.

use std::io::Read;
use std::path::{Path, PathBuf};

use tensor::oip::{InferRequest, Limits};

use super::Failure;

/// The longest request that is read, in bytes. As JSON, tensors take some ten times the room that they take on a page.
pub(super) const REQUEST_LIMIT: u64 = 1 << 30;

/// Reads a request, on a thread of its own: standard input may be a terminal, and an interrupt must still be heard.
pub(super) async fn request(path: PathBuf) -> Result<InferRequest, Failure> {
    let read = tokio::task::spawn_blocking(move || {
        let standard_input = path == Path::new("-");
        let place = if standard_input { "standard input".to_owned() } else { path.display().to_string() };
        let json = if standard_input {
            at_most(REQUEST_LIMIT, std::io::stdin().lock())
        } else {
            std::fs::File::open(&path).and_then(|file| at_most(REQUEST_LIMIT, file))
        };
        let json = json.map_err(|error| format!("could not read {place}: {error}"))?;
        InferRequest::from_json(&json, &Limits::default())
            .map_err(|error| format!("{place} is not a usable request: {}", chain(&error)))
    });
    Ok(read.await??)
}

/// Reads a file of at most `limit` bytes.
pub(super) async fn file(path: PathBuf, limit: u64) -> Result<Vec<u8>, Failure> {
    let read = tokio::task::spawn_blocking(move || {
        std::fs::File::open(&path)
            .and_then(|file| at_most(limit, file))
            .map_err(|error| format!("could not read {}: {error}", path.display()))
    });
    Ok(read.await??)
}

/// Reads to the end, which must come within `limit` bytes.
fn at_most(limit: u64, from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// Finds out before anything is computed that a result will have no place to go to.
pub(super) fn check_output(path: &Path) -> Result<(), Failure> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if path.is_dir() || !parent.is_dir() {
        return Err(
            format!("could not write {}: it must be a file in a folder that exists", path.display()).into()
        );
    }
    Ok(())
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
