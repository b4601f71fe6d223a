//! An analysis as one page to look at.

mod cards;
mod chart;
mod heat_map;
mod html;
mod page;
mod scale;
mod tables;

pub use page::{ReportSettings, page};
