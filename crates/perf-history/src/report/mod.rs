//! An analysis as one page to look at, and the pieces that other reports are made of too: [`document`], [`table`], [`Scale`],
//! [`Text`] and [`words`].

mod cards;
mod chart;
mod heat_map;
mod html;
mod page;
mod scale;
mod tables;

pub use html::{Text, document, table};
pub use page::{ReportSettings, page};
pub use scale::Scale;

/// Figures as they stand in sentences and tables.
pub mod words {
    pub use crate::analysis::words::{count, ms, percent, probability, time};
}
