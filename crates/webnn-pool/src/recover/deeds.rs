//! What is done on each rung.

use std::sync::Arc;

use pool_core::LeaveCause;
use recovery::AttemptError;
use tokio::time::Instant;
use webnn_bridge::LaunchSpec;

use super::choice::substitute;
use super::error::ReviveError;
use super::patient::Patient;

impl Patient {
    /// Asks the page's main thread.
    pub(super) async fn ping(&self, until: Instant) -> Result<(), ReviveError> {
        let limit = until.saturating_duration_since(Instant::now());
        self.page().ping(limit).await.map(drop).map_err(ReviveError::Ping)
    }

    /// Waits for the page to come back with all that it holds, or for another one that comes by itself.
    pub(super) async fn reconnect(&self) -> Result<(), ReviveError> {
        let browser = self.browser().ok_or(ReviveError::NoBrowser)?;
        let absence = self.shared.options.absence;
        let crashed = async {
            if !browser.has_crashed(absence).await {
                std::future::pending().await
            }
        };
        let before = self.page();
        let page = tokio::select! {
            biased;
            () = before.reconnected() => return Ok(()),
            page = browser.next_page() => page.ok_or(ReviveError::NoPage)?,
            () = crashed => {
                self.state.lock().crashed = true;
                return Err(ReviveError::Crashed);
            }
            () = away(&browser, absence) => return Err(ReviveError::Absent(absence)),
        };
        // Another page has come, so the one before it does not come back: what it held is known, and loaded again, only once
        // its worker is out.
        self.arrived(page);
        self.depart(LeaveCause::Disconnected).await;
        Ok(())
    }

    /// Loads the page anew.
    pub(super) async fn refresh(&self) -> Result<(), ReviveError> {
        let (browser, name) = {
            let state = self.state.lock();
            (state.browser.clone().ok_or(ReviveError::NoBrowser)?, state.spec.name)
        };
        self.depart(LeaveCause::Unresponsive).await;
        let (absence, before) = (self.shared.options.absence, self.page());
        let fresh = async {
            browser.reload().await.map_err(|source| ReviveError::Launch { browser: name, source })?;
            browser.next_page().await.ok_or(ReviveError::NoPage)
        };
        let stays = async {
            // A page that does not let go keeps its driver waiting too, for as long as that has patience.
            if tokio::time::timeout(absence, before.ended()).await.is_ok() {
                away(&browser, absence).await;
            }
        };
        let page = tokio::select! {
            biased;
            page = fresh => page?,
            () = stays => return Err(ReviveError::Absent(absence)),
        };
        self.arrived(page);
        Ok(())
    }

    /// Kills the browser and launches it again.
    pub(super) async fn restart(&self) -> Result<(), ReviveError> {
        let spec = self.state.lock().spec.clone();
        self.launch(spec).await
    }

    /// Has another browser take its place.
    pub(super) async fn switch(&self) -> Result<(), AttemptError<ReviveError>> {
        let (lost, held) = {
            let state = self.state.lock();
            (state.spec.clone(), state.lost.clone())
        };
        let Some(spec) = substitute(&self.shared, &lost, &held).await else {
            return Err(AttemptError::Unavailable);
        };
        tracing::info!(browser = %lost.name, by = %spec.name, "another browser takes over");
        Ok(self.launch(spec).await?)
    }

    /// Ends what there is, and launches this.
    ///
    /// Cancellation safety: a browser that is being killed is dropped, which kills it; a launch that is dropped leaves
    /// nothing.
    async fn launch(&self, spec: LaunchSpec) -> Result<(), ReviveError> {
        self.depart(LeaveCause::Crashed).await;
        let before = self.state.lock().browser.take().and_then(Arc::into_inner);
        let killed = async {
            if let Some(before) = before {
                before.kill().await;
            }
        };
        // Polled in this order, so the old one is killed first; what it leaves is cleared away while the new one starts.
        let ((), launched) = tokio::join!(killed, self.shared.launch(spec.clone()));
        let (browser, page) = launched?;
        {
            let mut state = self.state.lock();
            state.spec = spec;
            state.browser = Some(Arc::new(browser));
        }
        self.arrived(page);
        Ok(())
    }
}

/// Between two looks at a connection.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// Waits until no page of this browser has been connected for so long. One that has connected may take its time to get
/// ready; the ladder limits it.
async fn away(browser: &webnn_bridge::LaunchedBrowser, absence: std::time::Duration) {
    while tokio::time::timeout(absence, connected(browser)).await.is_ok() {
        disconnected(browser).await;
    }
}

async fn connected(browser: &webnn_bridge::LaunchedBrowser) {
    let mut looks = tokio::time::interval(LOOK);
    while !browser.is_connected() {
        looks.tick().await;
    }
}

async fn disconnected(browser: &webnn_bridge::LaunchedBrowser) {
    let mut looks = tokio::time::interval(LOOK);
    while browser.is_connected() {
        looks.tick().await;
    }
}
