//! Guests: pages that somebody else opened, and how they are let in.
//!
//! Whoever runs the pool gives out *codes*, each of which lets one page in, once, for a while. A page that shows a code gets a
//! *token*; a token opens one control connection, over which the page gets the next. So what was copied from a page is of no
//! use as soon as the page has connected, while it is connected, or when it has left.

mod admission;
mod bucket;
mod chain;
mod claim;
mod code;
mod config;
mod handle;
mod wish;

pub(crate) use admission::Admissions;
pub use admission::{Invitation, InviteError};
pub(crate) use bucket::Attempts;
pub(crate) use chain::{Chain, Presented};
pub(crate) use claim::{claimed, plain};
pub use code::{BadCode, Code};
pub use config::{GuestModel, HiddenTabs, JoinConfig};
pub use handle::{Guest, GuestNews, Standing};
pub use wish::{PauseCause, Wish};
