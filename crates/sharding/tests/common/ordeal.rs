//! What every file has to be refused or cut without: a panic, a file elsewhere, a part that is no model.
//!
//! Tests and fuzz targets share it.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use onnx_graph::OnnxError;
use sharding::{ModelFile, ReadError, Request, Strategy, WriteOptions, plan, svg, write};

/// Puts the bytes into the folder as a model and cuts it in every way. Says how many cuts there were; `None` where the file
/// is refused.
pub(crate) fn undergo(folder: &Path, model: &[u8]) -> Option<usize> {
    let (path, parts) = (folder.join("model.onnx"), folder.join("parts"));
    // Writing over a file makes some file systems flush it to the disk, a thousand times over.
    let _ = fs::remove_file(&path);
    fs::write(&path, model).expect("there is room");
    let before = names(folder);
    let file = match ModelFile::open(&path) {
        Ok(file) => file,
        Err(error) => {
            assert!(!told(&error).is_empty());
            return None;
        }
    };
    let mut cuts = 0;
    for (strategy, shards, inline_limit) in [
        (Strategy::Layer, 2, u64::MAX),
        (Strategy::AttentionFeedforward, 2, 0),
        (Strategy::Component, 2, u64::MAX),
        (Strategy::Optimal, 3, 0),
    ] {
        let cut = match plan(&file, &Request::new(strategy, shards)) {
            Ok(cut) => cut,
            Err(error) => {
                assert!(!told(&error).is_empty());
                continue;
            }
        };
        assert_eq!(cut.plan().check(), Ok(()));
        assert!(!svg(cut.plan()).is_empty() && !cut.plan().to_string().is_empty());
        let mut options = WriteOptions::default();
        options.inline_limit = inline_limit;
        let written = write(&cut, &parts, &options).expect("its weights were there");
        let mut expected = BTreeSet::from(["plan.json".to_owned()]);
        for stage in &written.stages {
            match ModelFile::open(parts.join(&stage.file)) {
                Ok(_) => {}
                Err(ReadError::Model { source, .. }) if is_lie(&source) => {}
                Err(error) => panic!("each part is a model: {error:?}"),
            }
            expected.insert(stage.file.clone());
            expected.extend(stage.data.iter().map(|data| data.file.clone()));
        }
        assert_eq!(names(&parts), expected);
        fs::remove_dir_all(&parts).expect("it was written");
        cuts += 1;
    }
    assert_eq!(names(folder), before);
    assert!(fs::read(&path).expect("it is there") == model, "the model is as it was");
    Some(cuts)
}

/// Whether a part is refused where the whole is not, for what the whole says and what is not so. Two such lies get through:
/// an element type that cannot be sent, of a value that follows to be of one that can; and texts in a file of weights.
fn is_lie(why: &OnnxError) -> bool {
    matches!(why, OnnxError::UnsupportedElementType { .. } | OnnxError::BadConstant { .. })
}

/// An error with its causes, as a user is told.
fn told(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    entries
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("names are plain"))
        .collect()
}
