//! What a plan from a file must be before it is relied on.

use std::path::Path;

use super::{Plan, Stage};

/// The version of the form that this crate writes and reads.
pub(crate) const VERSION: u32 = 1;

/// A plan that does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenPlan {
    /// Its form is one that is not known here.
    #[error("the plan is of version {version}, and only {VERSION} is known")]
    Version {
        /// Its version.
        version: u32,
    },
    /// A stage does not stand where its number says.
    #[error("the stage at place {place} has the number {index}")]
    Misplaced {
        /// Where it stands, from 0.
        place: usize,
        /// Its number.
        index: usize,
    },
    /// A stage depends on itself or on one behind it.
    #[error("stage {stage} depends on stage {on}, which does not stand before it")]
    NotBefore {
        /// The stage.
        stage: usize,
        /// What it depends on.
        on: usize,
    },
    /// Something is said of a stage that is not there.
    #[error("{what} names stage {stage}, and there are {stages}")]
    NoSuchStage {
        /// What names it.
        what: &'static str,
        /// The stage.
        stage: usize,
        /// Stages that there are.
        stages: usize,
    },
    /// A file may lie elsewhere than beside the plan.
    #[error("stage {stage} names the file {file:?}, which is not the plain name of a file beside the plan")]
    NotPlain {
        /// The stage.
        stage: usize,
        /// The name.
        file: String,
    },
}

impl Plan {
    /// Checks a plan that may come from anywhere: its version is known, each stage stands where its number says and behind
    /// those that it depends on, no other stages are named, and all files lie beside the plan. Whether files are what
    /// their hashes say is not checked, nor whether stages give what others take: a run finds out.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn check(&self) -> Result<(), BrokenPlan> {
        if self.version != VERSION {
            return Err(BrokenPlan::Version { version: self.version });
        }
        for (place, stage) in self.stages.iter().enumerate() {
            let index = stage.index;
            if index != place {
                return Err(BrokenPlan::Misplaced { place, index });
            }
            if let Some(&on) = stage.depends_on.iter().find(|&&on| on >= index) {
                return Err(BrokenPlan::NotBefore { stage: index, on });
            }
            if let Some(file) = stage.files().find(|file| !is_plain(file)) {
                return Err(BrokenPlan::NotPlain { stage: index, file: file.to_owned() });
            }
        }
        let outputs = self.outputs.iter().filter_map(|output| output.stage).map(|stage| ("an output", stage));
        let flows = self.flows.iter().flat_map(|flow| flow.to.iter().copied().chain([flow.from]));
        let states = self.states.iter().map(|state| ("a cache", state.stage));
        let shared = self.shared.iter().flat_map(|shared| shared.stages.iter().copied());
        let named = outputs.chain(flows.map(|stage| ("a flow", stage))).chain(states);
        let mut named = named.chain(shared.map(|stage| ("a shared weight", stage)));
        let stages = self.stages.len();
        match named.find(|&(_, stage)| stage >= stages) {
            Some((what, stage)) => Err(BrokenPlan::NoSuchStage { what, stage, stages }),
            None => Ok(()),
        }
    }
}

impl Stage {
    /// The names of its files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.file).chain(self.data.iter().map(|data| &*data.file))
    }
}

/// Whether a name means a file in the folder that it is joined to, on every system.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\', ':']) && Path::new(name).file_name() == Some(name.as_ref())
}
