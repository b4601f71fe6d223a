//! What can be seen of a browser.

use std::time::Duration;

use recovery::{Seen, Signs};
use vocab::FailureKind;
use webnn_bridge::{PageEnd, Tab};

use super::patient::Patient;

/// What a page said of itself when it gave up.
fn reported(end: Option<&PageEnd>) -> Option<FailureKind> {
    let Some(PageEnd::EngineLost { reason }) = end else { return None };
    // Browsers tell of a thread that failed in their own words, and this is a part of all of them.
    reason.to_lowercase().contains("out of memory").then_some(FailureKind::OutOfMemory)
}

impl Patient {
    /// What is known without asking anybody.
    pub(super) fn glance(&self) -> Signs {
        let (page, browser, crashed) = {
            let state = self.state.lock();
            (state.page.clone(), state.browser.clone(), state.crashed)
        };
        let mut signs = Signs::default();
        signs.tab_crashed = crashed;
        signs.leases = u32::try_from(page.calls_in_flight()).unwrap_or(u32::MAX);
        match &browser {
            None => signs.process = Seen::Down,
            Some(browser) if browser.driver_ended() => signs.driver = Seen::Down,
            Some(_) => {}
        }
        let ended = page.end_cause();
        if ended.is_none() && !page.is_connected() {
            signs.control = Seen::Down;
        } else if ended.is_none() {
            signs.control = Seen::Up;
            signs.control_silence = Some(page.silence());
        } else if matches!(ended, Some(PageEnd::Silent { .. })) {
            // The connection was there, and was given up because nobody answered over it.
            signs.control_silence = Some(page.silence());
        } else if let Some(kind) = reported(ended.as_ref()) {
            // The page was there to say so. That it is closed now is our doing.
            signs.reported.push(kind);
        } else {
            signs.control = Seen::Down;
        }
        signs
    }

    /// The same, after asking the driver.
    pub(super) async fn look(&self, limit: Duration) -> Signs {
        let mut signs = self.glance();
        let Some(browser) = self.browser() else { return signs };
        if signs.driver == Seen::Down {
            return signs;
        }
        match browser.tab(limit).await {
            Tab::Open => {
                signs.process = Seen::Up;
                signs.driver = Seen::Up;
            }
            // It may be the driver that has just ended.
            Tab::Gone if browser.driver_ended() => signs.driver = Seen::Down,
            Tab::Gone => signs.process = Seen::Down,
            // Neither page nor driver answers. Whatever goes through this driver would not be done.
            Tab::NoAnswer if signs.control != Seen::Down => signs.driver = Seen::Down,
            Tab::NoAnswer => {}
        }
        signs
    }
}
