//! The Prometheus text exposition format, version 0.0.4.

mod check;
mod render;

pub use render::{CONTENT_TYPE, render};
