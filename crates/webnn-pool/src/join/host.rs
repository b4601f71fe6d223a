//! One task for each guest that is in.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Constraints, Guest as GuestTerms, LeaveCause, Membership, Preload, WorkerInfo};
use rand::RngExt as _;
use telemetry::{Event, GuestEnd, GuestRefusal};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use vocab::{Backend, WorkerId};
use webnn_bridge::{Guest, Page, PageEnd, Standing, Wish};

use super::desk::{FrontDesk, GuestReport, GuestState, emit, refused};
use crate::recover::Shared;

/// How often a guest is told how it does, and is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often is looked whether a guest that is away is back.
const CONNECTED: Duration = Duration::from_millis(200);
/// How often is looked for models that it could load ahead of requests.
const AHEAD: Duration = Duration::from_secs(2);
/// How long a guest that leaves may take with what it has begun. What is left then is computed elsewhere.
const FAREWELL: Duration = Duration::from_secs(30);
/// How long a model may take to load ahead of requests.
const LOAD: Duration = Duration::from_secs(120);

/// How a guest's stay, or a part of it, ended.
enum Ended {
    /// Its page is gone; another may come.
    Away,
    /// No page came in time.
    Lost,
    /// It said goodbye, and what it had begun is done.
    Left,
    /// It is to be put out.
    PutOut(String),
    /// Everything stops.
    Stopped,
}

/// Looks after a guest until it is gone.
pub(super) async fn host(shared: Arc<Shared>, desk: Arc<FrontDesk>, guest: Guest) {
    let label: Arc<str> = guest.label().into();
    let entry = Entry::new(&desk, &guest, Arc::clone(&label));
    let stay = Stay { shared: &shared, desk: &desk, guest: &guest, label: &label };
    let ended = loop {
        let ended = tokio::select! {
            biased;
            () = shared.stop.cancelled() => Ended::Stopped,
            ended = stay.visit() => ended,
        };
        if !matches!(ended, Ended::Away) {
            break ended;
        }
        if *guest.wishes().borrow() == Wish::Leave {
            break Ended::Left;
        }
        stay.note(GuestState::Away, None);
    };
    let cause = match ended {
        Ended::Left => {
            guest.goodbye();
            GuestEnd::Left
        }
        Ended::PutOut(why) => {
            tracing::warn!(guest = &*label, why, "a guest is put out");
            guest.put_out(why);
            GuestEnd::PutOut
        }
        Ended::Stopped => GuestEnd::Shutdown,
        Ended::Away | Ended::Lost => GuestEnd::Lost,
    };
    tracing::info!(guest = &*label, %cause, "a guest is gone");
    emit(&shared, Event::GuestWent { guest: label, cause });
    drop(entry);
}

/// A guest's line in the list, until it is dropped.
struct Entry<'a>(&'a FrontDesk, Arc<str>);

impl<'a> Entry<'a> {
    fn new(desk: &'a FrontDesk, guest: &Guest, label: Arc<str>) -> Self {
        let report = GuestReport {
            guest: Arc::clone(&label),
            state: GuestState::Away,
            worker: None,
            claims: guest.claims(),
            claims_version: guest.claimed_version(),
            answers: 0,
            confirmed: 0,
            on_probation: !desk.options.trust,
        };
        desk.guests.lock().insert(Arc::clone(&label), report);
        Self(desk, label)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.guests.lock().remove(&self.1);
    }
}

/// What a guest's task works with.
struct Stay<'a> {
    shared: &'a Shared,
    desk: &'a FrontDesk,
    guest: &'a Guest,
    label: &'a Arc<str>,
}

impl Stay<'_> {
    fn note(&self, state: GuestState, worker: Option<WorkerId>) {
        if let Some(report) = self.desk.guests.lock().get_mut(self.label) {
            (report.state, report.worker) = (state, worker);
        }
    }

    /// The guest's next page that is ready; `None` where it has been away for too long, or probes for too long.
    async fn next_page(&self) -> Option<Result<Page, PageEnd>> {
        let grace = self.desk.options.terms.grace;
        let away = async {
            let mut looks = tokio::time::interval(CONNECTED);
            let mut seen = Instant::now();
            while seen.elapsed() < grace {
                looks.tick().await;
                if self.guest.is_connected() {
                    seen = Instant::now();
                }
            }
        };
        let probing = self.shared.bridge.upgrade()?.ready_timeout();
        tokio::select! {
            biased;
            page = self.guest.next_page() => Some(page),
            () = away => None,
            () = tokio::time::sleep(probing) => None,
        }
    }

    /// One page of the guest: it comes, proves itself, works, and ends.
    async fn visit(&self) -> Ended {
        let page = match self.next_page().await {
            Some(Ok(page)) => page,
            Some(Err(PageEnd::Protocol { what })) => {
                return Ended::PutOut(format!("its page does not keep to the protocol: {what}"));
            }
            Some(Err(_)) | None => return Ended::Lost,
        };
        self.note(GuestState::Proving, None);
        self.guest.tell(Standing::new("waiting")).await;
        let (proved, why) = tokio::select! {
            biased;
            _ = page.ended() => return self.lost(&page),
            proved = self.desk.golden.prove(&page) => proved,
        };
        if proved.is_empty() {
            if page.end_cause().is_some() {
                return self.lost(&page);
            }
            refused(self.shared, GuestRefusal::NotProved);
            return Ended::PutOut(format!(
                "no backend of this browser computes what it should: {}",
                why.join("; ")
            ));
        }
        let membership = self.shared.pool.join_warming(self.info(&page, &proved), Arc::new(page.clone()));
        let worker = membership.worker();
        emit(self.shared, Event::GuestCame { guest: Arc::clone(self.label), worker });
        let ended = self.serve(&page, &membership).await;
        // What it still has goes to others, whatever became of it.
        membership.leave(match ended {
            Ended::Left => LeaveCause::Retired,
            Ended::PutOut(_) => LeaveCause::Quarantined,
            Ended::Stopped => LeaveCause::Shutdown,
            Ended::Away | Ended::Lost => LeaveCause::Disconnected,
        });
        ended
    }

    /// What the pool needs to know. Nothing of it is the guest's own word, but which backends it has.
    fn info(&self, page: &Page, proved: &[Backend]) -> WorkerInfo {
        let mut info = page.worker_info();
        info.backends.retain(|backend| proved.contains(&backend.backend));
        info.backends.sort_by_key(|backend| backend.software);
        info.browser_version = format!("guest, claims {}", self.guest.claimed_version());
        let options = &self.desk.options;
        let mut guest = GuestTerms::new(Arc::clone(self.label), rand::rng().random());
        guest.models = self.desk.hashes();
        guest.trusted = options.trust;
        guest.confirmation = options.confirmation;
        info.guest = Some(guest);
        info
    }

    async fn serve(&self, page: &Page, membership: &Membership) -> Ended {
        let worker = membership.worker();
        let mut wishes = self.guest.wishes();
        // What is loaded already is there when the first request comes.
        tokio::select! {
            biased;
            cause = membership.closed() => return self.out(page, cause).await,
            _ = page.ended() => return self.lost(page),
            () = is_leaving(&mut wishes) => return self.leave(worker).await,
            () = self.load_ahead(worker) => {}
        }
        tokio::select! {
            biased;
            cause = membership.closed() => self.out(page, cause).await,
            _ = page.ended() => self.lost(page),
            () = self.follow(page, worker) => self.leave(worker).await,
            () = self.look_after(page, worker, membership) => Ended::Away,
            never = self.keep_ahead(worker) => match never {},
        }
    }

    /// Its page has ended.
    fn lost(&self, page: &Page) -> Ended {
        match page.end_cause() {
            Some(PageEnd::Protocol { what }) => {
                Ended::PutOut(format!("its page does not keep to the protocol: {what}"))
            }
            _ => Ended::Away,
        }
    }

    /// The pool has put the worker out.
    async fn out(&self, page: &Page, cause: LeaveCause) -> Ended {
        match cause {
            LeaveCause::Quarantined => {
                Ended::PutOut("what it computed is not what the pool's own browsers compute".to_owned())
            }
            LeaveCause::Shutdown => {
                self.shared.stop.cancelled().await;
                Ended::Stopped
            }
            _ => {
                // A page that answers is told to start afresh; one that does not has to be waited for.
                if page.ping(self.shared.options.answer).await.is_ok() {
                    self.guest.reload().await;
                    let _ = tokio::time::timeout(self.desk.options.terms.grace, page.ended()).await;
                }
                Ended::Away
            }
        }
    }

    /// Does what the guest wishes, until it wants to go.
    async fn follow(&self, page: &Page, worker: WorkerId) {
        let mut wishes = self.guest.wishes();
        loop {
            let wish = *wishes.borrow_and_update();
            // A page whose connection is broken gets nothing new before it is mended.
            let here = page.is_connected();
            match wish {
                Wish::Leave => return,
                Wish::Work if here => {
                    self.shared.pool.serve(worker);
                    self.note(GuestState::Working, Some(worker));
                }
                _ => {
                    self.shared.pool.rest(worker);
                    self.note(if here { GuestState::Paused } else { GuestState::Away }, Some(worker));
                }
            }
            self.tell(worker).await;
            let changed = async { if here { page.disconnected().await } else { page.reconnected().await } };
            tokio::select! {
                changed = wishes.changed() => if changed.is_err() { return },
                () = changed => {}
            }
        }
    }

    /// Tells the guest how it does, again and again, until its page works on a run for far too long.
    async fn look_after(&self, page: &Page, worker: WorkerId, membership: &Membership) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut overdue = false;
        loop {
            looks.tick().await;
            self.tell(worker).await;
            // Twice in a row: after a pause of ours its answer may only not have been read yet.
            let was = std::mem::replace(&mut overdue, page.is_overdue(self.shared.options.overdue));
            if was && overdue {
                tracing::warn!(guest = &**self.label, "a run takes many times longer than any before it");
                membership.put_out(LeaveCause::Unresponsive);
                self.guest.reload().await;
                let _ = tokio::time::timeout(self.desk.options.terms.grace, page.ended()).await;
                return;
            }
        }
    }

    async fn tell(&self, worker: WorkerId) {
        let state = self.desk.guests.lock().get(self.label).map(|report| report.state);
        let mut standing = Standing::new(match state {
            Some(GuestState::Working) => "working",
            Some(GuestState::Paused) => "paused",
            Some(GuestState::Leaving) => "leaving",
            _ => "waiting",
        });
        let stats = self.shared.pool.stats().core.workers;
        let known = stats.iter().find(|known| known.worker == worker);
        if let Some((known, guest)) = known.and_then(|known| Some((known, known.guest.as_ref()?))) {
            (standing.answers, standing.confirmed) = (known.served, guest.confirmed);
            standing.on_probation = guest.on_probation;
        }
        self.guest.tell(standing).await;
    }

    /// It says goodbye: what it has begun is done, what waits goes to others.
    async fn leave(&self, worker: WorkerId) -> Ended {
        self.note(GuestState::Leaving, Some(worker));
        let _ = tokio::time::timeout(FAREWELL, self.shared.pool.drain_worker(worker)).await;
        self.tell(worker).await;
        Ended::Left
    }

    async fn keep_ahead(&self, worker: WorkerId) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(AHEAD).await;
            self.load_ahead(worker).await;
        }
    }

    /// Loads what guests get and a browser of the pool's own has loaded. One that is not trusted serves nothing else.
    async fn load_ahead(&self, worker: WorkerId) {
        for model in self.desk.models() {
            let workers = self.shared.pool.stats().core.workers;
            let has = |own: bool| {
                let mut those = workers
                    .iter()
                    .filter(|other| if own { other.guest.is_none() } else { other.worker == worker });
                those.any(|other| other.sessions.iter().any(|session| session.model == model.hash))
            };
            if has(false) || !(has(true) || self.desk.options.trust) {
                continue;
            }
            let mut preload = Preload::new(model);
            preload.worker = Some(worker);
            preload.constraints =
                Constraints { timeout: Some(LOAD), attempts: Some(1), ..Constraints::default() };
            if let Err(error) = self.shared.pool.preload(preload).await {
                tracing::debug!(guest = &**self.label, %error, "a guest did not load a model ahead");
            }
        }
    }
}

/// Resolves when the guest wants to go.
async fn is_leaving(wishes: &mut watch::Receiver<Wish>) {
    if wishes.wait_for(|wish| *wish == Wish::Leave).await.is_err() {
        std::future::pending::<()>().await;
    }
}
