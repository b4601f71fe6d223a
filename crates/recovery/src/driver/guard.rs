//! What a recovery holds while it goes on, and gives back however it ends.

use std::sync::Arc;

use telemetry::{Event, RecoveryEnd};
use tokio::sync::Notify;
use tokio::time::Instant;
use vocab::{Fault, Rung, WorkerId};

use super::recover::Shared;
use crate::ladder::Subject;
use crate::pace::{PermitId, Ticket};

/// Another diagnosis for a recovery that is going on.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) fault: parking_lot::Mutex<Option<Fault>>,
    pub(super) came: Notify,
}

/// The place of one recovery among all.
// Cancellation safety: whoever drops the future of a recovery drops this, which gives the permit, the place in the line
// and the place among the recoveries back, wakes those who wait for them, and tells telemetry that it was abandoned.
#[derive(Debug)]
pub(super) struct Going {
    shared: Arc<Shared>,
    pub(super) subject: Subject,
    pub(super) ticket: Ticket,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) permit: Option<PermitId>,
    pub(super) fault: Fault,
    pub(super) rung: Option<Rung>,
    began: Instant,
    told: bool,
    left: bool,
}

impl Going {
    /// Takes a place for a recovery that begins now. The caller has seen that there is one.
    pub(super) fn new(
        shared: Arc<Shared>,
        subject: Subject,
        fault: Fault,
        ticket: Ticket,
        mailbox: Arc<Mailbox>,
        began: Instant,
    ) -> Self {
        let Subject { worker, browser } = subject;
        shared.telemetry.emit(began.into_std(), Event::RecoveryStarted { worker, browser, fault });
        Self {
            shared,
            subject,
            ticket,
            mailbox,
            permit: None,
            fault,
            rung: None,
            began,
            told: false,
            left: false,
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        self.subject.worker
    }

    /// Gives the permit of a restart back, if there is one.
    pub(super) fn release(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.shared.state.lock().gate.leave(permit);
            self.shared.changed.notify_waiters();
        }
    }

    /// Gives its place among the recoveries up, and answers with what it was told and has not looked at. Both happen in
    /// one moment, so that nothing can be told to a recovery that does not listen any more.
    pub(super) fn leave(&mut self) -> Option<Fault> {
        let mut state = self.shared.state.lock();
        if !std::mem::replace(&mut self.left, true) {
            state.going.remove(&self.subject.worker);
        }
        self.mailbox.fault.lock().take()
    }

    /// Tells how it ended, once.
    pub(super) fn tell(&mut self, now: Instant, end: RecoveryEnd) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let event = Event::RecoveryEnded {
            worker: self.worker(),
            fault: self.fault,
            end,
            rung: self.rung,
            took_ms: now.saturating_duration_since(self.began).as_secs_f64() * 1e3,
        };
        self.shared.telemetry.emit(now.into_std(), event);
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state.lock();
            if let Some(permit) = self.permit.take() {
                state.gate.leave(permit);
            }
            state.gate.give_up(self.ticket);
            // Another recovery of the same worker may have begun since this one left.
            if !self.left {
                state.going.remove(&self.subject.worker);
            }
        }
        self.shared.changed.notify_waiters();
        self.tell(Instant::now(), RecoveryEnd::Abandoned);
    }
}
