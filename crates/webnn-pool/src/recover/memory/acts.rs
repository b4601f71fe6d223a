//! What a browser does when it is told to.

use std::sync::Arc;

use pool_core::LeaveCause;
use recovery::{Fault, Rung, diagnose};
use telemetry::{Event, Relief};
use tokio::time::{Instant, timeout, timeout_at};
use vocab::WorkerId;

use super::order::{Order, Why};
use crate::recover::Patient;

impl Patient {
    /// Does what it was told. Answers whether the browser lives.
    ///
    /// Cancellation safety: whoever drops this ends the browser next; a worker that is out of the pool stays out.
    pub(in crate::recover) async fn carry_out(&self, order: Order) -> bool {
        let worker = self.state.lock().worker;
        self.quiet(worker).await;
        match order {
            Order::Refresh(why) => self.renew(worker, Rung::Refresh, Some(why)).await,
            Order::Relaunch(why) => self.renew(worker, Rung::Restart, why).await,
            Order::Shrink(why) => {
                let (spec, label) = {
                    let state = self.state.lock();
                    (state.spec.clone(), state.page.label().to_owned())
                };
                self.depart(LeaveCause::Retired).await;
                self.shared.unlist(&label);
                self.shared.launching.shelve(spec);
                tracing::warn!(page = label, level = %why.level, "the pool does without a browser until memory is there again");
                self.tell(worker, Relief::PoolShrunk, why);
                false
            }
            Order::Retire(cause) => {
                self.depart(cause).await;
                false
            }
        }
    }

    /// Gives the worker nothing new, and waits until what runs there has ended, but not for ever.
    async fn quiet(&self, worker: WorkerId) {
        let limit = self.shared.options.memory.drain;
        if timeout(limit, self.shared.pool.drain_worker(worker)).await.is_err() {
            tracing::warn!(%worker, ?limit, "what runs on a worker is tried again, because it did not end in time");
        }
    }

    /// Loads the page anew, or launches the browser again, and proves it as after a fault. What that does not mend is
    /// left to recovery.
    async fn renew(&self, worker: WorkerId, rung: Rung, why: Option<Why>) -> bool {
        if self.page().end_cause().is_some() {
            // It was lost while it was waited for.
            return self.mend().await;
        }
        self.depart(LeaveCause::Relieved).await;
        let limits = &self.shared.options.settings.ladder.limits;
        let limit = if rung == Rung::Refresh { limits.refresh } else { limits.restart };
        let until = Instant::now() + limit;
        let done = async {
            if rung == Rung::Refresh {
                self.refresh().await?
            } else {
                self.restart().await?
            }
            self.serves_again(rung, until).await
        };
        match timeout_at(until, done).await {
            Ok(Ok(())) => {
                tracing::info!(%worker, %rung, "a browser has given its memory back");
                let relief =
                    if rung == Rung::Refresh { Relief::PageRefreshed } else { Relief::BrowserRecycled };
                if let Some(why) = why {
                    self.tell(worker, relief, why);
                }
                return true;
            }
            Ok(Err(error)) => {
                tracing::warn!(%worker, %rung, error = &error as &dyn std::error::Error, "a browser did not come back");
            }
            Err(_) => tracing::warn!(%worker, %rung, ?limit, "a browser did not come back in time"),
        }
        self.mend().await
    }

    async fn mend(&self) -> bool {
        let signs = self.look(self.shared.options.answer).await;
        let fault = diagnose(&signs, &self.shared.options.settings.diagnosis);
        self.revive(fault.unwrap_or(Fault::OutOfMemory)).await
    }

    pub(super) fn tell(&self, worker: WorkerId, relief: Relief, why: Why) {
        let Why { level, source } = why;
        emit(&self.shared, Event::MemoryRelieved { worker, relief, level, source });
    }
}

#[allow(clippy::disallowed_methods, reason = "the shell is where the time comes from")]
pub(super) fn emit(shared: &Arc<crate::recover::Shared>, event: Event) {
    shared.pool.telemetry().emit(Instant::now().into_std(), event);
}
