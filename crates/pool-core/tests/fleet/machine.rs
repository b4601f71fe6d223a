//! A browser as it is, whatever anybody knows of it.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use recovery::{Canary, Fault, Seen, Signs};
use vocab::{Backend, BrowserName, FailureKind};

use super::{BROWSERS, Event, Place, World};

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: BrowserName,
    pub(super) backends: &'static [Backend],
    pub(super) process: bool,
    pub(super) driver: bool,
    /// Which of its pages it has.
    pub(super) page: u32,
    pub(super) connected: bool,
    pub(super) crashed: bool,
    /// Until when the main thread hangs.
    pub(super) hung: Option<Instant>,
    pub(super) worker_hung: bool,
    pub(super) device_lost: bool,
    pub(super) no_memory: bool,
    pub(super) lies: bool,
    pub(super) slow: bool,
    /// Until when most of its runs fail, for a reason that nobody knows.
    pub(super) flaky: Option<Instant>,
    /// When the main thread was heard last.
    pub(super) heard: Instant,
    pub(super) reported: Vec<FailureKind>,
    /// When its process was started.
    pub(super) born: Instant,
}

/// Longer than any history.
const FOR_GOOD: Duration = Duration::from_secs(1_000_000_000);

impl Machine {
    pub(super) fn new(place: Place, now: Instant) -> Self {
        let (name, backends) = BROWSERS[place % BROWSERS.len()];
        Self {
            name,
            backends,
            process: true,
            driver: true,
            page: 0,
            connected: true,
            crashed: false,
            hung: None,
            worker_hung: false,
            device_lost: false,
            no_memory: false,
            lies: false,
            slow: false,
            flaky: None,
            heard: now,
            reported: Vec::new(),
            born: now,
        }
    }

    pub(super) fn is_hung(&self, now: Instant) -> bool {
        self.hung.is_some_and(|until| now < until)
    }

    /// A fresh page; what was wrong with the one before is gone.
    pub(super) fn fresh_page(&mut self, now: Instant) {
        self.page += 1;
        self.connected = true;
        self.crashed = false;
        self.hung = None;
        self.worker_hung = false;
        self.device_lost = false;
        self.no_memory = false;
        self.lies = false;
        self.slow = false;
        self.heard = now;
        self.reported.clear();
    }

    /// Its process is gone, and everything with it.
    pub(super) fn kill(&mut self) {
        self.process = false;
        self.connected = false;
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.process = true;
        self.driver = true;
        self.born = now;
        self.fresh_page(now);
    }
}

impl World {
    /// What can be seen of a browser now.
    pub(super) fn signs(&mut self, place: Place) -> Signs {
        let calls = self.patients[place].member.and_then(|worker| self.links.get(&worker));
        let in_flight = calls.map_or(0, |link| link.running.len() + link.loading);
        let progress = calls.map(|link| self.now.saturating_duration_since(link.progress));
        let slow = self.machines[place].slow && in_flight > 0;
        let (tells, slowed) = (self.random.random_bool(0.5), self.random.random_bool(0.3));
        let machine = &mut self.machines[place];
        let seen = |up: bool| if up { Seen::Up } else { Seen::Down };
        let mut signs = Signs::default();
        signs.process = if machine.driver { seen(machine.process) } else { Seen::Unknown };
        signs.driver = seen(machine.driver);
        signs.tab_crashed = machine.crashed && machine.driver;
        signs.control = seen(machine.connected);
        if machine.connected {
            signs.control_silence = Some(self.now.saturating_duration_since(machine.heard));
            signs.leases = u32::try_from(in_flight).unwrap_or(u32::MAX);
            signs.data_silence = progress;
        }
        signs.reported = std::mem::take(&mut machine.reported);
        if machine.connected && tells {
            signs.canary = if machine.lies { Canary::Wrong } else { Canary::Right };
        }
        signs.slowdown = (slow && slowed).then_some(10.0);
        signs
    }

    /// Something breaks, and now and then everything.
    pub(super) fn break_something(&mut self) {
        let mean = self.quiet.as_secs_f64();
        let wait = -mean * (1.0 - self.random.random::<f64>()).ln();
        self.later(wait, Event::Break);
        if self.chance(0.03) {
            self.say(|| "many die at once".to_owned());
            for place in 0..self.machines.len() {
                if self.chance(0.8) {
                    self.break_one(place, Fault::ProcessDead);
                }
            }
            return;
        }
        let place = self.random.random_range(0..self.machines.len());
        if self.chance(0.15) {
            let lasts = self.between(3.0, 20.0);
            self.machines[place].flaky = Some(self.now + Duration::from_secs_f64(lasts));
            return self.say(|| format!("b{place}: fails for {lasts:.1} s"));
        }
        let fault = self.pick(Fault::ALL);
        self.break_one(place, fault);
    }

    fn break_one(&mut self, place: Place, fault: Fault) {
        self.tally.faults += 1;
        self.say(|| format!("b{place}: {fault}"));
        let now = self.now;
        let hangs = if self.chance(0.3) { self.between(1.0, 30.0) } else { FOR_GOOD.as_secs_f64() };
        let machine = &mut self.machines[place];
        let was_connected = machine.connected;
        match fault {
            Fault::ProcessDead => machine.kill(),
            // Whoever loses the driver can ask nothing of the browser any more, and mostly it ends as well.
            Fault::DriverDead => machine.driver = false,
            Fault::PageCrashed => (machine.crashed, machine.connected) = (true, false),
            Fault::PageHung => machine.hung = Some(now + Duration::from_secs_f64(hangs)),
            Fault::WorkerHung => machine.worker_hung = true,
            Fault::SocketLost => machine.connected = false,
            Fault::DeviceLost => machine.device_lost = true,
            Fault::OutOfMemory => machine.no_memory = true,
            Fault::WrongNumbers => machine.lies = true,
            Fault::Slow => machine.slow = true,
        }
        if was_connected && !machine.connected {
            let page = machine.page;
            let noticed = self.between(0.0, 0.3);
            self.later(noticed, Event::PageEnd(place, page));
        }
    }
}
