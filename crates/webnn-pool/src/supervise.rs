//! One task for each browser: its pages join the pool when they are ready and leave it when they end.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::{LeaveCause, Membership, Pool};
use tokio_util::sync::CancellationToken;
use webnn_bridge::{LaunchedBrowser, Page, PageEnd};

/// How long a page that was lost may take to come back by itself before it is loaded anew. Its own attempts come within
/// the first seconds; after that, its process is gone or hangs.
const RECONNECT: Duration = Duration::from_secs(5);

/// Lets a page join the pool.
pub(crate) fn join(pool: &Pool<Page>, page: &Page) -> Membership {
    pool.join(worker_info(page), Arc::new(page.clone()))
}

/// Keeps a browser's pages in the pool, and the list of `pages` up to date, until `stop`; then closes the browser. The
/// first page has joined already.
pub(crate) async fn supervise(
    pool: Pool<Page>,
    pages: Arc<Mutex<Vec<Page>>>,
    browser: LaunchedBrowser,
    first: (Page, Membership),
    stop: CancellationToken,
) {
    let mut present = Some(first);
    while let Some((current, membership)) = present.take() {
        let patience = tokio::select! {
            end = current.ended() => {
                tracing::warn!(worker = %membership.worker(), page = current.label(), %end, "a page left the pool");
                membership.leave(cause(&end));
                RECONNECT
            }
            // The pool has put it out although it is there: only a fresh page is worth another try.
            why = membership.closed() => {
                tracing::warn!(page = current.label(), ?why, "the pool put a worker out");
                if why == LeaveCause::Shutdown { RECONNECT } else { Duration::ZERO }
            }
            () = stop.cancelled() => {
                membership.leave(LeaveCause::Retired);
                break;
            }
        };
        tokio::select! {
            next = successor(&browser, patience) => present = next.map(|page| {
                let mut all = pages.lock();
                all.retain(|known| known.label() != page.label());
                all.push(page.clone());
                let membership = join(&pool, &page);
                (page, membership)
            }),
            () = stop.cancelled() => {}
        }
    }
    browser.end().await;
}

/// The next page of a browser: one that comes by itself within `patience`, else the one that a reload brings.
async fn successor(browser: &LaunchedBrowser, patience: Duration) -> Option<Page> {
    // No page at all, as after a violation of the protocol, is a reason for a reload too; a browser that is gone
    // refuses it.
    if let Ok(Some(next)) = tokio::time::timeout(patience, browser.next_page()).await {
        return Some(next);
    }
    if let Err(error) = browser.reload().await {
        tracing::warn!(browser = browser.label(), %error, "a page could not be loaded anew");
    }
    browser.next_page().await
}

/// What the page told, with hardware before software: a software adapter is slower than WASM on the same processor.
fn worker_info(page: &Page) -> pool_core::WorkerInfo {
    let mut info = page.worker_info();
    info.backends.sort_by_key(|backend| backend.software);
    info
}

fn cause(end: &PageEnd) -> LeaveCause {
    match end {
        PageEnd::Closed => LeaveCause::Retired,
        PageEnd::Silent { .. } => LeaveCause::Unresponsive,
        PageEnd::EngineLost { .. } | PageEnd::DriverEnded => LeaveCause::Crashed,
        _ => LeaveCause::Disconnected,
    }
}
