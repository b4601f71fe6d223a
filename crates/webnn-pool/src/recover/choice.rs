//! Which browser takes the place of one that cannot be revived.

use std::sync::Arc;

use perf_history::ShapeBucket;
use pool_core::Held;
use pool_core::selection::{ContextKey, Selector};
use provision::{Detection, detect};
use vocab::BrowserName;
use webnn_bridge::LaunchSpec;

use super::shared::Shared;
use crate::builder::PREFERRED;
use crate::history::unix_now;

/// The launch of the best browser that is installed, is not the lost one, and is not in trouble: by what was observed
/// about the models that were lost, else in the builder's order of preference. It gets the backends, devices and threads
/// of the lost one.
pub(super) async fn substitute(shared: &Arc<Shared>, lost: &LaunchSpec, held: &[Held]) -> Option<LaunchSpec> {
    let candidates: Vec<BrowserName> =
        PREFERRED.iter().copied().filter(|&name| name != lost.name && !shared.is_troubled(name)).collect();
    let home = shared.home.clone();
    // Detection runs programs with `--version` and waits for them.
    let found = tokio::task::spawn_blocking(move || {
        let found = candidates.into_iter().filter_map(|name| match detect(&home, name) {
            Detection::Found(installed) => Some(installed),
            _ => None,
        });
        found.collect::<Vec<_>>()
    });
    let found = found.await.ok()?;
    let names: Vec<BrowserName> = found.iter().map(|installed| installed.name).collect();
    let best = shared
        .pool
        .with_selector(|selector| best(selector, held, &names))
        .or_else(|| names.first().copied())?;
    let installed = found.into_iter().find(|installed| installed.name == best)?;
    let mut spec = LaunchSpec::installed(installed);
    spec.backends.clone_from(&lost.backends);
    spec.devices.clone_from(&lost.devices);
    spec.threads = lost.threads;
    spec.headless = lost.headless;
    Some(spec)
}

/// The browser of the arm that leads for one of the models, where something was observed of it.
fn best(selector: &Selector, held: &[Held], names: &[BrowserName]) -> Option<BrowserName> {
    held.iter().find_map(|held| {
        let hash = held.model.hash;
        let shapes: Vec<(ShapeBucket, _)> =
            selector.experience().shapes(hash).map(|(shape, arms)| (shape.clone(), arms)).collect();
        shapes.into_iter().find_map(|(shape, mut arms)| {
            arms.retain(|arm| names.contains(&arm.browser));
            arms.sort_unstable();
            let key = ContextKey { model: hash, shape };
            let rows = selector.standings(&key, held.model.model_type, &arms, unix_now());
            rows.first().map(|row| row.arm.browser)
        })
    })
}
