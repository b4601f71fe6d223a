//! What can go wrong while a table is written.

use crate::StoreError;

/// Why a table could not be written whole. What was written before is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The observations could not be read.
    #[error("the observations could not be read")]
    Read(#[source] StoreError),
    /// The table could not be written.
    #[error("the table could not be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}
