//! One task for each browser.

use std::sync::Arc;

use pool_core::LeaveCause;
use recovery::Fault;

use super::memory::Order;
use super::patient::{Patient, leave_cause};

/// What a browser needs.
enum Call {
    /// To be revived.
    Trouble(Fault),
    /// Something that it was told.
    Order(Order),
}

/// Keeps a browser in the pool until everything stops or it cannot be revived; then ends it.
pub(crate) async fn supervise(patient: Arc<Patient>) {
    let stop = patient.shared.stop.clone();
    loop {
        let call = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            fault = patient.trouble() => Call::Trouble(fault),
            order = patient.desk.taken() => Call::Order(order),
        };
        let answer = async {
            match call {
                Call::Trouble(fault) => {
                    let lives = patient.revive(fault).await;
                    patient.desk.outdated();
                    lives
                }
                Call::Order(order) => patient.carry_out(order).await,
            }
        };
        let goes_on = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            goes_on = answer => goes_on,
        };
        patient.desk.done();
        if !goes_on {
            break;
        }
    }
    patient.end().await;
}

impl Patient {
    /// Revives the browser. Answers whether it lives.
    pub(super) async fn revive(&self, fault: Fault) -> bool {
        let shared = &self.shared;
        let subject = self.subject();
        let name = self.state.lock().spec.name;
        let troubled = shared.troubled(name);
        let silent = matches!(fault, Fault::PageHung | Fault::WorkerHung);
        let since = tokio::time::Instant::now();
        self.state.lock().since = Some(since);
        // A page whose connection broke may come back with all that it holds and go on with its calls.
        let may_return = fault == Fault::SocketLost && shared.options.enabled;
        if self.page().end_cause().is_some() || !(silent || may_return) {
            self.depart(leave_cause(fault)).await;
        }
        if !shared.options.enabled {
            self.depart(LeaveCause::Crashed).await;
            tracing::warn!(browser = %name, %fault, "a browser is lost");
            troubled.for_good();
            return false;
        }
        shared.pay();
        let fault = if silent { self.hung(fault).await } else { fault };
        let ended = shared.recovery.recover(subject, fault, self).await;
        self.state.lock().since = None;
        match ended {
            Ok(recovered) => {
                let worker = self.state.lock().worker;
                tracing::info!(
                    browser = %name, %worker, fault = %recovered.fault, rung = %recovered.rung,
                    took = ?recovered.took, "a browser is back"
                );
                true
            }
            Err(error) => {
                tracing::warn!(browser = %name, error = &error as &dyn std::error::Error, "a browser is given up");
                let held = self.state.lock().lost.clone();
                shared.pool.observe_recovery(subject.worker, &held, since.elapsed(), false);
                troubled.for_good();
                false
            }
        }
    }

    /// What is wrong with a page that is silent, or does not do what it was asked: its driver may be dead or stopped too,
    /// and then no fresh page can be asked for. One that answers a ping of its own meanwhile has no worse than what was
    /// seen first, whatever its driver does.
    async fn hung(&self, fault: Fault) -> Fault {
        let limit = self.shared.options.answer;
        let page = self.page();
        let (ping, signs) = tokio::join!(page.ping(limit), self.look(limit));
        self.state.lock().unanswered = ping.is_err();
        if ping.is_ok() {
            return fault;
        }
        match recovery::diagnose(&signs, &self.shared.options.settings.diagnosis) {
            Some(worse) if worse < Fault::PageHung => {
                self.depart(leave_cause(worse)).await;
                worse
            }
            _ => Fault::PageHung,
        }
    }
}
