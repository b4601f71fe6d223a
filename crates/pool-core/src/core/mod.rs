//! The decision core: a synchronous state machine that takes `now` and answers with actions.
//!
//! [`Core`] knows every worker, session, lease and request. Each call tells it what happened and when; what is to be
//! done about it is then found in [`Core::take_actions`]. It holds no clock, no lock and no task, and given the same
//! calls it always gives the same actions. [`Pool`](crate::Pool) drives it with tokio; tests drive it by hand.
//!
//! Whoever drives it must carry out the actions in their order, report the end of every [`Action::Load`],
//! [`Action::Run`] and [`Action::Unload`] unless the worker was forgotten meanwhile, and call [`Core::tick`] when
//! [`Core::next_wake`] has come. Reports about what the core no longer knows are ignored.

mod action;
mod checks;
mod demand;
mod dispatch;
mod evict;
mod felt;
mod finish;
mod guard;
mod guests;
mod loads;
mod needs;
mod observe;
mod outlook;
mod placement;
mod prospects;
mod queue;
mod relief;
mod requests;
mod retry;
mod select;
mod sessions;
mod state;
mod stats;
mod timers;
mod workers;

pub use action::{Action, LeaseId, RunEnd, Scrutiny, Submission};
pub use guard::{BreakerSettings, BreakerStatus};
pub use prospects::Prospect;
pub use sessions::SessionPhase;
pub use state::Core;
pub use stats::{CoreStats, GuestStats, SessionStats, WorkerStats};
pub use workers::Stance;
