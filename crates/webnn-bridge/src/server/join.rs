//! How guests come in: the page with the terms, and what a code is good for.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::{Mutex, RwLock};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::json;
use telemetry::GuestRefusal;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::Instant;
use vocab::{Backend, DeviceKind, ModelHash};

use super::registry::Terms;
use super::{ServerState, assets, auth, normal_origin};
use crate::guest::{
    Admissions, Guest, GuestModel, GuestNews, Invitation, InviteError, JoinConfig, claimed, plain,
};

/// News that wait to be heard. Refusals that find no room are counted all the same.
const NEWS: usize = 64;
/// Bytes of a body: a code or a token.
const BODY: usize = 1_024;

/// Everything about guests that outlives a request.
#[derive(Debug)]
pub(crate) struct JoinState {
    pub(crate) config: JoinConfig,
    /// The public origin, as browsers write it.
    pub(super) origin: Option<String>,
    admissions: Mutex<Admissions>,
    models: RwLock<Vec<GuestModel>>,
    allowed: RwLock<HashSet<ModelHash>>,
    numbers: AtomicU64,
    /// Guests that are in. Counted up by who lets one in, and down by its place.
    inside: Arc<AtomicUsize>,
    news: mpsc::Sender<GuestNews>,
    heard: Mutex<Option<mpsc::Receiver<GuestNews>>>,
    /// Refusals that found no room among the news.
    unheard: AtomicU64,
}

/// The place of a guest that is in. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl JoinState {
    pub(super) fn new(config: JoinConfig) -> std::io::Result<Self> {
        let origin = config.public_origin.as_deref().map(normal_origin).transpose()?;
        let (news, heard) = mpsc::channel(NEWS.max(config.max_guests));
        Ok(Self {
            origin,
            admissions: Mutex::new(Admissions::new(Instant::now(), config.max_codes, config.code_lifetime)),
            config,
            models: RwLock::default(),
            allowed: RwLock::default(),
            numbers: AtomicU64::new(1),
            inside: Arc::default(),
            news,
            heard: Mutex::new(Some(heard)),
            unheard: AtomicU64::new(0),
        })
    }

    /// Gives out a code.
    pub(crate) fn invite(&self, origin: &str) -> Result<Invitation, InviteError> {
        let (code, expires_in) = self.admissions.lock().issue(Instant::now(), rand::rng().random())?;
        let origin = self.origin.as_deref().unwrap_or(origin);
        Ok(Invitation { code, url: format!("{origin}/join#code={code}"), expires_in })
    }

    /// The models that guests get from now on, and no others; and the files that they get besides.
    pub(crate) fn set_models(&self, models: Vec<GuestModel>, besides: &[ModelHash]) {
        let files = models.iter().flat_map(|model| &model.files).chain(besides);
        *self.allowed.write() = files.copied().collect();
        *self.models.write() = models;
    }

    /// Whether guests may fetch a file.
    pub(crate) fn allows(&self, hash: ModelHash) -> bool {
        self.allowed.read().contains(&hash)
    }

    /// What happens that concerns guests, for whoever asks first.
    pub(crate) fn take_news(&self) -> Option<mpsc::Receiver<GuestNews>> {
        self.heard.lock().take()
    }

    /// Refusals that nobody was told of one by one, since this was asked last.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn tell_refused(&self, why: GuestRefusal) {
        if self.news.try_send(GuestNews::Refused(why)).is_err() {
            self.unheard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A place for one more guest.
    fn place(&self) -> Option<Place> {
        let most = self.config.max_guests;
        let taken = self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, |inside| {
            (inside < most).then_some(inside + 1)
        });
        taken.ok().map(|_| Place(Arc::clone(&self.inside)))
    }
}

/// `GET /join`
pub(super) async fn page(State(state): State<Arc<ServerState>>, headers: HeaderMap) -> Response {
    if state.join.is_none() {
        return (StatusCode::NOT_FOUND, "this pool takes no guests").into_response();
    }
    assets::answer(&state, &headers, "join.html", false)
}

#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(default)]
    code: String,
    #[serde(default)]
    token: String,
}

/// Reads a question from our own page. Foreign pages cannot ask: their origin is another one, and neither a form nor a
/// simple request sends JSON.
async fn read(state: &ServerState, request: Request) -> Result<(SocketAddr, String, Shown), Response> {
    if state.join.is_none() {
        return Err((StatusCode::NOT_FOUND, "this pool takes no guests").into_response());
    }
    if let Err((status, why)) = auth::same_origin(state, request.headers()) {
        return Err(refusal(status, GuestRefusal::ForeignOrigin, why, Duration::ZERO));
    }
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = plain(agent.unwrap_or_default(), 200);
    let Some(from) = from else {
        return Err((StatusCode::INTERNAL_SERVER_ERROR, "the address is not known").into_response());
    };
    let mut request = request;
    DefaultBodyLimit::max(BODY).apply(&mut request);
    match Json::<Shown>::from_request(request, &()).await {
        Ok(Json(shown)) => Ok((from, agent, shown)),
        Err(error) => Err(error.into_response()),
    }
}

/// An answer that says what was wrong and what to do.
fn refusal(status: StatusCode, why: GuestRefusal, message: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs_f64().ceil();
    let body = Json(json!({ "refused": why.as_str(), "message": message, "retry_after_s": seconds }));
    let mut response = (status, body).into_response();
    if seconds > 0.0 {
        response.headers_mut().insert(header::RETRY_AFTER, (seconds as u64).into());
    }
    response
}

fn refused(join: &JoinState, (why, wait): (GuestRefusal, Duration)) -> Response {
    join.tell_refused(why);
    tracing::warn!(%why, "somebody who wanted to join was refused");
    let (status, message) = match why {
        GuestRefusal::UsedCode => {
            (StatusCode::GONE, "this code has let somebody in already: ask for another one")
        }
        GuestRefusal::ExpiredCode => {
            (StatusCode::GONE, "this code was not used in time: ask for another one")
        }
        GuestRefusal::TooManyAttempts => {
            (StatusCode::TOO_MANY_REQUESTS, "there were too many wrong codes lately: wait, then try again")
        }
        GuestRefusal::Full => {
            (StatusCode::SERVICE_UNAVAILABLE, "there are as many guests as there may be: try again later")
        }
        _ => (
            StatusCode::FORBIDDEN,
            "no invitation has this code: look at it once more, or ask for another one",
        ),
    };
    refusal(status, why, message, wait)
}

/// `POST /join/terms`: what a guest will do, for whoever has a code. The code stays good.
pub(super) async fn terms(State(state): State<Arc<ServerState>>, request: Request) -> Response {
    let (from, _, shown) = match read(&state, request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let Some(join) = &state.join else { return StatusCode::NOT_FOUND.into_response() };
    let looked = join.admissions.lock().look(Instant::now(), from.ip(), &shown.code);
    let left = match looked {
        Ok((_, left)) => left,
        Err(refusal) => return refused(join, refusal),
    };
    let JoinConfig { pool, operator, backends, threads, memory_bytes, hidden_tabs, battery_floor, .. } =
        &join.config;
    let models: Vec<_> =
        join.models.read().iter().map(|model| json!({ "name": model.name, "bytes": model.bytes })).collect();
    Json(json!({
        "pool": pool, "operator": operator, "backends": backends, "threads": threads,
        "memory_bytes": memory_bytes, "hidden_tabs": hidden_tabs, "battery_floor": battery_floor,
        "models": models, "code_left_s": left.as_secs(),
    }))
    .into_response()
}

/// `POST /join/enter`: a code for a token.
pub(super) async fn enter(State(state): State<Arc<ServerState>>, request: Request) -> Response {
    let (from, agent, shown) = match read(&state, request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let Some(join) = &state.join else { return StatusCode::NOT_FOUND.into_response() };
    // A place comes before the code: one that is used up for nothing would be lost.
    let Some(place) = join.place() else {
        return refused(join, (GuestRefusal::Full, Duration::from_secs(60)));
    };
    let redeemed = join.admissions.lock().redeem(Instant::now(), from.ip(), &shown.code);
    if let Err(refusal) = redeemed {
        return refused(join, refusal);
    }
    let label = format!("guest-{}", join.numbers.fetch_add(1, Ordering::Relaxed));
    let (browser, version) = claimed(&agent);
    let device = |backend: Backend| match backend {
        Backend::WebGpu => DeviceKind::Gpu,
        Backend::WebNn | Backend::Wasm => DeviceKind::Cpu,
    };
    let backends = join.config.backends.clone();
    let devices: BTreeMap<_, _> = backends.iter().map(|&backend| (backend, device(backend))).collect();
    let terms = Terms { browser, backends, devices, threads: join.config.threads, software_graphics: false };
    let (guard, pages) = state.registry.register_guest(label.clone(), terms, version);
    let token = guard.token().to_owned();
    let guest = Guest { guard, pages: AsyncMutex::new(pages), _place: place };
    if join.news.try_send(GuestNews::Came(guest)).is_err() {
        // Nobody looks after guests any more, or too many came at once; this one was dropped again.
        return refused(join, (GuestRefusal::Full, Duration::from_secs(10)));
    }
    tracing::info!(guest = label, agent, "a guest was let in");
    Json(json!({ "token": token, "guest": label })).into_response()
}

/// `POST /join/why`: what became of a token. Browsers do not tell a page why a WebSocket was refused.
pub(super) async fn why(State(state): State<Arc<ServerState>>, request: Request) -> Response {
    let (_, _, shown) = match read(&state, request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let why = match state.registry.find(&shown.token) {
        Some(_) => None,
        None => Some(
            state
                .registry
                .why_over(&shown.token)
                .map_or_else(|| "it is not known here".to_owned(), |why| why.to_string()),
        ),
    };
    Json(json!({ "good": why.is_none(), "why": why })).into_response()
}
