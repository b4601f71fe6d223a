//! The models that are served: found in folders, read, replaced while they are in use.

mod hub;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use pool_core::Model;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use vocab::ModelHash;

use crate::batch::{Batcher, Batching};
use crate::engine::{Engine, Library, ModelFiles};
use crate::error::{ServiceError, shortened};
use crate::stats::{ModelStatistics, Stats};

pub(crate) use hub::{Hub, Pooling};
pub(crate) use scan::is_name;
use scan::{Found, Place};

/// Names that an error lists at most.
const MOST_NAMES: usize = 10;

/// Settings of one model.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ModelSettings {
    /// How its requests form batches. Default: those of the server.
    pub batching: Option<Batching>,
}

/// One version of a model, ready to be used. What is being computed keeps the version that it began with.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) model: Arc<Model>,
    /// The ONNX file.
    pub(crate) path: PathBuf,
    /// What its folder says about text.
    pub(crate) hub: Hub,
    /// Forms its batches, where that was asked for and is possible.
    pub(crate) batcher: Option<Batcher>,
    /// The settings that its batches are formed by.
    pub(crate) batching: Option<Batching>,
    pub(crate) stats: Arc<Stats>,
}

/// Where a version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum ModelState {
    /// It answers requests.
    Ready,
    /// It does not; the reason stands beside.
    Unavailable,
}

impl ModelState {
    /// The protocol's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// One line of the repository's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IndexEntry {
    /// The model.
    pub name: String,
    /// The version; empty where none could be told.
    pub version: String,
    /// Whether it can be used.
    pub state: ModelState,
    /// Why not, or empty.
    pub reason: String,
}

#[derive(Debug, Clone)]
struct Version {
    place: Place,
    stats: Arc<Stats>,
    served: Result<Arc<Served>, String>,
}

#[derive(Debug, Clone)]
enum Named {
    Versions(BTreeMap<u64, Version>),
    /// It is there, and cannot be used as it is.
    Broken(String),
}

type Models = BTreeMap<String, Named>;

/// Name, version, what is served under them or why nothing is, and what was asked of it.
type CountedVersion = (String, String, Result<Arc<Served>, String>, Arc<Stats>);

/// The models that are served.
pub(crate) struct Repository {
    roots: Vec<PathBuf>,
    engine: Arc<dyn Engine>,
    library: Arc<dyn Library>,
    tasks: TaskTracker,
    batching: Batching,
    settings: BTreeMap<String, ModelSettings>,
    models: ArcSwap<Models>,
    /// Those that somebody unloaded: they stay so until they are loaded.
    unloaded: RwLock<BTreeSet<String>>,
    /// One change after the other.
    changing: Mutex<()>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("roots", &self.roots).finish_non_exhaustive()
    }
}

/// What a look at the folders changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Names and versions that are served now and were not, or are another content now.
    pub(crate) served: Vec<String>,
    /// Names that are not served any more.
    pub(crate) gone: Vec<String>,
    /// What cannot be used, with the reason; only what was not said before.
    pub(crate) refused: Vec<(String, String)>,
}

impl Repository {
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        (engine, library): (Arc<dyn Engine>, Arc<dyn Library>),
        tasks: TaskTracker,
        batching: Batching,
        settings: BTreeMap<String, ModelSettings>,
    ) -> Self {
        Self {
            roots,
            engine,
            library,
            tasks,
            batching,
            settings,
            models: ArcSwap::default(),
            unloaded: RwLock::default(),
            changing: Mutex::default(),
        }
    }

    /// The version that a request means: the one that it names, or the highest that can be used.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>, ServiceError> {
        if !is_name(name) {
            return Err(ServiceError::BadName { name: shortened(name) });
        }
        let models = self.models.load();
        let not_ready =
            |reason: &str| ServiceError::NotReady { name: name.to_owned(), reason: reason.to_owned() };
        let versions = match models.get(name) {
            None => {
                let known = models.keys().take(MOST_NAMES).cloned().collect();
                return Err(ServiceError::UnknownModel { name: name.to_owned(), known });
            }
            Some(Named::Broken(why)) => return Err(not_ready(why)),
            Some(Named::Versions(versions)) => versions,
        };
        let found = match version.filter(|version| !version.is_empty()) {
            Some(text) => {
                let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let found =
                    number.and_then(|text| text.parse::<u64>().ok()).and_then(|number| versions.get(&number));
                found.ok_or_else(|| ServiceError::UnknownVersion {
                    name: name.to_owned(),
                    version: shortened(text),
                    known: versions.keys().take(MOST_NAMES).map(u64::to_string).collect(),
                })?
            }
            None => {
                let usable = versions.values().rev().find(|version| version.served.is_ok());
                let any = usable.or_else(|| versions.values().next_back());
                any.ok_or_else(|| not_ready("it has no version"))?
            }
        };
        found.served.clone().map_err(|why| not_ready(&why))
    }

    /// Whether a model is there at all, and if so the versions that can be used.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        match self.models.load().get(name) {
            Some(Named::Versions(versions)) => {
                let usable = versions.iter().filter(|(_, version)| version.served.is_ok());
                usable.map(|(number, _)| number.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every model with its state.
    pub(crate) fn index(&self) -> Vec<IndexEntry> {
        let mut out = Vec::new();
        for (name, named) in self.models.load().iter() {
            let entry = |version: String, state, reason: &str| IndexEntry {
                name: name.clone(),
                version,
                state,
                reason: reason.to_owned(),
            };
            match named {
                Named::Broken(why) => out.push(entry(String::new(), ModelState::Unavailable, why)),
                Named::Versions(versions) => {
                    out.extend(versions.iter().map(|(number, version)| match &version.served {
                        Ok(_) => entry(number.to_string(), ModelState::Ready, ""),
                        Err(why) => entry(number.to_string(), ModelState::Unavailable, why),
                    }));
                }
            }
        }
        out
    }

    /// The newest usable version of each model.
    pub(crate) fn served(&self) -> Vec<Arc<Served>> {
        let models = self.models.load();
        let newest = |named: &Named| match named {
            Named::Versions(versions) => {
                versions.values().rev().find_map(|version| version.served.clone().ok())
            }
            Named::Broken(_) => None,
        };
        models.values().filter_map(newest).collect()
    }

    /// Every version of every model that has one, with what was asked of it, by name.
    pub(crate) fn counted(&self) -> Vec<CountedVersion> {
        let mut out = Vec::new();
        for (name, named) in self.models.load().iter() {
            match named {
                Named::Broken(why) => {
                    out.push((name.clone(), String::new(), Err(why.clone()), Arc::default()))
                }
                Named::Versions(versions) => out.extend(versions.iter().map(|(number, version)| {
                    (name.clone(), number.to_string(), version.served.clone(), Arc::clone(&version.stats))
                })),
            }
        }
        out
    }

    /// The statistics of all versions, or of those of one name.
    pub(crate) fn statistics(&self, name: Option<&str>, version: Option<&str>) -> Vec<ModelStatistics> {
        let mut out = Vec::new();
        for (named, entry) in self.models.load().iter() {
            let Named::Versions(versions) = entry else { continue };
            if name.is_some_and(|name| name != named) {
                continue;
            }
            for (number, entry) in versions {
                let number = number.to_string();
                if version.is_none_or(|version| version.is_empty() || version == number) {
                    out.push(entry.stats.read(named, &number));
                }
            }
        }
        out
    }

    /// Looks at the folders, reads what is new or has changed, and lets go of what is not there any more. Requests that are
    /// on their way end with what they began with.
    ///
    /// # Errors
    /// A folder of models that cannot be read; everything stays as it was.
    pub(crate) async fn refresh(&self) -> Result<Changes, ServiceError> {
        let _one = self.changing.lock().await;
        let found = self.look().await?;
        self.adopt(found, None).await
    }

    /// Reads a model anew, also one that was unloaded. Where that fails, what was served before is served on.
    ///
    /// # Errors
    /// There is no such model, or it cannot be read.
    pub(crate) async fn load(&self, name: &str) -> Result<(), ServiceError> {
        if !is_name(name) {
            return Err(ServiceError::BadName { name: shortened(name) });
        }
        let _one = self.changing.lock().await;
        let found = self.look().await?;
        if !found.contains_key(name) {
            let known = found.into_keys().take(MOST_NAMES).collect();
            return Err(ServiceError::UnknownModel { name: name.to_owned(), known });
        }
        let was = self.unloaded.write().remove(name);
        let changes = self.adopt(found, Some(name)).await?;
        match changes.refused.into_iter().find(|(refused, _)| refused.split('/').next() == Some(name)) {
            None => Ok(()),
            Some((_, reason)) => {
                if was {
                    self.unloaded.write().insert(name.to_owned());
                }
                Err(ServiceError::BadRequest(format!("model {name:?} could not be loaded: {reason}")))
            }
        }
    }

    /// Takes no more requests for a model, and gives its memory up when those that it has are over.
    ///
    /// # Errors
    /// There is no such model.
    pub(crate) async fn unload(&self, name: &str) -> Result<(), ServiceError> {
        if !is_name(name) {
            return Err(ServiceError::BadName { name: shortened(name) });
        }
        let _one = self.changing.lock().await;
        let mut models = Models::clone(&self.models.load());
        let known = models.keys().take(MOST_NAMES).cloned().collect();
        match models.get_mut(name) {
            None => return Err(ServiceError::UnknownModel { name: name.to_owned(), known }),
            Some(Named::Broken(_)) => {}
            Some(Named::Versions(versions)) => {
                versions.values_mut().for_each(|version| version.served = Err(UNLOADED.to_owned()));
            }
        }
        self.unloaded.write().insert(name.to_owned());
        self.put(models);
        Ok(())
    }

    /// Serves nothing any more.
    pub(crate) fn clear(&self) {
        self.put(Models::new());
    }

    async fn look(&self) -> Result<BTreeMap<String, Found>, ServiceError> {
        let roots = self.roots.clone();
        let scanned = tokio::task::spawn_blocking(move || scan::scan(&roots)).await;
        let scanned =
            scanned.map_err(|_| ServiceError::Internal("the look at the models was lost".to_owned()))?;
        scanned
            .map_err(|error| ServiceError::Internal(format!("the folder of models cannot be read: {error}")))
    }

    /// Makes what was found what is served. `again` is read in any case.
    async fn adopt(
        &self,
        found: BTreeMap<String, Found>,
        again: Option<&str>,
    ) -> Result<Changes, ServiceError> {
        let before = self.models.load_full();
        let mut changes = Changes::default();
        let mut models = Models::new();
        for (name, found) in found {
            let old = before.get(&name);
            let versions = match found.versions {
                Ok(versions) => versions,
                Err(why) => {
                    let said = matches!(old, Some(Named::Broken(before)) if *before == why);
                    if !said || again == Some(&name) {
                        changes.refused.push((name.clone(), why.clone()));
                    }
                    models.insert(name, Named::Broken(why));
                    continue;
                }
            };
            let mut all = BTreeMap::new();
            for (number, place) in versions {
                let old = match old {
                    Some(Named::Versions(versions)) => versions.get(&number),
                    _ => None,
                };
                let version =
                    self.version(&name, number, place, old, again == Some(&name), &mut changes).await;
                all.insert(number, version);
            }
            models.insert(name, Named::Versions(all));
        }
        changes.gone = before.keys().filter(|name| !models.contains_key(*name)).cloned().collect();
        self.put(models);
        Ok(changes)
    }

    async fn version(
        &self,
        name: &str,
        number: u64,
        place: Place,
        old: Option<&Version>,
        again: bool,
        changes: &mut Changes,
    ) -> Version {
        let stats = old.map(|old| Arc::clone(&old.stats)).unwrap_or_default();
        if self.unloaded.read().contains(name) {
            return Version { place, stats, served: Err(UNLOADED.to_owned()) };
        }
        if let Some(old) = old
            && !again
            && old.place == place
            && old.served.as_ref().err().is_none_or(|why| why != UNLOADED)
        {
            return old.clone();
        }
        let full = format!("{name}/{number}");
        match self.read(name, number, &place, Arc::clone(&stats)).await {
            Ok(served) => {
                changes.served.push(full);
                Version { place, stats, served: Ok(Arc::new(served)) }
            }
            Err(why) => {
                changes.refused.push((full, why.clone()));
                // A file that is just being written is no reason to stop serving what was there.
                let served = old.and_then(|old| old.served.clone().ok()).ok_or(why);
                Version { place, stats, served }
            }
        }
    }

    async fn read(
        &self,
        name: &str,
        number: u64,
        place: &Place,
        stats: Arc<Stats>,
    ) -> Result<Served, String> {
        let files = ModelFiles::new(&place.onnx, name, number.to_string());
        let model = self.library.read(files).await.map_err(|error| error.to_string())?;
        let hub = Hub::of(&place.folder);
        let own = self.settings.get(name).and_then(|settings| settings.batching.clone());
        let asked = own.is_some();
        let batching = Some(own.unwrap_or_else(|| self.batching.clone())).filter(Batching::is_on);
        let batcher = batching.clone().map(|settings| {
            Batcher::start(Arc::clone(&self.engine), Arc::clone(&model), settings, &self.tasks)
        });
        let batcher = match batcher.transpose() {
            Ok(batcher) => batcher,
            Err(why) if asked => {
                return Err(format!("its requests cannot form batches, as the settings ask: {why}"));
            }
            Err(why) => {
                tracing::info!(model = name, why, "requests of this model form no batches");
                None
            }
        };
        let batching = batching.filter(|_| batcher.is_some());
        let (name, version) = (name.to_owned(), number.to_string());
        Ok(Served { name, version, model, path: place.onnx.clone(), hub, batcher, batching, stats })
    }

    /// Serves these models from now on, and gives up the memory of what is not among them.
    fn put(&self, models: Models) {
        let now = hashes(&models);
        let before = self.models.swap(Arc::new(models));
        for gone in hashes(&before).difference(&now) {
            self.library.retire(*gone);
        }
    }
}

const UNLOADED: &str = "it was unloaded";

fn hashes(models: &Models) -> BTreeSet<ModelHash> {
    let versions = models.values().filter_map(|named| match named {
        Named::Versions(versions) => Some(versions.values()),
        Named::Broken(_) => None,
    });
    versions
        .flatten()
        .filter_map(|version| version.served.as_ref().ok().map(|served| served.model.hash))
        .collect()
}
