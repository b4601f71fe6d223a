//! The page's runtime files: onnxruntime-web.

use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use crate::home::Home;
use crate::pins;
use crate::stamp::{Stamp, StampError};

/// The files of onnxruntime-web, ready to be served to pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Runtime {
    /// The version of onnxruntime-web.
    pub version: String,
    /// The folder that holds the files.
    pub folder: PathBuf,
    /// The names of the files in the folder, sorted: `ort.wasm.min.mjs`, `ort-wasm-simd-threaded.wasm`, …
    pub files: Vec<String>,
}

/// Why the runtime files cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// They were never installed.
    #[error("onnxruntime-web {version} is not installed in {}; run: webnn-pool setup", folder.display())]
    NotInstalled {
        /// The version that this release expects.
        version: &'static str,
        /// Where it should lie.
        folder: PathBuf,
    },
    /// They are there, but not whole.
    #[error("the copy of onnxruntime-web in {} is not whole; run: webnn-pool setup", folder.display())]
    Broken {
        /// Where it lies.
        folder: PathBuf,
        /// What is wrong with it.
        #[source]
        source: StampError,
    },
}

/// Finds the runtime files of the version that this release expects.
///
/// Checks that every file has the length it was installed with. Takes well below a millisecond.
///
/// # Errors
/// See [`RuntimeError`]; both say which command helps.
pub fn find_runtime(home: &Home) -> Result<Runtime, RuntimeError> {
    let folder = home.onnxruntime_web();
    if !folder.exists() {
        return Err(RuntimeError::NotInstalled { version: pins::ONNXRUNTIME_WEB, folder });
    }
    match Stamp::check(&folder, pins::ONNXRUNTIME_WEB) {
        Ok(stamp) => Ok(Runtime {
            version: pins::ONNXRUNTIME_WEB.to_owned(),
            files: stamp.names().map(str::to_owned).collect(),
            folder,
        }),
        Err(source) => Err(RuntimeError::Broken { folder, source }),
    }
}
