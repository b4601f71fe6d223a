//! One task for each browser: its pages join the pool when they are ready and leave it when they end.

use std::sync::Arc;

use pool_core::{LeaveCause, Membership, Pool};
use tokio_util::sync::CancellationToken;
use webnn_bridge::{LaunchedBrowser, Page, PageEnd};

/// Lets a page join the pool.
pub(crate) fn join(pool: &Pool<Page>, page: &Page) -> Membership {
    pool.join(worker_info(page), Arc::new(page.clone()))
}

/// Keeps a browser's pages in the pool until `stop`, then closes the browser. The first page has joined already.
pub(crate) async fn supervise(
    pool: Pool<Page>,
    browser: LaunchedBrowser,
    first: (Page, Membership),
    stop: CancellationToken,
) {
    let mut present = Some(first);
    while let Some((current, membership)) = present.take() {
        tokio::select! {
            end = current.ended() => {
                tracing::warn!(worker = %membership.worker(), page = current.label(), %end, "a page left the pool");
                membership.leave(cause(&end));
            }
            why = membership.closed() => {
                tracing::warn!(page = current.label(), ?why, "the pool put a worker out");
            }
            () = stop.cancelled() => {
                membership.leave(LeaveCause::Retired);
                break;
            }
        }
        tokio::select! {
            next = browser.next_page() => present = next.map(|page| {
                let membership = join(&pool, &page);
                (page, membership)
            }),
            () = stop.cancelled() => {}
        }
    }
    browser.end().await;
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
