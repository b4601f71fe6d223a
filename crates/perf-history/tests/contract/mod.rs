//! What every store promises, checked on whatever store a test binary brings.
//!
//! A binary calls [`contract!`] with a function that makes an empty place for a store: a guard that keeps it, and its
//! location.
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod compaction;
mod model;
mod random;
mod reading;
mod sharing;
mod sums;

use std::any::Any;

use perf_history::store::open;
use perf_history::{HistoryStore, Location, Observation, Query, Stored};

pub(crate) use compaction::{dropping_keeps_sums, excess_goes_oldest_first, names_that_nothing_needs_go};
pub(crate) use random::any_history_reads_as_the_model_says;
pub(crate) use reading::{
    a_batch_is_added_whole_or_not_at_all, every_field_and_outcome_comes_back, latest_are_ordered_and_limited,
    pages_follow_each_other, reading_nothing_gives_nothing,
};
pub(crate) use sharing::{
    two_handles_see_each_other, two_writers_lose_nothing, what_reads_only_does_not_write,
};
pub(crate) use sums::{hours_are_the_sums_of_observations, since_leaves_out_what_has_ended};

/// Keeps a place as long as it lives.
pub(crate) type Guard = Box<dyn Any>;

/// Makes an empty place for a store.
pub(crate) type Fresh = fn() -> (Guard, Location);

/// One test for each promise, on stores in places that this function makes.
#[macro_export]
macro_rules! contract {
    ($fresh:path: $($promise:ident)+) => {
        $(#[test]
        fn $promise() {
            contract::$promise($fresh);
        })+
    };
    ($fresh:path) => {
        $crate::contract!($fresh:
            a_batch_is_added_whole_or_not_at_all
            any_history_reads_as_the_model_says
            dropping_keeps_sums
            every_field_and_outcome_comes_back
            excess_goes_oldest_first
            hours_are_the_sums_of_observations
            latest_are_ordered_and_limited
            names_that_nothing_needs_go
            pages_follow_each_other
            reading_nothing_gives_nothing
            since_leaves_out_what_has_ended
            two_handles_see_each_other
            two_writers_lose_nothing
            what_reads_only_does_not_write
        );
    };
}

/// Opens a store that is expected to open.
#[track_caller]
fn opened(location: &Location) -> Box<dyn HistoryStore> {
    open(location).unwrap_or_else(|error| panic!("it opens: {error:?}"))
}

/// Everything in the store, read in pages of this many.
#[track_caller]
fn everything(store: &mut dyn HistoryStore, page: u32) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let id = all.last().map_or(0, |last| last.id);
        let next = store.observations(&Query::After { id, limit: page }).expect("it reads");
        if next.is_empty() {
            return all;
        }
        assert!(next.len() <= page as usize, "a page holds at most what was asked for");
        all.extend(next);
    }
}

/// Checks that the store holds exactly these, in this order, with ids that grow by one.
#[track_caller]
fn check_holds(store: &mut dyn HistoryStore, expected: &[Observation]) {
    let all = everything(store, 1_000);
    let ids: Vec<i64> = all.iter().map(|stored| stored.id).collect();
    let first = ids.first().copied().unwrap_or(1);
    assert_eq!(ids, (first..first + expected.len() as i64).collect::<Vec<_>>());
    for (stored, expected) in all.iter().zip(expected) {
        assert_eq!(&stored.observation, expected);
    }
}
