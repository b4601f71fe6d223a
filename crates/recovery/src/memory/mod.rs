//! Memory: how much is used, how scarce it is, and what to do about it.

mod linux;
mod parse;
mod pressure;
mod reading;
mod relief;

pub use linux::{LinuxMemory, ReadError};
pub use parse::{ParseError, Stall, parse_bytes, parse_cgroup_path, parse_kilobytes, parse_stall};
pub use pressure::{Pressure, PressureConfig, PressureMove, Thresholds};
pub use reading::{MemoryReading, Use};
pub use relief::{LoadRefusal, Means, MemoryAction, may_load, relief};
