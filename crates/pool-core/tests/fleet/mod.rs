//! A pool with recovery over browsers that break, under a clock that only the simulation moves.
//!
//! The decisions are the real ones: [`Core`] and what `recovery` is made of. Browsers, callers and everything between
//! decisions and deeds are simulated, in the same shape as `webnn-pool` has it. One seed is one history.

mod bugs;
mod callers;
mod calls;
mod checks;
mod deeds;
mod illness;
mod machine;
mod patient;
mod shared;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::core::{Core, LeaseId};
use pool_core::{Model, PoolConfig};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use vocab::{Backend, BrowserName, ModelHash, RequestId, SessionId, WorkerId};

pub(crate) use bugs::Bug;
use callers::Open;
use calls::{Link, Load, Run};
use machine::Machine;
use patient::Patient;
use shared::Shared;

/// A browser, by its place.
type Place = usize;

/// What happens at some time.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A request comes.
    Arrive,
    /// A caller goes away.
    Cancel(RequestId),
    /// Something breaks.
    Break,
    /// We ourselves stand still.
    Pause,
    /// Memory is read.
    Memory,
    /// A browser is looked at.
    Beat(Place),
    /// Its page's connection was seen to close.
    PageEnd(Place, u32),
    /// The pool has put its worker out.
    PutOut(Place, WorkerId),
    LoadEnd(SessionId),
    RunEnd(LeaseId),
    UnloadEnd(SessionId),
    /// Of a recovery: ask for the next step, begin a deed, end it, and its time is over. Each but for this turn is stale.
    Decide(Place, u64),
    Begin(Place, u64),
    Done(Place, u64),
    TimeUp(Place, u64),
    /// Somebody adds a browser in the place of one that was given up.
    Add(Place),
    /// Every worker is asked for something.
    Nudge,
}

/// What happened, to be compared between two runs of one seed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) faults: u64,
    pub(crate) accepted: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) recovered: u64,
    pub(crate) given_up: u64,
    pub(crate) loaded_again: u64,
    pub(crate) recycled: u64,
    pub(crate) shut_out: u64,
    pub(crate) waited_for_restarts: u64,
    pub(crate) wrong: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            steps,
            faults,
            accepted,
            answered,
            failed,
            recovered,
            given_up,
            loaded_again,
            recycled,
            shut_out,
            waited_for_restarts,
            wrong,
        } = self;
        *steps += other.steps;
        *faults += other.faults;
        *accepted += other.accepted;
        *answered += other.answered;
        *failed += other.failed;
        *recovered += other.recovered;
        *given_up += other.given_up;
        *loaded_again += other.loaded_again;
        *recycled += other.recycled;
        *shut_out += other.shut_out;
        *waited_for_restarts += other.waited_for_restarts;
        *wrong += other.wrong;
    }
}

/// How a history is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// For how many steps things break.
    pub(crate) steps: u64,
    pub(crate) bug: Option<Bug>,
    /// Whether to write down what happens.
    pub(crate) trace: bool,
}

/// How a history ended.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) tally: Tally,
    /// What did not hold; then the history ends there.
    pub(crate) broken: Option<String>,
    pub(crate) trace: Vec<String>,
}

pub(crate) struct World {
    core: Core,
    began: Instant,
    now: Instant,
    /// The time before this one at which something happened.
    before: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    scheduled: u64,
    random: SmallRng,
    machines: Vec<Machine>,
    patients: Vec<Patient>,
    links: BTreeMap<WorkerId, Link>,
    loads: BTreeMap<SessionId, Load>,
    runs: BTreeMap<LeaseId, Run>,
    unloads: BTreeMap<SessionId, WorkerId>,
    open: BTreeMap<RequestId, Open>,
    deadlines: BTreeSet<(Instant, RequestId)>,
    /// The answer of the run that has just ended.
    answer: Option<(RequestId, bool, (Place, u32))>,
    /// Pages that were found to compute wrongly.
    exposed: BTreeSet<(Place, u32)>,
    models: Vec<Arc<Model>>,
    /// The models of requests to load something again.
    asked: BTreeMap<RequestId, ModelHash>,
    /// What was ever loaded on a worker.
    loaded: BTreeMap<WorkerId, BTreeSet<(ModelHash, Backend)>>,
    shared: Shared,
    /// How long it is, on average, between two faults.
    quiet: Duration,
    /// How much longer than usual callers wait between two requests.
    idle: f64,
    calm: bool,
    bug: Option<Bug>,
    broken: Option<String>,
    trace: Option<VecDeque<String>>,
    tally: Tally,
}

/// How long after the last fault everything must serve again.
const BACK_WITHIN: Duration = Duration::from_secs(240);
/// How many of the last lines are kept of what happened.
const MOST_LINES: usize = 5_000;
const MODELS: [u64; 4] = [1_000, 1_500, 2_500, 3_000];

impl World {
    fn new(plan: &Plan, began: Instant) -> Self {
        let mut random = SmallRng::seed_from_u64(plan.seed);
        let mut config = PoolConfig::default();
        config.queue_capacity = 48;
        config.sessions_per_worker = 3;
        config.default_deadline = Duration::from_secs(20);
        config.load_timeout = Duration::from_secs(12);
        config.unload_timeout = Duration::from_secs(15);
        config.cancel_grace = Duration::from_secs(3);
        for set in [&mut config.breakers.workers, &mut config.breakers.arms] {
            set.breaker.consecutive_failures = 3;
            set.breaker.open_time = Duration::from_secs(4);
            set.breaker.open_time_cap = Duration::from_secs(15);
            set.breaker.permit_time = Duration::from_secs(10);
            set.breaker.seed = plan.seed;
        }
        config.checks.interval = Duration::from_secs(2);
        config.selection.explore = random.random_bool(0.5);
        config.selection.seed = plan.seed;
        let browsers = random.random_range(2..=5);
        let quiet = Duration::from_secs_f64([2.0, 8.0, 25.0][random.random_range(0..3)]);
        Self {
            core: Core::new(config).expect("the settings work"),
            began,
            now: began,
            before: began,
            events: BTreeMap::new(),
            scheduled: 0,
            machines: (0..browsers).map(|place| Machine::new(place, began)).collect(),
            patients: (0..browsers).map(|_| Patient::new(began)).collect(),
            links: BTreeMap::new(),
            loads: BTreeMap::new(),
            runs: BTreeMap::new(),
            unloads: BTreeMap::new(),
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            answer: None,
            exposed: BTreeSet::new(),
            models: MODELS
                .iter()
                .map(|&bytes| pool_core_testing::identity_model_of(&format!("m{bytes}"), bytes))
                .collect(),
            loaded: BTreeMap::new(),
            asked: BTreeMap::new(),
            shared: Shared::new(plan, began),
            quiet,
            idle: [1.0, 1.0, 10.0][random.random_range(0..3)],
            calm: false,
            random,
            bug: plan.bug,
            broken: None,
            trace: plan.trace.then(VecDeque::new),
            tally: Tally::default(),
        }
    }

    /// The whole history: faults, then none until everything serves again, then no requests until nothing is left.
    pub(crate) fn history(plan: &Plan, began: Instant) -> History {
        let mut world = Self::new(plan, began);
        for place in 0..world.machines.len() {
            world.first_page(place);
        }
        for event in [Event::Arrive, Event::Break, Event::Pause, Event::Memory] {
            world.later(0.5, event);
        }
        while world.tally.steps < plan.steps && world.step() {}
        world.calm_down();
        let limit = world.now + BACK_WITHIN;
        while world.broken.is_none() && !world.is_back() {
            if world.now > limit {
                world.say_what_is_not_back();
            }
            world.step();
        }
        world.events.retain(|_, event| !matches!(event, Event::Nudge | Event::Beat(_) | Event::Memory));
        while (!world.events.is_empty() || world.core.next_wake().is_some()) && world.step() {}
        world.check_nothing_left();
        let Self { tally, broken, trace, .. } = world;
        History { tally, broken, trace: trace.unwrap_or_default().into() }
    }

    /// One thing happens: the next event, or the core's timer. Answers whether all is well.
    fn step(&mut self) -> bool {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let wake = self.core.next_wake();
        let (Some(next), true) = (event.into_iter().chain(wake).min(), self.broken.is_none()) else {
            return false;
        };
        if next > self.now {
            self.before = self.now;
            self.now = next;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        let (event_due, wake_due) = (due(event), due(wake));
        self.tally.steps += 1;
        // Of two things that are due, nobody knows which one comes first.
        if wake_due && (!event_due || self.random.random_bool(0.5)) {
            self.core.tick(self.now);
            self.obey();
        } else if let Some((_, event)) = self.events.pop_first() {
            self.happen(event);
        }
        self.check();
        self.broken.is_none()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Cancel(request) => {
                self.core.cancel(self.now, request);
                self.obey();
            }
            Event::Break => self.break_something(),
            Event::Pause => self.stand_still(),
            Event::Memory => self.read_memory(),
            Event::Beat(place) => self.beat(place),
            Event::PageEnd(place, page) => self.page_ended(place, page),
            Event::PutOut(place, worker) => self.was_put_out(place, worker),
            Event::LoadEnd(session) => self.load_ends(session),
            Event::RunEnd(lease) => self.run_ends(lease),
            Event::UnloadEnd(session) => self.unload_ends(session),
            Event::Decide(place, turn) if self.is_turn(place, turn) => self.decide(place),
            Event::Begin(place, turn) if self.is_turn(place, turn) => self.begin_deed(place),
            Event::Done(place, turn) if self.is_turn(place, turn) => self.deed_done(place),
            Event::TimeUp(place, turn) if self.is_turn(place, turn) => self.time_is_up(place),
            Event::Decide(..) | Event::Begin(..) | Event::Done(..) | Event::TimeUp(..) => {}
            Event::Add(place) => self.add(place),
            Event::Nudge => self.nudge(),
        }
    }

    /// We are not running for a while: nothing is seen and nothing is done.
    fn stand_still(&mut self) {
        let wait = self.between(20.0, 120.0);
        self.later(wait, Event::Pause);
        if self.random.random_bool(0.5) {
            let pause = self.between(1.0, 40.0);
            self.say(|| format!("we stand still for {pause:.1} s"));
            // What was due before is still to be done, and is late through no fault of its own.
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            if next.into_iter().chain(self.core.next_wake()).all(|due| due > self.now) {
                self.before = self.now;
            }
            let pause = Duration::from_secs_f64(pause);
            self.now += pause;
            // What nobody listened for proves nothing.
            self.links.values_mut().for_each(|link| link.progress += pause);
        }
    }

    /// Nothing breaks any more, what is repaired works, and nobody asks for anything but to see whether it does.
    fn calm_down(&mut self) {
        self.say(|| "nothing breaks any more".to_owned());
        self.calm = true;
        self.patients.iter_mut().for_each(|patient| patient.served = 0);
        self.machines.iter_mut().for_each(|machine| machine.flaky = None);
        let over =
            |event: &Event| matches!(event, Event::Arrive | Event::Break | Event::Pause | Event::Add(_));
        self.events.retain(|_, event| !over(event));
        self.later(0.0, Event::Nudge);
    }

    fn later(&mut self, seconds: f64, event: Event) {
        self.at(self.now + Duration::from_secs_f64(seconds), event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    fn chance(&mut self, chance: f64) -> bool {
        self.random.random_bool(chance)
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        self.random.random_range(least..most)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    /// Writes down what happens, where that is wanted.
    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = self.now.saturating_duration_since(self.began).as_secs_f64();
            if trace.len() >= MOST_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{at:9.3} {}", what()));
        }
    }

    /// What must always hold.
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            let what = what();
            self.say(|| format!("BROKEN: {what}"));
            self.broken = Some(what);
        }
    }
}

/// The browsers that there are, and what they can do.
const BROWSERS: [(BrowserName, &[Backend]); 4] = [
    (BrowserName::Chromium, &[Backend::WebGpu, Backend::Wasm]),
    (BrowserName::Firefox, &[Backend::Wasm]),
    (BrowserName::ChromiumHeadlessShell, &[Backend::WebNn, Backend::Wasm]),
    (BrowserName::Chrome, &[Backend::Wasm, Backend::WebGpu]),
];
