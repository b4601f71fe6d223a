//! What a browser is told to do although nothing is wrong with it.

use parking_lot::Mutex;
use pool_core::LeaveCause;
use recovery::PressureLevel;
use telemetry::PressureSource;
use tokio::sync::Notify;

/// Why an act about memory is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) level: PressureLevel,
    pub(crate) source: PressureSource,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Load the page anew, with the models that are there.
    Refresh(Why),
    /// End the browser and launch it again, with the models that are there.
    Relaunch(Option<Why>),
    /// End the browser for good.
    Shrink(Why),
    /// Another one has taken over: end what runs, and then the browser.
    Retire(LeaveCause),
}

/// Where a browser's orders lie: one at a time.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Waiting(Order),
    Busy,
}

impl Desk {
    /// Leaves an order. Answers whether there was room for it.
    pub(super) fn leave(&self, order: Order) -> bool {
        let mut state = self.state.lock();
        if *state != State::Free {
            return false;
        }
        *state = State::Waiting(order);
        drop(state);
        self.came.notify_one();
        true
    }

    /// Whether an order waits or is being carried out.
    pub(super) fn is_taken(&self) -> bool {
        *self.state.lock() != State::Free
    }

    /// Waits for an order.
    ///
    /// Cancellation safety: an order is taken in the same step in which this ends.
    pub(in crate::recover) async fn taken(&self) -> Order {
        loop {
            let came = self.came.notified();
            if let Some(order) = self.take() {
                return order;
            }
            came.await;
        }
    }

    fn take(&self) -> Option<Order> {
        let mut state = self.state.lock();
        let State::Waiting(order) = *state else { return None };
        *state = State::Busy;
        Some(order)
    }

    /// Forgets an order that waits and was meant for a page that is not there any more. That another browser has taken over
    /// is true all the same.
    pub(in crate::recover) fn outdated(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Waiting(order) if !matches!(order, Order::Retire(_))) {
            *state = State::Free;
        }
    }

    /// The order was carried out. One that came meanwhile waits on.
    pub(in crate::recover) fn done(&self) {
        let mut state = self.state.lock();
        if *state == State::Busy {
            *state = State::Free;
        }
    }
}
