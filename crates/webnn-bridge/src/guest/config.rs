//! On which terms guests are let in.

use std::time::Duration;

use vocab::{Backend, ModelHash};

/// What becomes of a guest whose tab is hidden: browsers give such a page little time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HiddenTabs {
    /// It pauses until it is seen again.
    #[default]
    Pause,
    /// It goes on working.
    Work,
    /// Whoever sits there chooses; until then it pauses.
    Ask,
}

/// On which terms guests are let in.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JoinConfig {
    /// What the pool is called before whoever opens the page. Default: `webnn-pool`.
    pub pool: String,
    /// Who runs it and how they are reached, for the same readers. Default: empty, and then the page says that nobody is
    /// named.
    pub operator: String,
    /// The origin under which guests reach the page server, where that is another one than that of the pool's own browsers:
    /// of a proxy that adds TLS, for example. Default: none.
    pub public_origin: Option<String>,
    /// The backends that a guest is asked to probe, in this order. Default: all.
    pub backends: Vec<Backend>,
    /// WASM threads of a guest at most; 0 leaves it to the page, which takes one a core and four at most. Default: 2.
    pub threads: u32,
    /// Memory that the models of a guest may take together, and its WebAssembly heap, in bytes. Default: 1 GiB.
    pub memory_bytes: u64,
    /// Guests at the same time. Default: 16.
    pub max_guests: usize,
    /// Open codes at the same time. Default: 32.
    pub max_codes: usize,
    /// How long a code is good. Default: 10 min.
    pub code_lifetime: Duration,
    /// How long a guest that went away without a word may take to come back: a reload, a network that fails. Default: 60 s.
    pub grace: Duration,
    /// What becomes of hidden tabs. Default: they pause.
    pub hidden_tabs: HiddenTabs,
    /// At which charge a guest on a battery pauses, from 0 to 1, where its browser tells. Default: 0.2.
    pub battery_floor: f64,
}

impl Default for JoinConfig {
    fn default() -> Self {
        Self {
            pool: "webnn-pool".to_owned(),
            operator: String::new(),
            public_origin: None,
            backends: Backend::ALL.to_vec(),
            threads: 2,
            memory_bytes: 1 << 30,
            max_guests: 16,
            max_codes: 32,
            code_lifetime: Duration::from_secs(600),
            grace: Duration::from_secs(60),
            hidden_tabs: HiddenTabs::default(),
            battery_floor: 0.2,
        }
    }
}

/// A model that guests get.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestModel {
    /// Its name.
    pub name: String,
    /// What it downloads, in bytes.
    pub bytes: u64,
    /// Its files: the graph and its external data.
    pub files: Vec<ModelHash>,
}

impl GuestModel {
    /// A model of these files.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: u64, files: Vec<ModelHash>) -> Self {
        Self { name: name.into(), bytes, files }
    }
}
