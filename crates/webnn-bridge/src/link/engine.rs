//! One engine of a page: what goes out to it, and who waits for what comes back.
//!
//! An engine outlives its data connection for a while. What was asked and not answered is kept with its frame; the next
//! connection of the same engine is sent all of it again, in order. The page knows calls by their ids: it answers again
//! what it has answered, goes on with what it has begun, and begins what it had not heard of, so that nothing runs twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pool_core::Marks;
use tensor::frame::Frame;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::Backend;

use super::clock::PageClock;
use crate::protocol::{PageMarks, kind};

/// Frames that may wait for the socket. The pool bounds what it sends by a worker's slots, so more than a few means that
/// the page does not read; then senders wait, under their deadlines.
const OUTBOUND: usize = 16;

/// How many calls that are given up are remembered.
const MOST_GIVEN_UP: usize = 64;

fn cancellation(id: u64) -> Option<Outgoing> {
    tensor::frame::encode(kind::CANCEL, id, b"", &[]).ok().map(|frame| Outgoing { id, frame })
}

/// A frame on its way to the socket, with the call that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) id: u64,
    pub(crate) frame: Bytes,
}

/// What the socket's task sends.
pub(crate) type Outbound = mpsc::Receiver<Outgoing>;

/// An answer, and when the call and it passed the socket.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) frame: Frame,
    /// When the call began to be written, the first time where it was sent again over another connection: that may be
    /// the one that the page heard. `None` where the page answered what it was never sent.
    pub(super) sent: Option<Instant>,
    pub(super) received: Instant,
}

/// A call that waits for its answer.
#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Answer>,
    frame: Bytes,
    since: Instant,
    sent: Option<Instant>,
    /// How long it may take by all that is known; `None` where nothing is.
    usual: Option<Duration>,
}

/// A call that takes so many times longer than ever is not merely slow.
const OVERDUE: u32 = 20;

#[derive(Debug)]
struct State {
    /// `None` as long as there is no connection.
    outbound: Option<mpsc::Sender<Outgoing>>,
    /// In the order in which they were asked.
    pending: BTreeMap<u64, Waiting>,
    /// Calls that the page was asked to give up, and has not answered.
    given_up: BTreeSet<u64>,
    /// When the page answered last, or came back. It works one call off after the other, so the next one began then.
    answered: Option<Instant>,
}

/// The host's side of an engine.
#[derive(Debug)]
pub(crate) struct Engine {
    backend: Backend,
    /// What the page calls this engine; another one, after a reset, has another name.
    name: String,
    /// `None` once it is over.
    state: Mutex<Option<State>>,
    /// How the clock of its worker is related to the host's.
    clock: Mutex<PageClock>,
    /// How many connections there were, and whether the newest one is there.
    connections: watch::Sender<(u64, bool)>,
    closed: CancellationToken,
}

/// One connection of an engine.
pub(crate) struct Connection {
    pub(crate) outbound: Outbound,
    /// Which of the engine's connections it is.
    pub(crate) number: u64,
}

impl Engine {
    /// An engine without a connection.
    pub(crate) fn new(backend: Backend, name: String) -> Arc<Self> {
        let state =
            State { outbound: None, pending: BTreeMap::new(), given_up: BTreeSet::new(), answered: None };
        Arc::new(Self {
            backend,
            name,
            state: Mutex::new(Some(state)),
            clock: Mutex::default(),
            connections: watch::Sender::new((0, false)),
            closed: CancellationToken::new(),
        })
    }

    /// Which backend it serves.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// What the page calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A connection begins, in the place of an earlier one. What was asked and not answered goes out first, and then what
    /// is to be given up. `None` once the engine is over.
    pub(crate) fn connect(&self) -> Option<Connection> {
        let mut state = self.state.lock();
        let state = state.as_mut()?;
        let (sender, outbound) = mpsc::channel(OUTBOUND + state.pending.len() + state.given_up.len());
        for (&id, waiting) in &state.pending {
            // There is room for all of them.
            let _ = sender.try_send(Outgoing { id, frame: waiting.frame.clone() });
        }
        for outgoing in state.given_up.iter().filter_map(|&id| cancellation(id)) {
            let _ = sender.try_send(outgoing);
        }
        // Of those that nobody waits for, the page may know nothing, and then it answers nothing.
        let pending = &state.pending;
        state.given_up.retain(|id| pending.contains_key(id));
        state.answered = Some(Instant::now());
        // The earlier connection's queue ends with its sender.
        state.outbound = Some(sender);
        let mut number = 0;
        self.connections.send_modify(|connections| {
            *connections = (connections.0 + 1, true);
            number = connections.0;
        });
        Some(Connection { outbound, number })
    }

    /// A connection has ended. Answers whether it was the newest one.
    pub(crate) fn disconnect(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        let newest = self.connections.borrow().0 == number;
        if newest && let Some(state) = state.as_mut() {
            state.outbound = None;
            self.connections.send_modify(|connections| connections.1 = false);
        }
        newest
    }

    /// Waits for a connection after this one.
    pub(crate) async fn connected_after(&self, number: u64) {
        // The sender lives as long as `self`.
        let _ = self.connections.subscribe().wait_for(|connections| connections.0 > number).await;
    }

    /// Waits until there is a connection.
    pub(crate) async fn connected(&self) {
        let _ = self.connections.subscribe().wait_for(|connections| connections.1).await;
    }

    /// Announces a call that usually takes no longer than `usual`. `None` once the engine is over.
    pub(crate) fn expect(
        self: &Arc<Self>,
        id: u64,
        frame: Bytes,
        usual: Option<Duration>,
    ) -> Option<Expected> {
        let (answer, reply) = oneshot::channel();
        let waiting = Waiting { answer, frame, since: Instant::now(), sent: None, usual };
        self.state.lock().as_mut()?.pending.insert(id, waiting);
        Some(Expected { engine: Arc::clone(self), id, reply: Some(reply) })
    }

    /// Sends the frame of an announced call. Where there is no connection, or it ends meanwhile, the next one does.
    pub(crate) async fn send(&self, id: u64, frame: Bytes) {
        let outbound = self.state.lock().as_ref().and_then(|state| state.outbound.clone());
        if let Some(outbound) = outbound {
            let _ = outbound.send(Outgoing { id, frame }).await;
        }
    }

    /// The socket's task is about to write the frame of a call.
    pub(crate) fn sending(&self, id: u64) {
        if let Some(waiting) = self.state.lock().as_mut().and_then(|state| state.pending.get_mut(&id)) {
            waiting.sent.get_or_insert_with(Instant::now);
        }
    }

    /// Converts what the page told of a run to the host's clock; see [`PageClock::align`].
    pub(super) fn align(&self, sent: Instant, received: Instant, told: &PageMarks) -> Option<Marks> {
        self.clock.lock().align(sent, received, told)
    }

    /// Hands an answer to whoever waits for it. False if nobody does, which is normal after a cancellation, and when an
    /// answer comes twice over two connections.
    pub(crate) fn deliver(&self, frame: Frame) -> bool {
        let received = Instant::now();
        let waiting = self.state.lock().as_mut().and_then(|state| {
            state.answered = Some(received);
            state.given_up.remove(&frame.id);
            state.pending.remove(&frame.id)
        });
        waiting.is_some_and(|Waiting { answer, frame: _, since: _, sent, usual: _ }| {
            answer.send(Answer { frame, sent, received }).is_ok()
        })
    }

    /// Ends the engine: every waiter sees it, and no call can be announced any more.
    pub(crate) fn close(&self) {
        let state = self.state.lock().take();
        self.closed.cancel();
        drop(state);
    }

    /// Resolves when the engine is over.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Asks the page to give a call up; without a connection, the next one does. If the queue is full the page is not
    /// reading, and would not read this either.
    pub(crate) fn cancel(&self, id: u64) {
        let mut state = self.state.lock();
        let Some(state) = state.as_mut() else { return };
        if state.given_up.len() >= MOST_GIVEN_UP {
            // The page answers a call that it gives up at once; so many are none that it knows.
            state.given_up.pop_first();
        }
        state.given_up.insert(id);
        if let (Some(outbound), Some(outgoing)) = (&state.outbound, cancellation(id)) {
            let _ = outbound.try_send(outgoing);
        }
    }

    /// Whether a call that was announced before this one still waits for its answer.
    pub(crate) fn has_before(&self, id: u64) -> bool {
        self.state.lock().as_ref().is_some_and(|state| state.pending.range(..id).next().is_some())
    }

    /// Whether the call that the page works on has taken longer than `floor`, and many times longer than it ever did.
    /// Never, where it is not known how long that is, or as long as there is no connection to answer over.
    pub(crate) fn is_overdue(&self, floor: Duration) -> bool {
        let state = self.state.lock();
        let Some(state) = state.as_ref().filter(|state| state.outbound.is_some()) else { return false };
        let Some((_, first)) = state.pending.first_key_value() else { return false };
        let began = state.answered.map_or(first.since, |answered| answered.max(first.since));
        first.usual.is_some_and(|usual| began.elapsed() > floor.max(usual.saturating_mul(OVERDUE)))
    }

    /// Calls that wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().as_ref().map_or(0, |state| state.pending.len())
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
    reply: Option<oneshot::Receiver<Answer>>,
}

impl Expected {
    /// The answer; `None` if the engine ended first. May be awaited again after it was dropped unfinished.
    pub(super) async fn reply(&mut self) -> Option<Answer> {
        let reply = self.reply.as_mut()?.await.ok();
        self.reply = None;
        reply
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.reply.is_some() {
            let waited = self.engine.state.lock().as_mut().and_then(|state| state.pending.remove(&self.id));
            if waited.is_some() {
                self.engine.cancel(self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u64) -> Bytes {
        tensor::frame::encode(kind::RUN, id, b"{}", &[]).expect("a frame")
    }

    fn answer(id: u64) -> Frame {
        let bytes = tensor::frame::encode(kind::RESULT, id, b"{}", &[]).expect("a frame");
        tensor::frame::decode(bytes, &tensor::frame::Limits::default()).expect("a frame")
    }

    fn outgoing(id: u64) -> Outgoing {
        Outgoing { id, frame: frame(id) }
    }

    fn sent(connection: &mut Connection) -> Vec<Outgoing> {
        std::iter::from_fn(|| connection.outbound.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn what_was_not_answered_goes_out_again_in_order() {
        let engine = Engine::new(Backend::Wasm, "a".to_owned());
        let mut first = engine.connect().expect("it is open");
        let mut calls: Vec<_> =
            (1..=4).map(|id| engine.expect(id, frame(id), None).expect("it is open")).collect();
        for id in 1..=4 {
            engine.send(id, frame(id)).await;
        }
        assert_eq!(sent(&mut first), [1, 2, 3, 4].map(outgoing));
        assert!(engine.deliver(answer(2)));
        assert!(engine.disconnect(first.number));
        // Asked while there is no connection.
        let mut fifth = engine.expect(5, frame(5), None).expect("it is open");
        engine.send(5, frame(5)).await;
        drop(calls.remove(0));
        let mut second = engine.connect().expect("it is open");
        // The first call was dropped while there was no connection: the page hears that now, and only once.
        let mut again = [3, 4, 5].map(outgoing).to_vec();
        again.extend(cancellation(1));
        assert_eq!(sent(&mut second), again);
        assert!(engine.deliver(answer(5)) && !engine.deliver(answer(5)), "the second answer finds nobody");
        assert_eq!(fifth.reply().await.expect("an answer").frame.id, 5);
        assert!(!engine.disconnect(first.number), "an old connection's end is no news");
        engine.cancel(3);
        let mut third = engine.connect().expect("it is open");
        assert_eq!(sent(&mut third), [outgoing(3), outgoing(4), cancellation(3).expect("a frame")]);
        engine.close();
        assert!(calls[1].reply().await.is_none());
        assert!(engine.connect().is_none() && engine.expect(6, frame(6), None).is_none());
    }

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
        let engine = Engine::new(Backend::Wasm, String::new());
        let _connection = engine.connect().expect("it is open");
        let quick = engine.expect(1, frame(1), Some(Duration::from_millis(10))).expect("it is open");
        pass(5).await;
        check(&engine, false);
        pass(1).await;
        check(&engine, true);
        drop(quick);
        check(&engine, false);
        let _slow = engine.expect(2, frame(2), Some(Duration::from_secs(1))).expect("it is open");
        pass(20).await;
        check(&engine, false);
        pass(1).await;
        check(&engine, true);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_tells_when_the_call_was_written_first() {
        let engine = Engine::new(Backend::Wasm, "a".to_owned());
        let began = Instant::now();
        let mut call = engine.expect(1, frame(1), None).expect("it is open");
        pass(1).await;
        engine.sending(1);
        pass(1).await;
        // Again, over another connection.
        engine.sending(1);
        pass(1).await;
        assert!(engine.deliver(answer(1)));
        pass(1).await;
        let Answer { frame: _, sent, received } = call.reply().await.expect("an answer");
        let after = |at: Instant| at.duration_since(began).as_secs();
        assert_eq!((sent.map(after), after(received)), (Some(1), 3));
        engine.sending(1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_knows_may_take_for_ever() {
        let engine = Engine::new(Backend::Wasm, String::new());
        let _connection = engine.connect().expect("it is open");
        let _load = engine.expect(1, frame(1), None).expect("it is open");
        let _run = engine.expect(2, frame(2), Some(Duration::from_millis(10))).expect("it is open");
        pass(600).await;
        check(&engine, false);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_begins_when_the_one_before_it_is_answered() {
        let engine = Engine::new(Backend::Wasm, String::new());
        let _connection = engine.connect().expect("it is open");
        let _load = engine.expect(1, frame(1), None).expect("it is open");
        let _run = engine.expect(2, frame(2), Some(Duration::from_millis(10))).expect("it is open");
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
