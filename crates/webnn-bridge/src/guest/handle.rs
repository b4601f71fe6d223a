//! A guest that was let in, as the pool holds it.

use std::sync::Arc;

use telemetry::GuestRefusal;
use tokio::sync::{Mutex as AsyncMutex, watch};
use vocab::BrowserName;

use super::Wish;
use crate::link::{Page, PageEnd};
use crate::protocol::ToPage;
use crate::server::{LaunchGuard, Pages, Place};

/// Something that concerns guests.
#[derive(Debug)]
#[non_exhaustive]
pub enum GuestNews {
    /// Somebody showed a code and was let in. A page may follow.
    Came(Guest),
    /// Somebody was refused.
    Refused(GuestRefusal),
}

/// How a guest does, as its page shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// `waiting` for its proof, `working`, `paused` or `leaving`.
    pub state: &'static str,
    /// How many runs have ended there.
    pub answers: u64,
    /// How many of its answers were compared with the owner's workers and found right.
    pub confirmed: u32,
    /// Whether all of its answers are compared at present.
    pub on_probation: bool,
}

impl Standing {
    /// A guest in this state, of which nothing else is known yet.
    #[must_use]
    pub const fn new(state: &'static str) -> Self {
        Self { state, answers: 0, confirmed: 0, on_probation: true }
    }
}

/// A guest that was let in. Dropping it ends its page, and its tokens are of no use any more.
#[derive(Debug)]
pub struct Guest {
    pub(crate) guard: LaunchGuard,
    pub(crate) pages: AsyncMutex<Pages>,
    /// Dropped with it: then there is room for another.
    pub(crate) _place: Place,
}

impl Guest {
    /// Its name: `guest-3`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.guard.launch().label
    }

    /// The browser that it claims to be.
    #[must_use]
    pub fn claims(&self) -> BrowserName {
        self.guard.launch().terms.browser
    }

    /// The version that it claims to have; digits and dots, or empty.
    #[must_use]
    pub fn claimed_version(&self) -> String {
        self.guard.launch().version.lock().clone()
    }

    /// Whether a page of it is connected; it may not be ready yet.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.guard.launch().is_connected()
    }

    /// The next page of this guest that is ready: its first, or one that was loaded anew. `Err` where none can come: the
    /// page does not speak the protocol. Whoever calls says how long a guest may stay away.
    ///
    /// # Errors
    /// How the page ended.
    pub async fn next_page(&self) -> Result<Page, PageEnd> {
        let mut pages = self.pages.lock().await;
        loop {
            pages.changed().await.map_err(|_| PageEnd::Closed)?;
            match pages.borrow_and_update().clone() {
                Some(Ok(page)) if page.end_cause().is_none() => return Ok(page),
                Some(Err(end)) => return Err(end),
                Some(Ok(_)) | None => {}
            }
        }
    }

    /// What it wants, as it said last.
    #[must_use]
    pub fn wishes(&self) -> watch::Receiver<Wish> {
        match &self.guard.launch().guest {
            Some(entry) => entry.wish.subscribe(),
            None => watch::Sender::new(Wish::Work).subscribe(),
        }
    }

    /// Tells its page how it does, where one is connected.
    pub async fn tell(&self, standing: Standing) {
        self.send(ToPage::Standing(standing)).await;
    }

    /// Has its page load itself anew.
    pub async fn reload(&self) {
        self.send(ToPage::Reload).await;
    }

    async fn send(&self, message: ToPage) {
        let page = self.guard.launch().current.lock().clone();
        if let Some(page) = page {
            // A page that is not there hears of it when it is back.
            let _ = page.presence().send(message).await;
        }
    }

    /// Sees it off, after it said goodbye.
    pub fn goodbye(self) {
        self.end(PageEnd::Left);
    }

    /// Puts it out for good. Its page is told why.
    pub fn put_out(self, why: impl Into<String>) {
        self.end(PageEnd::PutOut { why: why.into() });
    }

    fn end(self, end: PageEnd) {
        let launch = Arc::clone(self.guard.launch());
        self.guard.over(&end.to_string());
        let page = launch.current.lock().take();
        if let Some(page) = page {
            page.end(end);
        }
    }
}
