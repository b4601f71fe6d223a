//! Every observation as a table, for whatever reads tables.
//!
//! A table has one row for each observation, in the order in which they were added, and one column for each of its
//! fields, with the unit in the name: `total_ms`, `bytes_in`, `at_unix_ms`. It is written in portions of 65 536
//! observations, so that memory is bounded (some 50 MB) however many there are. What is added meanwhile may be in it
//! or not; what is dropped meanwhile may be missing at the beginning.

mod error;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod portions;
mod table;
#[cfg(feature = "csv")]
mod text;

#[cfg(feature = "parquet")]
pub use self::parquet::export_parquet;
pub use error::ExportError;
pub use lines::export_json_lines;
#[cfg(feature = "csv")]
pub use text::export_csv;
