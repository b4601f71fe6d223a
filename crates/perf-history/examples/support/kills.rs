//! Killing a process that ingests, and looking whether everything is there that it was told is durable.
//!
//! The one that kills starts the program that it is itself, with an order in its environment.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use perf_history::store::SqliteStore;
use perf_history::{
    Arm, HistoryStore, ModelId, Observation, Operation, Outcome, Period, Query, Recorder, RecorderSettings,
    Retention, Rollup, ShapeBucket, TimeoutPhase, Totals, UnixMillis,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, ModelType, WorkerId};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The environment's variable that has an order.
const ORDER: &str = "PERF_HISTORY_INGEST";

/// Observations that a file keeps where old ones are dropped.
const KEPT: u64 = 5_000;

/// What a process is to ingest, until it is killed.
#[derive(Debug)]
pub(crate) struct Order {
    path: PathBuf,
    /// The number of the last observation that is there.
    from: u64,
    seed: u64,
    /// Whether to drop what is old all the time.
    compact: bool,
}

/// The observation of this number: always the same one.
fn made_up(number: u64) -> Observation {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let model = ModelId {
        hash: ModelHash([(mixed % 2) as u8; 32]),
        name: "model".into(),
        version: "1".into(),
        model_type: Some(ModelType::Text),
        precision: "FP32".into(),
    };
    let arm = Arm {
        browser: BrowserName::ALL[(mixed / 2 % 3) as usize],
        browser_version: "100.0".into(),
        backend: Backend::Wasm,
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        adapter: None,
        threads: 4,
    };
    let outcome = match mixed / 6 % 20 {
        0 => Outcome::WorkerVanished,
        1 => Outcome::TimedOut(TimeoutPhase::Running),
        2 => Outcome::CallersError,
        _ => Outcome::Ok,
    };
    let ms = 1.0 + (mixed % 1_000) as f64 / 8.0;
    Observation {
        at: UnixMillis(1_780_000_000_000 + number.cast_signed() * 5_000),
        model: Arc::new(model),
        shape: ShapeBucket::from("batch=1"),
        arm: Arc::new(arm),
        worker: WorkerId(number),
        operation: Operation::ALL[usize::from((mixed / 120).is_multiple_of(10))],
        outcome,
        warm: true,
        load_ms: Some(ms * 10.0),
        queue_ms: None,
        in_page_ms: None,
        service_ms: Some(ms),
        total_ms: Some(ms + 1.0),
        bytes_in: Some(number),
        bytes_out: None,
        memory_bytes: None,
    }
}

impl Order {
    /// The order in this process's environment.
    pub(crate) fn given() -> Result<Option<Self>, Failure> {
        let Ok(text) = std::env::var(ORDER) else { return Ok(None) };
        let parts: Vec<&str> = text.splitn(4, ' ').collect();
        let [from, seed, compact, path] = parts[..] else { return Err("an order has four parts".into()) };
        Ok(Some(Self {
            path: path.into(),
            from: from.parse()?,
            seed: seed.parse()?,
            compact: compact.parse()?,
        }))
    }

    fn give(&self, command: &mut Command) {
        let Self { path, from, seed, compact } = self;
        command.env(ORDER, format!("{from} {seed} {compact} {}", path.display()));
    }

    /// Records and flushes for ever, and says each time up to which observation all are durable.
    pub(crate) fn ingest(self) -> Result<(), Failure> {
        static LATEST: AtomicI64 = AtomicI64::new(0);
        let mut out = std::io::stdout().lock();
        // The test harness has begun a line of its own.
        writeln!(out, "\nopening")?;
        let store = SqliteStore::open(&self.path)?;
        writeln!(out, "open")?;
        let mut settings = RecorderSettings::default();
        settings.retention = self.compact.then(|| {
            let mut kept = Retention::default();
            (kept.most_observations, kept.observation_days) = (KEPT, 1_000_000);
            (kept.hour_days, kept.day_days) = (1, 1_000_000);
            kept
        });
        settings.compact_every = Duration::from_millis(1);
        settings.clock = || UnixMillis(LATEST.load(Relaxed));
        let recorder = Recorder::start(Box::new(store), settings)?;
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut number = self.from;
        loop {
            let most = if random.random_range(0..12) == 0 { 3_000 } else { 300 };
            for _ in 0..random.random_range(1..=most) {
                number += 1;
                let observation = made_up(number);
                LATEST.store(observation.at.0, Relaxed);
                recorder.handle().record(observation);
            }
            recorder.handle().flush().wait()?;
            writeln!(out, "durable {number}")?;
        }
    }
}

/// What was found out.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) kills: u64,
    /// Kills before the database was open.
    pub(crate) opening: u64,
    /// How often it was said that everything so far is durable.
    pub(crate) acknowledgements: u64,
    /// Observations that were written.
    pub(crate) written: u64,
    /// Those of them that nobody was told about, because the kill came before.
    pub(crate) unsaid: u64,
}

/// A file on which processes ingest that are killed.
pub(crate) struct Victim<'a> {
    /// Starts this program anew.
    command: &'a dyn Fn() -> Result<Command, Failure>,
    path: PathBuf,
    compact: bool,
    random: StdRng,
    there: There,
    pub(crate) figures: Figures,
}

/// A process that is killed at the latest when it is forgotten.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl<'a> Victim<'a> {
    pub(crate) fn new(
        command: &'a dyn Fn() -> Result<Command, Failure>,
        path: PathBuf,
        compact: bool,
        seed: u64,
    ) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { command, path, compact, random, there: There::default(), figures: Figures::default() }
    }

    /// Starts a process, kills it at some moment, and checks the file.
    pub(crate) fn kill_at_random(&mut self) -> Result<(), Failure> {
        let acknowledgements = self.random.random_range(0..20);
        let opening = self.random.random_range(0..4) == 0;
        self.kill(if opening { None } else { Some(acknowledgements) })
    }

    /// Kills after so many acknowledgements; without a number, while the file is being opened or made.
    pub(crate) fn kill(&mut self, after: Option<u32>) -> Result<(), Failure> {
        let order = Order {
            path: self.path.clone(),
            from: self.there.last,
            seed: self.random.random_range(0..u64::MAX),
            compact: self.compact,
        };
        let mut command = (self.command)()?;
        order.give(&mut command);
        let mut child =
            Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?);
        let mut said = BufReader::new(child.0.stdout.take().ok_or("it has no output")?);
        let mut heard = Heard::default();
        while !heard.is_enough(after) {
            if !heard.line(&mut said)? {
                return Err("the process ended by itself".into());
            }
        }
        // Anywhere within what comes next.
        for _ in 0..self.random.random_range(0..100_000) {
            std::hint::spin_loop();
        }
        child.0.kill()?;
        while heard.line(&mut said)? {}
        let status = child.0.wait()?;
        if let Some(code) = status.code() {
            return Err(format!("the process ended by itself with {code}").into());
        }
        let before = self.there.last;
        self.there.check(&self.path, heard.durable, self.compact)?;
        let figures = &mut self.figures;
        figures.kills += 1;
        figures.opening += u64::from(!heard.open);
        figures.acknowledgements += heard.acknowledgements;
        figures.written = self.there.last;
        figures.unsaid += self.there.last - heard.durable.max(before);
        Ok(())
    }
}

/// What a process said.
#[derive(Debug, Default)]
struct Heard {
    opening: bool,
    open: bool,
    acknowledgements: u64,
    durable: u64,
}

impl Heard {
    fn is_enough(&self, after: Option<u32>) -> bool {
        after.map_or(self.opening, |after| self.open && self.acknowledgements >= u64::from(after))
    }

    /// Reads a line; `false` at the end. What is no whole line was not said.
    fn line(&mut self, from: &mut BufReader<ChildStdout>) -> Result<bool, Failure> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some(line) = line.strip_suffix('\n') else { return Ok(false) };
        match line.split_once(' ') {
            None if line == "opening" => self.opening = true,
            None if line == "open" => self.open = true,
            Some(("durable", number)) => {
                self.acknowledgements += 1;
                self.durable = number.parse()?;
            }
            _ => {}
        }
        Ok(true)
    }
}

type Series = (Arc<ModelId>, ShapeBucket, Arc<Arm>);

/// What must be in the file.
#[derive(Debug, Default)]
struct There {
    /// The number of the last observation.
    last: u64,
    /// The sums of every hour.
    hours: BTreeMap<(Series, UnixMillis), Totals>,
}

impl There {
    /// Checks that the file opens, is whole, and has every observation up to `durable` once and in order, and sums that
    /// are theirs. Where old ones are dropped, the last ones must be there, and the sums of all.
    fn check(&mut self, path: &Path, durable: u64, compact: bool) -> Result<(), Failure> {
        let mut store = SqliteStore::open(path)?;
        let conn = rusqlite::Connection::open(path)?;
        let report: String = conn.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
        if report != "ok" {
            return Err(format!("the file is damaged: {report}").into());
        }
        let (first, last) = check_observations(&mut store)?;
        let kept = if compact { KEPT.min(last) } else { last };
        let at_least = self.last.max(durable);
        if last < at_least || last + 1 - first < kept {
            return Err(format!("observations {first} to {last} are there, and {at_least} is durable").into());
        }
        for number in self.last + 1..=last {
            let made = made_up(number);
            let series = (made.model.clone(), made.shape.clone(), made.arm.clone());
            self.hours.entry((series, Period::Hour.start(made.at))).or_default().add(&made);
        }
        self.last = last;
        self.check_sums(store.rollups(None)?)
    }

    fn check_sums(&self, mut rows: Vec<Rollup>) -> Result<(), Failure> {
        let mut left = self.hours.clone();
        // A day has the hours of which there are no rows.
        rows.sort_by_key(|row| row.period);
        for Rollup { model, shape, arm, period, start, totals } in rows {
            let series = (model, shape, arm);
            let mut expected = Totals::default();
            for hour in 0..period.ms() / Period::Hour.ms() {
                let hour = UnixMillis(start.0 + hour * Period::Hour.ms());
                left.remove(&(series.clone(), hour)).iter().for_each(|sums| expected.merge(sums));
            }
            if !same(&totals, &expected) {
                return Err(format!("{period:?} {start:?} has {totals:?} instead of {expected:?}").into());
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("the sums of {} hours are missing", left.len()).into())
        }
    }
}

/// Checks that observations follow each other without a gap; returns the numbers of the first and the last one.
fn check_observations(store: &mut SqliteStore) -> Result<(u64, u64), Failure> {
    let (mut first, mut last) = (1, 0);
    loop {
        let page = store.observations(&Query::After { id: last, limit: 10_000 })?;
        for stored in &page {
            if last == 0 {
                (first, last) = (stored.id, stored.id - 1);
            }
            last += 1;
            let expected = made_up(last.cast_unsigned());
            if stored.id != last || stored.observation != expected {
                return Err(format!("{stored:?} is there instead of observation {last}: {expected:?}").into());
            }
        }
        if page.is_empty() {
            return Ok((first.cast_unsigned(), last.cast_unsigned()));
        }
    }
}

/// Whether they are the same, but for the last digits of what was added in another order.
fn same(found: &Totals, expected: &Totals) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
    let Totals { load_ms, ln_sum, ln_square_sum, .. } = *expected;
    near(found.load_ms, load_ms)
        && near(found.ln_sum, ln_sum)
        && near(found.ln_square_sum, ln_square_sum)
        && Totals { load_ms, ln_sum, ln_square_sum, ..found.clone() } == *expected
}
