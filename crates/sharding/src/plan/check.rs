//! What a plan from a file must be before it is relied on.

use std::path::Path;

use super::Stage;

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
