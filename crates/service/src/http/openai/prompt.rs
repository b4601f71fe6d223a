//! What both kinds of completion have in common: settings, and text out of tokens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use pool_core::{Phase, RunError};
use serde::Deserialize;
use tensor::oip::Object;
use tokenizers::Tokenizer;
use tokio::time::Instant;

use crate::embed::known;
use crate::engine::{EngineError, Sampling, TextRequest};
use crate::error::ServiceError;
use crate::repository::Served;
use crate::service::Service;

/// Tokens where a request does not say how many.
const USUAL_TOKENS: usize = 16;

/// The settings that both have.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) max_tokens: Option<u64>,
    #[serde(default)]
    pub(super) max_completion_tokens: Option<u64>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<Object<StreamOptions>>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    frequency_penalty: Option<f64>,
    #[serde(default)]
    presence_penalty: Option<f64>,
    #[serde(default)]
    logit_bias: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "stop must be a text or a list of texts")]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// By a token or a text that ends it.
    Stop,
    /// By its length.
    Length,
}

impl Finish {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

impl Settings {
    /// Whether the last event of a stream tells how many tokens there were.
    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|Object(options)| options.include_usage)
    }

    fn check(&self) -> Result<(), ServiceError> {
        let refused = |name, why: &str| Err(ServiceError::BadParameter { name, why: why.to_owned() });
        if self.n.is_some_and(|n| n != 1) {
            return refused("n", "must be 1: ask again for another text");
        }
        if self.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return refused("temperature", "must be 0 to 2");
        }
        if self.top_p.is_some_and(|value| !(value > 0.0 && value <= 1.0)) {
            return refused("top_p", "must be above 0 and at most 1");
        }
        if self.max_tokens == Some(0) || self.max_completion_tokens == Some(0) {
            return refused("max_tokens", "must be at least 1");
        }
        super::refuse_setting("frequency_penalty", self.frequency_penalty.is_some_and(|value| value != 0.0))?;
        super::refuse_setting("presence_penalty", self.presence_penalty.is_some_and(|value| value != 0.0))?;
        super::refuse_setting("logit_bias", self.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()))
    }

    fn stops(&self) -> Result<Vec<String>, ServiceError> {
        let all = match &self.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text.clone()],
            Some(Stop::Several(texts)) => texts.clone(),
        };
        if all.len() > 4 || all.iter().any(String::is_empty) {
            let why = "must be at most four texts, none of them empty".to_owned();
            return Err(ServiceError::BadParameter { name: "stop", why });
        }
        Ok(all)
    }
}

/// A text that is being written.
pub(super) struct Writing {
    tokens: BoxStream<'static, Result<i64, EngineError>>,
    written: Written,
    eos: Vec<i64>,
    most: usize,
    began: Instant,
    longest: Duration,
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    pub(super) finish: Option<Finish>,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").field("completion_tokens", &self.completion_tokens).finish_non_exhaustive()
    }
}

impl Writing {
    /// Begins a text behind these tokens.
    pub(super) async fn begin(
        service: &Service,
        served: &Served,
        prompt: Vec<u32>,
        settings: &Settings,
        usual: Option<usize>,
    ) -> Result<Self, ServiceError> {
        settings.check()?;
        let unsuited = |why: &str| ServiceError::Unsuited {
            name: served.name.clone(),
            what: "write texts",
            why: why.to_owned(),
        };
        let caches =
            served.model.signature.inputs.iter().any(|input| input.name.starts_with("past_key_values"));
        let scores = served.model.signature.output("logits").is_some();
        if !caches || !scores {
            return Err(unsuited("it needs logits, and caches called past_key_values"));
        }
        let generator =
            service.parts().generator.as_ref().ok_or_else(|| unsuited("this server writes none"))?;
        let tokenizer = served.hub.tokenizer().map_err(|why| unsuited(&why))?;
        if prompt.is_empty() {
            return Err(ServiceError::BadParameter {
                name: "prompt",
                why: "must hold at least one token".to_owned(),
            });
        }
        known(served, "prompt", &prompt)?;
        let wanted = settings.max_completion_tokens.or(settings.max_tokens);
        let wanted = wanted
            .map(|wanted| usize::try_from(wanted).unwrap_or(usize::MAX))
            .or(usual)
            .unwrap_or(USUAL_TOKENS);
        let room = match served.hub.max_length {
            Some(most) if prompt.len() >= most => {
                let why = format!("has {} tokens, and {most} are the most with its text", prompt.len());
                return Err(ServiceError::BadParameter { name: "prompt", why });
            }
            Some(most) => most - prompt.len(),
            None => usize::MAX,
        };
        let most = wanted.min(room).min(service.limits().max_new_tokens);
        let prompt_tokens = prompt.len();
        let tokens: Vec<i64> = prompt.into_iter().map(i64::from).collect();
        let mut request = TextRequest::new(Arc::clone(&served.model), served.path.clone(), tokens, most);
        request.eos.clone_from(&served.hub.eos);
        // As OpenAI has it: without a temperature it is 1; 0 is the likeliest token.
        let temperature = settings.temperature.unwrap_or(1.0);
        if temperature > 0.0 {
            let top_p = settings.top_p.unwrap_or(1.0);
            let seed = settings.seed.map_or_else(rand::random, |seed| seed as u64);
            request.sampling = Some(Sampling { temperature, top_p, seed });
        }
        let stops = settings.stops()?;
        Ok(Self {
            tokens: generator.generate(request).await?,
            written: Written::new(tokenizer, stops),
            eos: served.hub.eos.clone(),
            most,
            began: Instant::now(),
            longest: service.limits().max_timeout,
            prompt_tokens,
            completion_tokens: 0,
            finish: None,
        })
    }

    /// The next piece of the text; `None` once it is over.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ServiceError> {
        use futures_util::StreamExt as _;
        while self.finish.is_none() {
            let token = tokio::time::timeout_at(self.began + self.longest, self.tokens.next()).await;
            let token = token.map_err(|_| RunError::DeadlineExceeded {
                phase: Phase::Running,
                waited: self.began.elapsed(),
                last_cause: None,
            })?;
            let Some(token) = token else {
                self.finish =
                    Some(if self.completion_tokens >= self.most { Finish::Length } else { Finish::Stop });
                break;
            };
            let token = token?;
            self.completion_tokens += 1;
            if self.eos.contains(&token) {
                self.finish = Some(Finish::Stop);
                break;
            }
            let piece = self.written.push(token);
            if self.written.stopped {
                self.finish = Some(Finish::Stop);
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        let rest = self.written.rest();
        Ok(Some(rest).filter(|rest| !rest.is_empty()))
    }
}

/// Text out of tokens that come one by one.
struct Written {
    tokenizer: Arc<Tokenizer>,
    stops: Vec<String>,
    tokens: Vec<u32>,
    /// Where the tokens begin of which the text is looked at, and how much of that text was given out already.
    from: usize,
    given: usize,
    /// Text that may be the beginning of one that ends it.
    held: String,
    stopped: bool,
}

impl Written {
    const fn new(tokenizer: Arc<Tokenizer>, stops: Vec<String>) -> Self {
        Self { tokenizer, stops, tokens: Vec::new(), from: 0, given: 0, held: String::new(), stopped: false }
    }

    /// The text that is certain after one more token.
    fn push(&mut self, token: i64) -> String {
        let Ok(token) = u32::try_from(token) else { return String::new() };
        self.tokens.push(token);
        let whole = self.decode(self.from);
        // A letter may be made of several tokens; a part of one reads as this mark.
        if whole.ends_with('\u{fffd}') || whole.len() <= self.given {
            return String::new();
        }
        let piece = whole.get(self.given..).unwrap_or_default().to_owned();
        // What a token's text is depends on the one before, so that one is kept as the beginning.
        self.from = self.tokens.len() - 1;
        self.given = self.decode(self.from).len();
        self.give(&piece)
    }

    fn decode(&self, from: usize) -> String {
        self.tokenizer.decode(&self.tokens[from..], true).unwrap_or_default()
    }

    /// Holds back what may become a text that ends it, and ends it where it did.
    fn give(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let end = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(end) = end {
            self.stopped = true;
            let mut out = std::mem::take(&mut self.held);
            out.truncate(end);
            return out;
        }
        let begun = |stop: &String| {
            let lengths = stop.char_indices().map(|(at, _)| at).chain([stop.len()]);
            lengths.filter(|&length| length > 0 && self.held.ends_with(&stop[..length])).max()
        };
        let back = self.stops.iter().filter_map(begun).max().unwrap_or(0);
        let out = self.held[..self.held.len() - back].to_owned();
        self.held.drain(..out.len());
        out
    }

    /// What was held back when no token comes any more.
    fn rest(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        let mut out = std::mem::take(&mut self.held);
        let whole = self.decode(self.from);
        if let Some(piece) = whole.get(self.given..) {
            out.push_str(piece);
            self.given = whole.len();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer with one token a byte.
    fn bytes() -> Arc<Tokenizer> {
        let table: serde_json::Map<String, serde_json::Value> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet()
                .into_iter()
                .collect::<std::collections::BTreeSet<char>>()
                .into_iter()
                .enumerate()
                .map(|(id, letter)| (letter.to_string(), id.into()))
                .collect();
        let level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": level, "post_processor": null, "decoder": level,
            "model": {"type": "BPE", "vocab": table, "merges": [], "unk_token": null},
        });
        Arc::new(Tokenizer::from_bytes(json.to_string()).expect("a tokenizer"))
    }

    #[track_caller]
    fn check(text: &str, stops: &[&str], want: &str, stopped: bool) {
        let tokenizer = bytes();
        let tokens = tokenizer.encode(text, false).expect("tokens").get_ids().to_vec();
        let mut written = Written::new(tokenizer, stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut out = String::new();
        for token in tokens {
            if written.stopped {
                break;
            }
            out.push_str(&written.push(i64::from(token)));
            assert!(want.starts_with(&out), "{out:?} was given out, and {want:?} is what may be");
        }
        out.push_str(&written.rest());
        assert_eq!((out.as_str(), written.stopped), (want, stopped));
    }

    #[track_caller]
    fn refused(json: serde_json::Value, want: Option<&str>) {
        let settings = serde_json::from_value::<Settings>(json.clone()).map_err(|error| error.to_string());
        let checked = settings.and_then(|settings| settings.check().map_err(|error| error.to_string()));
        match want {
            None => assert_eq!(checked, Ok(()), "{json}"),
            Some(want) => {
                assert!(checked.as_ref().is_err_and(|error| error.contains(want)), "{json}: {checked:?}")
            }
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        use serde_json::json;
        refused(json!({}), None);
        refused(
            json!({ "max_tokens": 1, "temperature": 2, "stream_options": { "include_usage": true } }),
            None,
        );
        refused(json!({ "max_tokens": 0 }), Some("at least 1"));
        refused(json!({ "max_tokens": 0, "max_completion_tokens": 5 }), Some("at least 1"));
        refused(json!({ "temperature": 2.1 }), Some("0 to 2"));
        refused(json!({ "stream_options": [true] }), Some("expected an object"));
    }

    #[test]
    fn letters_of_several_tokens_come_whole() {
        check("naïve 日本 🎉!", &[], "naïve 日本 🎉!", false);
    }

    #[test]
    fn a_text_ends_before_what_ends_it() {
        check("one two three", &["two"], "one ", true);
        check("one twice", &["two"], "one twice", false);
        check("abcabd", &["abd"], "abc", true);
        check("ends with tw", &["two"], "ends with tw", false);
        check("aab", &["ab"], "a", true);
    }
}
