//! Puts the parts into files, weights copied straight from where they lie.

mod error;
mod stream;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use error::WriteError;
use stream::{Sources, write_model};

use crate::plan::{DataFile, Plan, Sharding};

/// How parts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Weights of a part beyond this many bytes go to a file beside it, because a protobuf message ends at 2 GiB. Default
    /// 1 GiB.
    pub inline_limit: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { inline_limit: 1 << 30 }
    }
}

/// Writes one `.onnx` for each stage, with a `.onnx.data` beside it where its weights are many, and `plan.json` last. Takes
/// memory for the structure of one part and a buffer of 1 MiB.
///
/// Each file appears whole or not at all. Returns the plan as it was written, with the hashes of the files.
///
/// # Errors
/// A file that cannot be read or written.
pub fn write(sharding: &Sharding<'_>, folder: &Path, options: &WriteOptions) -> Result<Plan, WriteError> {
    fs::create_dir_all(folder).map_err(|source| WriteError::Write { path: folder.to_owned(), source })?;
    let mut plan = sharding.plan.clone();
    let mut sources = Sources::new(sharding.file);
    for (stage, part) in plan.stages.iter_mut().zip(&sharding.parts) {
        let beside = stage.weight_bytes > options.inline_limit;
        let data_name = format!("{}.data", stage.file);
        let mut data = if beside { Some(Draft::new(folder.join(&data_name))?) } else { None };
        let mut main = Draft::new(folder.join(&stage.file))?;
        write_model(&part.model, &mut sources, &mut main, data.as_mut().map(|data| (&*data_name, data)))?;
        if let Some(data) = data {
            let (bytes, sha256) = data.finish()?;
            stage.data = vec![DataFile { file: data_name, bytes, sha256 }];
        }
        stage.sha256 = Some(main.finish()?.1);
    }
    let mut file = Draft::new(folder.join("plan.json"))?;
    let path = file.target.clone();
    let text = serde_json::to_vec_pretty(&plan).map_err(|source| WriteError::Plan { path, source })?;
    file.put(&text)?;
    file.put(b"\n")?;
    file.finish()?;
    Ok(plan)
}

/// A file that takes its name only when it is whole, and that is hashed on its way.
pub(crate) struct Draft {
    target: PathBuf,
    draft: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    finished: bool,
}

impl Draft {
    fn new(target: PathBuf) -> Result<Self, WriteError> {
        let mut draft = target.clone().into_os_string();
        draft.push(".draft");
        let draft = PathBuf::from(draft);
        let file =
            File::create(&draft).map_err(|source| WriteError::Write { path: draft.clone(), source })?;
        let file = BufWriter::with_capacity(64 << 10, file);
        Ok(Self { target, draft, file, hash: Sha256::new(), bytes: 0, finished: false })
    }

    pub(crate) const fn at(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|source| WriteError::Write { path: self.draft.clone(), source })
    }

    fn finish(mut self) -> Result<(u64, String), WriteError> {
        let failed = |path: &Path, source| WriteError::Write { path: path.to_owned(), source };
        self.file.flush().map_err(|source| failed(&self.draft, source))?;
        fs::rename(&self.draft, &self.target).map_err(|source| failed(&self.target, source))?;
        self.finished = true;
        let hash = std::mem::take(&mut self.hash).finalize();
        let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((self.bytes, hex))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            // What failed has been reported already; a draft that stays is only in the way.
            let _ = fs::remove_file(&self.draft);
        }
    }
}
