//! One data connection: what goes out on it, and who waits for what comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tensor::frame::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::Backend;

use crate::protocol::kind;

/// Frames that may wait for the socket. The pool bounds what it sends by a worker's slots, so more than a few means that
/// the page does not read; then senders wait, under their deadlines.
const OUTBOUND: usize = 16;

/// What the socket's task sends.
pub(crate) type Outbound = mpsc::Receiver<Bytes>;

/// The host's side of an engine's data connection.
#[derive(Debug)]
pub(crate) struct Engine {
    backend: Backend,
    outbound: mpsc::Sender<Bytes>,
    pending: Mutex<Option<Pending>>,
    closed: CancellationToken,
}

/// Who waits.
#[derive(Debug, Default)]
struct Pending {
    calls: HashMap<u64, Waiting>,
    /// When the page answered last. It works one call off after the other, so the next one began then.
    answered: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    reply: oneshot::Sender<Frame>,
    since: Instant,
    /// How long it may take by all that is known; `None` where nothing is.
    usual: Option<Duration>,
}

/// A call that takes so many times longer than ever is not merely slow.
const OVERDUE: u32 = 20;

impl Engine {
    /// An engine and the queue from which its socket is to send.
    pub(crate) fn new(backend: Backend) -> (Arc<Self>, Outbound) {
        let (outbound, queue) = mpsc::channel(OUTBOUND);
        let pending = Mutex::new(Some(Pending::default()));
        (Arc::new(Self { backend, outbound, pending, closed: CancellationToken::new() }), queue)
    }

    /// Which backend it serves.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// The queue of the socket.
    pub(crate) fn outbound(&self) -> &mpsc::Sender<Bytes> {
        &self.outbound
    }

    /// Announces a call that usually takes no longer than `usual`. `None` if the connection has closed.
    pub(crate) fn expect(self: &Arc<Self>, id: u64, usual: Option<Duration>) -> Option<Expected> {
        let (sender, reply) = oneshot::channel();
        let waiting = Waiting { reply: sender, since: Instant::now(), usual };
        self.pending.lock().as_mut()?.calls.insert(id, waiting);
        Some(Expected { engine: Arc::clone(self), id, reply: Some(reply) })
    }

    /// Hands an answer to whoever waits for it. False if nobody does, which is normal after a cancellation.
    pub(crate) fn deliver(&self, frame: Frame) -> bool {
        let waiter = self.pending.lock().as_mut().and_then(|pending| {
            pending.answered = Some(Instant::now());
            pending.calls.remove(&frame.id)
        });
        waiter.is_some_and(|waiter| waiter.reply.send(frame).is_ok())
    }

    /// Ends the connection: every waiter sees it, and no call can be announced any more.
    pub(crate) fn close(&self) {
        let waiters = self.pending.lock().take();
        self.closed.cancel();
        drop(waiters);
    }

    /// Resolves when the connection has ended.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Asks the page to give a call up. If the queue is full the page is not reading, and would not read this either.
    pub(crate) fn cancel(&self, id: u64) {
        if let Ok(frame) = tensor::frame::encode(kind::CANCEL, id, b"", &[]) {
            let _ = self.outbound.try_send(frame);
        }
    }

    /// Whether a call that was announced before this one still waits for its answer.
    pub(crate) fn has_before(&self, id: u64) -> bool {
        self.pending.lock().as_ref().is_some_and(|pending| pending.calls.keys().any(|&other| other < id))
    }

    /// Whether the call that the page works on has taken longer than `floor`, and many times longer than it ever did.
    /// Never, where it is not known how long that is.
    pub(crate) fn is_overdue(&self, floor: Duration) -> bool {
        let pending = self.pending.lock();
        let Some(pending) = pending.as_ref() else { return false };
        let Some((_, first)) = pending.calls.iter().min_by_key(|(id, _)| **id) else { return false };
        let began = pending.answered.map_or(first.since, |answered| answered.max(first.since));
        first.usual.is_some_and(|usual| began.elapsed() > floor.max(usual.saturating_mul(OVERDUE)))
    }

    /// Calls that wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.lock().as_ref().map_or(0, |pending| pending.calls.len())
    }
}

/// A call whose answer is awaited.
///
/// Cancellation safety: whoever drops this before the answer has come takes the entry out of the table and asks the page
/// to give the call up, so that neither side keeps it.
#[derive(Debug)]
pub(crate) struct Expected {
    engine: Arc<Engine>,
    id: u64,
    reply: Option<oneshot::Receiver<Frame>>,
}

impl Expected {
    /// The answer; `None` if the connection ended first. May be awaited again after it was dropped unfinished.
    pub(crate) async fn reply(&mut self) -> Option<Frame> {
        let reply = self.reply.as_mut()?.await.ok();
        self.reply = None;
        reply
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.reply.is_some() {
            let waited =
                self.engine.pending.lock().as_mut().and_then(|pending| pending.calls.remove(&self.id));
            if waited.is_some() {
                self.engine.cancel(self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_secs(5);

    #[track_caller]
    fn check(engine: &Engine, overdue: bool) {
        assert_eq!(engine.is_overdue(FLOOR), overdue);
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_may_take_many_times_what_it_took_and_no_more() {
        let (engine, _outbound) = Engine::new(Backend::Wasm);
        let quick = engine.expect(1, Some(Duration::from_millis(10))).expect("it is open");
        pass(5).await;
        check(&engine, false);
        pass(1).await;
        check(&engine, true);
        drop(quick);
        check(&engine, false);
        let _slow = engine.expect(2, Some(Duration::from_secs(1))).expect("it is open");
        pass(20).await;
        check(&engine, false);
        pass(1).await;
        check(&engine, true);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_knows_may_take_for_ever() {
        let (engine, _outbound) = Engine::new(Backend::Wasm);
        let _load = engine.expect(1, None).expect("it is open");
        let _run = engine.expect(2, Some(Duration::from_millis(10))).expect("it is open");
        pass(600).await;
        check(&engine, false);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_begins_when_the_one_before_it_is_answered() {
        let (engine, _outbound) = Engine::new(Backend::Wasm);
        let _load = engine.expect(1, None).expect("it is open");
        let _run = engine.expect(2, Some(Duration::from_millis(10))).expect("it is open");
        pass(60).await;
        let answer = tensor::frame::encode(kind::LOADED, 1, b"", &[]).expect("a frame");
        let answer = tensor::frame::decode(answer, &tensor::frame::Limits::default()).expect("a frame");
        assert!(engine.deliver(answer));
        pass(5).await;
        check(&engine, false);
        pass(1).await;
        check(&engine, true);
    }
}
