//! One fault: inflicted, waited for, and taken down.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use telemetry::Event;
use tokio::time::{Instant, MissedTickBehavior};
use vocab::{BrowserName, Rung, WorkerId};
use webnn_pool::RunOptions;

use super::bare::Bare;
use super::faults::{ChaosFault, Heals};
use super::hooks::Role;
use super::rig::{BACK, Rig, TIMEOUT};

/// How long nothing may happen after a pause that is no fault.
const QUIET: Duration = Duration::from_secs(6);
/// How long wrong numbers may go on until somebody finds them out.
const FOUND_OUT: Duration = Duration::from_secs(30);

/// How one fault went. Times are in seconds after the fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Went {
    pub fault: ChaosFault,
    pub browser: BrowserName,
    /// Why it did not come back.
    pub failed: Option<String>,
    /// The rungs that were tried, in order, and the one that did it.
    pub tried: Vec<String>,
    pub rung: String,
    /// When a recovery began, and when the new worker was in the pool.
    pub detected: Option<f64>,
    pub joined: Option<f64>,
    /// The first right answer of the same engine.
    pub answer: Option<f64>,
    /// The models are back.
    pub whole: Option<f64>,
    /// What the deed alone took, just before.
    pub bare: Option<Bare>,
}

impl Went {
    /// The time to the first answer over that of the bare deed: loading the page anew where the page came back by itself
    /// or was loaded anew, a launch where the browser was launched again.
    pub fn ratio(&self) -> Option<f64> {
        let bare = self.bare?;
        let deed = match self.rung.as_str() {
            "restart" | "switch" => bare.restart,
            "reconnect" | "refresh" | "engine" => bare.refresh,
            _ => return None,
        };
        Some(self.answer? / deed.answer)
    }
}

impl std::fmt::Display for Went {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { detected, joined, answer, whole, rung, tried, bare, .. } = self;
        let times =
            [("found", detected), ("joined", joined), ("first answer", answer), ("models back", whole)];
        for (what, time) in times {
            if let Some(time) = time {
                write!(f, "{what} after {time:.2} s, ")?;
            }
        }
        write!(f, "by {rung} (tried {})", tried.join(", "))?;
        match bare {
            Some(Bare { restart, refresh }) => {
                write!(f, "; bare restart {:.2}, refresh {:.2}", restart.answer, refresh.answer)
            }
            None => Ok(()),
        }
    }
}

/// What the events said of one recovery; times are those of the events.
#[derive(Debug, Default)]
struct Told {
    tried: Vec<String>,
    log: Vec<String>,
    started: Option<f64>,
    joined: Option<f64>,
    ended: Option<(String, Option<Rung>, f64)>,
    missed: u64,
}

impl Rig {
    /// Inflicts a fault and waits until the engine is back with its models.
    pub async fn suffer(&self, fault: ChaosFault, browser: BrowserName, bare: Option<Bare>) -> Went {
        let mut went = Went {
            fault,
            browser,
            failed: None,
            tried: Vec::new(),
            rung: "-".to_owned(),
            detected: None,
            joined: None,
            answer: None,
            whole: None,
            bare,
        };
        if let Err(why) = self.inflict_and_wait(&mut went).await {
            println!("NOT RECOVERED: {} of {browser}: {why}", fault.name());
            went.failed = Some(why);
        } else {
            println!("{browser}: {}: {went}", fault.name());
        }
        went
    }

    async fn inflict_and_wait(&self, went: &mut Went) -> Result<(), String> {
        let Went { fault, browser, .. } = *went;
        let before = self.worker(browser).ok_or("it is not in the pool")?;
        let label = self.label(browser).ok_or("it has no page")?;
        let from = self.last_event();
        {
            let mut ends = self.ends.lock();
            if fault == ChaosFault::Lie {
                ends.lying.insert(browser);
            }
            ends.pauses += u64::from(fault.heals() == Heals::Untouched || fault == ChaosFault::LongPause);
        }
        let hit = fault.inflict(self.accelerator.mark(), &label, browser, &self.proxy).await?;
        let zero = self.event_time(hit.at);
        let mut told = Told::default();
        let result = match fault.heals() {
            Heals::NewWorker if fault == ChaosFault::Lie => {
                if !self.is_out(before).await {
                    self.ends.lock().lying.remove(&browser);
                    self.proxy.hooks.command(&label, Role::Engine, "honest").await?;
                    return Err("nobody found it out".to_owned());
                }
                // From now on a wrong answer is a failure of the run.
                self.ends.lock().lying.remove(&browser);
                let good = self.first_good(browser, Some(before), hit.at);
                let (good, ended) = tokio::join!(good, self.recovered(&mut told, browser, before, from));
                went.answer = good;
                ended.and_then(|()| good.map(drop).ok_or_else(|| "no right answer".to_owned()))
            }
            Heals::Resumed => {
                let good = self.first_good(browser, None, hit.at);
                let (good, ended) = tokio::join!(good, self.recovered(&mut told, browser, before, from));
                went.answer = good;
                match (ended, self.worker(browser)) {
                    (Err(why), _) => Err(format!("{why} (first answer: {good:?})")),
                    (Ok(()), Some(worker)) if worker == before => Ok(()),
                    (Ok(()), other) => Err(format!("{other:?} is there, not {before:?}")),
                }
            }
            Heals::NewWorker => {
                let good = self.first_good(browser, Some(before), hit.at);
                let (good, ended) = tokio::join!(good, self.recovered(&mut told, browser, before, from));
                went.answer = good;
                match (good, ended) {
                    (_, Err(why)) => Err(format!("{why} (first answer: {good:?})")),
                    (None, Ok(())) => Err("no right answer".to_owned()),
                    (Some(_), Ok(())) => Ok(()),
                }
            }
            Heals::Anyhow => {
                let healed = async {
                    let answer = self.first_good(browser, None, hit.at).await;
                    (answer, self.settled(&[browser]).await)
                };
                let (answer, settled) = tokio::select! {
                    healed = healed => healed,
                    never = self.listen(&mut told, browser, before, from) => match never {},
                };
                went.answer = answer;
                went.whole = Some(hit.at.elapsed().as_secs_f64());
                if answer.is_some() && settled { Ok(()) } else { Err("no right answers".to_owned()) }
            }
            Heals::Untouched => {
                went.answer = self.first_good(browser, None, hit.at).await;
                let mut looks = tokio::time::interval(Duration::from_secs(1));
                while hit.at.elapsed() < QUIET {
                    looks.tick().await;
                }
                let _ = self.read_events(&mut told, browser, before, from);
                match (self.worker(browser), told.started) {
                    (Some(worker), None) if worker == before => Ok(()),
                    other => Err(format!("it was left alone by nobody: {other:?}")),
                }
            }
        };
        went.detected = told.started.map(|at| at - zero);
        went.joined = told.joined.map(|at| at - zero);
        went.tried = std::mem::take(&mut told.tried);
        match &told.ended {
            Some((_, rung, at)) => {
                went.rung = rung.map_or("-", Rung::as_str).to_owned();
                went.whole = Some(at - zero);
            }
            None if fault.heals() == Heals::Anyhow => went.rung = "engine".to_owned(),
            None => {}
        }
        if result.is_err() && !told.log.is_empty() {
            println!("{}: {}; {} events missed", fault.name(), told.log.join("; "), told.missed);
        }
        result?;
        self.whole(browser, fault).await
    }

    /// Waits until a worker is out of the pool, and what it had answered by then has been looked at.
    async fn is_out(&self, worker: WorkerId) -> bool {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let started = Instant::now();
        while started.elapsed() < FOUND_OUT {
            looks.tick().await;
            if self.accelerator.stats().core.workers.iter().all(|known| known.worker != worker) {
                tokio::time::sleep(Duration::from_millis(200)).await;
                return true;
            }
        }
        false
    }

    /// The large model is there, and nobody has to load it.
    async fn whole(&self, browser: BrowserName, fault: ChaosFault) -> Result<(), String> {
        if fault.heals() != Heals::Anyhow {
            let worker = self.worker(browser).ok_or("it is not in the pool")?;
            let stats = self.accelerator.stats();
            let its = stats.core.workers.iter().find(|known| known.worker == worker);
            let hash = self.held.model.hash();
            if !its.is_some_and(|its| its.sessions.iter().any(|session| session.model == hash)) {
                return Err(format!("the large model is not back: {its:?}"));
            }
        }
        let mut options = RunOptions::default();
        options.timeout = Some(TIMEOUT);
        let model = self.held.on(browser);
        let done = model.run_with(Arc::clone(&self.held.inputs), options).await;
        let done = done.map_err(|error| format!("the large model: {error:?}"))?;
        self.held.right(&done.outputs)?;
        if done.report.load_ms.is_some() && fault.heals() != Heals::Anyhow {
            return Err(format!("the large model was not loaded again: {:?}", done.report));
        }
        Ok(())
    }

    /// When this engine gave the first right answer to a request of after the fault: seconds. With `not`, by another
    /// worker than that.
    async fn first_good(&self, browser: BrowserName, not: Option<WorkerId>, hit: Instant) -> Option<f64> {
        let model = self.golden.on(browser);
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while hit.elapsed() < BACK {
            turns.tick().await;
            let mut options = RunOptions::default();
            options.timeout = Some(Duration::from_secs(20));
            if let Ok(done) = model.run_with(Arc::clone(&self.golden.inputs), options).await {
                self.golden.right(&done.outputs).expect("right numbers");
                if Some(done.report.worker) != not {
                    return Some(hit.elapsed().as_secs_f64());
                }
            }
        }
        None
    }

    /// The number of the last event.
    pub fn last_event(&self) -> u64 {
        let recent = self.accelerator.telemetry().snapshot().recent;
        recent.last().map_or(0, |recorded| recorded.sequence)
    }

    /// Waits until the recovery of a worker has ended.
    async fn recovered(
        &self,
        told: &mut Told,
        browser: BrowserName,
        worker: WorkerId,
        mut from: u64,
    ) -> Result<(), String> {
        let mut turns = tokio::time::interval(Duration::from_millis(200));
        let started = Instant::now();
        while started.elapsed() < BACK {
            turns.tick().await;
            from = self.read_events(told, browser, worker, from);
            match &told.ended {
                Some((end, _, _)) if end == "recovered" => return Ok(()),
                Some((end, _, _)) => return Err(end.clone()),
                None => {}
            }
        }
        Err("no end of it was told".to_owned())
    }

    /// Reads events as they come, for as long as it is asked to.
    async fn listen(
        &self,
        told: &mut Told,
        browser: BrowserName,
        worker: WorkerId,
        mut from: u64,
    ) -> std::convert::Infallible {
        let mut turns = tokio::time::interval(Duration::from_millis(200));
        loop {
            turns.tick().await;
            from = self.read_events(told, browser, worker, from);
        }
    }

    /// Reads the events after `from`; answers the number of the last one.
    fn read_events(&self, told: &mut Told, browser: BrowserName, worker: WorkerId, from: u64) -> u64 {
        let mut seen = from;
        for recorded in self.accelerator.telemetry().snapshot().recent {
            if recorded.sequence <= seen {
                continue;
            }
            told.missed += recorded.sequence - seen - 1;
            seen = recorded.sequence;
            let at = recorded.at_ms / 1e3;
            match &*recorded.event {
                Event::RecoveryStarted { worker: of, .. } if *of == worker => {
                    told.started.get_or_insert(at);
                }
                event @ Event::RungTried { worker: of, rung, .. } if *of == worker => {
                    told.tried.push(rung.as_str().to_owned());
                    told.log.push(format!("{event:?}"));
                }
                Event::RecoveryEnded { worker: of, end, rung, .. } if *of == worker => {
                    told.ended.get_or_insert_with(|| (end.as_str().to_owned(), *rung, at));
                }
                Event::WorkerJoined { browser: of, .. } if *of == browser => {
                    told.joined.get_or_insert(at);
                }
                _ => {}
            }
        }
        seen
    }

    /// Waits for the end of a worker's recovery, and says by which rung, which were tried, and how long it took.
    pub async fn recovery_of(
        &self,
        browser: BrowserName,
        worker: WorkerId,
        from: u64,
    ) -> Result<(Option<Rung>, Vec<String>), String> {
        let mut told = Told::default();
        self.recovered(&mut told, browser, worker, from).await?;
        Ok((told.ended.and_then(|(_, rung, _)| rung), told.tried))
    }
}
