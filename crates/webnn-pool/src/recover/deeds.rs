//! What is done on each rung.

use std::sync::Arc;

use pool_core::LeaveCause;
use recovery::AttemptError;
use tokio::time::Instant;
use webnn_bridge::{LaunchError, LaunchSpec};

use super::choice::substitute;
use super::error::ReviveError;
use super::patient::Patient;

impl Patient {
    /// Asks the page's main thread.
    pub(super) async fn ping(&self, until: Instant) -> Result<(), ReviveError> {
        let limit = until.saturating_duration_since(Instant::now());
        self.page().ping(limit).await.map(drop).map_err(ReviveError::Ping)
    }

    /// Waits for a page that comes by itself.
    pub(super) async fn reconnect(&self) -> Result<(), ReviveError> {
        let browser = self.browser().ok_or(ReviveError::NoBrowser)?;
        // A page that was silent first, and lost its connection later, is still in the pool; what it holds is known only
        // once it is out.
        self.depart(LeaveCause::Disconnected).await;
        let absence = self.shared.options.absence;
        let away = async {
            // Whoever has connected may take its time to get ready; the ladder limits it.
            while tokio::time::timeout(absence, connected(&browser)).await.is_ok() {
                disconnected(&browser).await;
            }
        };
        let crashed = async {
            if !browser.has_crashed(absence).await {
                std::future::pending().await
            }
        };
        let page = tokio::select! {
            biased;
            page = browser.next_page() => page.ok_or(ReviveError::NoPage)?,
            () = crashed => {
                self.state.lock().crashed = true;
                return Err(ReviveError::Crashed);
            }
            () = away => return Err(ReviveError::Absent(absence)),
        };
        self.state.lock().fresh = Some(page);
        Ok(())
    }

    /// Loads the page anew.
    pub(super) async fn refresh(&self) -> Result<(), ReviveError> {
        let (browser, name) = {
            let state = self.state.lock();
            (state.browser.clone().ok_or(ReviveError::NoBrowser)?, state.spec.name)
        };
        self.depart(LeaveCause::Unresponsive).await;
        browser.reload().await.map_err(|source| ReviveError::Launch { browser: name, source })?;
        let page = browser.next_page().await.ok_or(ReviveError::NoPage)?;
        self.state.lock().fresh = Some(page);
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
        let name = spec.name;
        self.depart(LeaveCause::Crashed).await;
        let before = self.state.lock().browser.take();
        if let Some(before) = before.and_then(Arc::into_inner) {
            before.kill().await;
        }
        let failed = |source| ReviveError::Launch { browser: name, source };
        let bridge = self.shared.bridge.upgrade().ok_or_else(|| failed(LaunchError::ShuttingDown))?;
        let (browser, page) = bridge.launch(spec.clone()).await.map_err(failed)?;
        let mut state = self.state.lock();
        state.spec = spec;
        state.browser = Some(Arc::new(browser));
        state.crashed = false;
        state.fresh = Some(page);
        Ok(())
    }
}

/// Between two looks at a connection.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

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
