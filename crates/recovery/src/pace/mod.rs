//! How often, how soon and how many at once.

mod backoff;
mod budget;
mod gate;

pub use backoff::{Backoff, BackoffConfig};
pub use budget::{BudgetConfig, RetryBudget};
pub use gate::{Entry, GateConfig, PermitId, StormGate, Ticket};
