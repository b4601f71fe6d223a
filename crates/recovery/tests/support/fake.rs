//! A subject whose deeds follow a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use recovery::{AttemptError, Reviver, Rung, RungSet, Signs};
use tokio::time::Instant;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Ok,
    Err,
    /// Works, after this time.
    Slow(Duration),
    Never,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scripted")]
pub(crate) struct Scripted;

/// Follows its script, and counts the calls that are going on.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) offers: RungSet,
    pub(crate) attempt: Act,
    pub(crate) proof: Act,
    pub(crate) look: Act,
    pub(crate) signs: Mutex<Signs>,
    pub(crate) tried: Mutex<Vec<Rung>>,
    /// Calls that are going on, on this subject or on all that share it.
    pub(crate) inside: Arc<AtomicUsize>,
    pub(crate) restarting: Arc<AtomicUsize>,
    pub(crate) most_restarting: Arc<AtomicUsize>,
}

impl Fake {
    pub(crate) fn new(attempt: Act, proof: Act, look: Act) -> Self {
        Self {
            offers: RungSet::ALL,
            attempt,
            proof,
            look,
            signs: Mutex::default(),
            tried: Mutex::default(),
            inside: Arc::default(),
            restarting: Arc::default(),
            most_restarting: Arc::default(),
        }
    }
}

/// Counts one call for as long as it is there.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, SeqCst);
        Self(Arc::clone(counter))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn act(act: Act) -> Result<(), AttemptError<Scripted>> {
    match act {
        Act::Ok => Ok(()),
        Act::Err => Err(Scripted.into()),
        Act::Unavailable => Err(AttemptError::Unavailable),
        Act::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Act::Never => std::future::pending().await,
    }
}

impl Reviver for Fake {
    type Error = Scripted;

    fn offers(&self) -> RungSet {
        self.offers
    }

    async fn signs(&self) -> Signs {
        let _inside = Count::new(&self.inside);
        let _ = act(self.look).await;
        self.signs.lock().clone()
    }

    async fn attempt(&self, rung: Rung, until: Instant) -> Result<(), AttemptError<Scripted>> {
        assert!(Instant::now() < until, "an attempt has time");
        let _inside = Count::new(&self.inside);
        self.tried.lock().push(rung);
        let _restarting = (rung == Rung::Restart).then(|| Count::new(&self.restarting));
        self.most_restarting.fetch_max(self.restarting.load(SeqCst), SeqCst);
        act(self.attempt).await
    }

    async fn proved(&self, _rung: Rung, _until: Instant) -> Result<(), Scripted> {
        let _inside = Count::new(&self.inside);
        act(self.proof).await.map_err(|_| Scripted)
    }
}
