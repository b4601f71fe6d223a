//! A comparison as a table, as JUnit XML and as a page.

mod draw;
mod html;
mod junit;
mod table;

pub use html::html;
pub use junit::junit;
pub use table::table;
