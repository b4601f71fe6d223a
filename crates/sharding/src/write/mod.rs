//! Puts the parts into files, weights copied straight from where they lie.

mod error;
mod stream;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use error::WriteError;
use stream::{Sources, write_model};

use crate::plan::{DataFile, Plan, Sharding, Stage, is_plain};

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
/// Each file appears whole or not at all. Where the folder has an older plan, that and its parts are removed first. Returns the plan as it was written, with the hashes of the files.
///
/// # Errors
/// A file that cannot be read or written, or that is a file of the model itself; then nothing was removed.
pub fn write(sharding: &Sharding<'_>, folder: &Path, options: &WriteOptions) -> Result<Plan, WriteError> {
    fs::create_dir_all(folder).map_err(|source| WriteError::Write { path: folder.to_owned(), source })?;
    let mut plan = sharding.plan.clone();
    let older = older(folder);
    // Before anything is removed: the model may be a part that the older plan names.
    spare_sources(sharding, coming(&plan, folder).iter().chain(&older))?;
    clear(older)?;
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

/// The files that writing a plan puts there, drafts included.
fn coming(plan: &Plan, folder: &Path) -> Vec<PathBuf> {
    let files = plan.stages.iter().flat_map(|stage| [stage.file.clone(), format!("{}.data", stage.file)]);
    let whole = files.chain(["plan.json".to_owned()]);
    whole.flat_map(|name| [folder.join(format!("{name}.draft")), folder.join(name)]).collect()
}

/// An older plan of ours and the files that it names; nothing where there is none.
fn older(folder: &Path) -> Vec<PathBuf> {
    let path = folder.join("plan.json");
    let Ok(text) = fs::read(&path) else { return Vec::new() };
    // A file that happens to have that name is none of our business.
    let Ok(old) = serde_json::from_slice::<Plan>(&text) else { return Vec::new() };
    let names = old.stages.iter().flat_map(Stage::files).filter(|name| is_plain(name));
    std::iter::once(path).chain(names.map(|name| folder.join(name))).collect()
}

/// Refuses to write over or to remove what is read.
fn spare_sources<'p>(
    sharding: &Sharding<'_>,
    mut touched: impl Iterator<Item = &'p PathBuf>,
) -> Result<(), WriteError> {
    let external = sharding.file.model().external_files().iter().map(|file| sharding.file.locate(&file.path));
    let sources: Vec<PathBuf> = external
        .chain([sharding.file.path().to_owned()])
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    match touched.find(|path| path.canonicalize().is_ok_and(|found| sources.contains(&found))) {
        Some(path) => Err(WriteError::WouldOverwrite { path: path.clone() }),
        None => Ok(()),
    }
}

/// Removes an older plan and its parts, so that no plan ever stands beside the parts of another one.
fn clear(older: Vec<PathBuf>) -> Result<(), WriteError> {
    for path in older {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(WriteError::Write { path, source });
            }
            _ => {}
        }
    }
    Ok(())
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
