//! The table `[join]` of `pool.toml`: which guests a server takes.

use std::net::SocketAddr;

use serde::Deserialize;
use vocab::Backend;
use webnn_pool::{HiddenTabs, JoinOptions};

use super::config::{Seconds, parsed_all};
use crate::cli::Failure;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JoinTable {
    /// Whether guests are let in at all.
    pub(super) enabled: bool,
    /// The models that they get, by name.
    models: Vec<String>,
    /// Whether they are believed like the pool's own browsers.
    trust: bool,
    /// What the pool is called, and who runs it, before whoever opens the page.
    pool: Option<String>,
    operator: Option<String>,
    /// Where the page server listens, and the origin under which guests reach it.
    pub(super) listen: Option<SocketAddr>,
    public_origin: Option<String>,
    /// The backends that guests are asked to probe.
    #[serde(deserialize_with = "parsed_all")]
    backends: Vec<Backend>,
    threads: Option<u32>,
    memory_mib: Option<u64>,
    max_guests: Option<usize>,
    max_codes: Option<usize>,
    code_seconds: Option<Seconds>,
    grace_seconds: Option<Seconds>,
    hidden_tabs: Option<HiddenTabs>,
    battery_floor: Option<f64>,
    /// How many answers are all confirmed, and with which chance those after them.
    confirm_first: Option<u32>,
    confirm_one_in: Option<u32>,
}

impl JoinTable {
    /// Which guests are taken; `None` where none are.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub(super) fn options(&self) -> Result<Option<JoinOptions>, Failure> {
        if !self.enabled {
            return Ok(None);
        }
        if self.models.is_empty() {
            return Err("join.models is empty: name the models that guests get".into());
        }
        if self.battery_floor.is_some_and(|floor| !(0.0..=1.0).contains(&floor)) {
            return Err("join.battery_floor must be from 0 to 1".into());
        }
        let mut options = JoinOptions::default();
        options.models.clone_from(&self.models);
        options.trust = self.trust;
        let confirmation = &mut options.confirmation;
        confirmation.first = self.confirm_first.unwrap_or(confirmation.first);
        confirmation.then_one_in = self.confirm_one_in.unwrap_or(confirmation.then_one_in);
        let terms = &mut options.terms;
        terms.pool = self.pool.clone().unwrap_or_else(|| terms.pool.clone());
        terms.operator = self.operator.clone().unwrap_or_default();
        terms.public_origin.clone_from(&self.public_origin);
        if !self.backends.is_empty() {
            terms.backends.clone_from(&self.backends);
        }
        terms.threads = self.threads.unwrap_or(terms.threads);
        terms.memory_bytes = self.memory_mib.map_or(terms.memory_bytes, |mib| mib.saturating_mul(1 << 20));
        terms.max_guests = self.max_guests.unwrap_or(terms.max_guests);
        terms.max_codes = self.max_codes.unwrap_or(terms.max_codes);
        terms.code_lifetime = self.code_seconds.map_or(terms.code_lifetime, |seconds| seconds.0);
        terms.grace = self.grace_seconds.map_or(terms.grace, |seconds| seconds.0);
        terms.hidden_tabs = self.hidden_tabs.unwrap_or(HiddenTabs::Pause);
        terms.battery_floor = self.battery_floor.unwrap_or(terms.battery_floor);
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn read(text: &str) -> JoinTable {
        toml::from_str(text).expect("a table")
    }

    #[test]
    fn a_table_is_read_and_what_it_does_not_say_is_as_the_defaults_are() {
        assert!(read("models = [\"a\"]").options().expect("it works").is_none(), "not unless it says so");
        let table = read(concat!(
            "enabled = true\nmodels = [\"a\", \"b\"]\nbackends = [\"wasm\"]\ncode_seconds = 60\n",
            "hidden_tabs = \"ask\"\nconfirm_one_in = 1\nmemory_mib = 256\n",
        ));
        let options = table.options().expect("it works").expect("it is enabled");
        assert_eq!(options.models, ["a", "b"]);
        assert_eq!((options.confirmation.first, options.confirmation.then_one_in), (20, 1));
        assert_eq!(options.terms.code_lifetime, Duration::from_secs(60));
        assert_eq!(options.terms.hidden_tabs, HiddenTabs::Ask);
        assert_eq!((options.terms.backends.len(), options.terms.memory_bytes), (1, 256 << 20));
        assert!(!options.trust);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (text, word) in [
            ("enabled = true", "join.models"),
            ("enabled = true\nmodels = [\"a\"]\nbattery_floor = 20", "join.battery_floor"),
        ] {
            let error = read(text).options().expect_err("it is refused").to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(toml::from_str::<JoinTable>("hidden_tabs = \"sleep\"").is_err());
    }
}
