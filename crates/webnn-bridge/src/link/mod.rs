//! A page as the pool sees it: calls go out as frames, answers come back, and nothing waits for ever.

mod call;
mod clock;
mod end;
mod engine;
mod memory;
mod page;
mod ping;
mod presence;
mod usual;
mod worker_link;

pub use end::PageEnd;
pub(crate) use engine::{Connection, Engine, Outbound, Outgoing};
pub use memory::{HeapReading, PageMemory};
pub use page::Page;
pub(crate) use page::{PageParts, PageState};
pub(crate) use presence::Presence;
pub(crate) use usual::Durations;
