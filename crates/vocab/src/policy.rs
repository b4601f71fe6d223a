//! How an arm is chosen.

use crate::names::closed_names;

closed_names! {
    /// A way to choose the browser and backend that compute a request.
    "policy" PolicyName {
        /// The best by 70 % success and 30 % latency, with bounded exploration.
        Weighted = "weighted",
        /// The highest score plus a bonus for what is little known (upper confidence bound).
        Ucb = "ucb",
        /// The best of one random draw from what each may be (Thompson sampling).
        Thompson = "thompson",
        /// Each in turn.
        RoundRobin = "round-robin",
        /// Always the same one.
        Fixed = "fixed",
    }
}
