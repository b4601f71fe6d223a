//! What the files beside a model say about text, in the layout of the Hugging Face hub.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;

/// Bytes of a configuration that are read at most; tokenizers have a limit of their own.
const CONFIG_LIMIT: u64 = 4 << 20;
/// Bytes of a tokenizer that are read at most.
const TOKENIZER_LIMIT: u64 = 256 << 20;

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pooling {
    /// Their mean, without what was padded.
    #[default]
    Mean,
    /// The first one.
    First,
    /// The largest of each element.
    Max,
    /// The last one that was not padded.
    Last,
}

/// What a model's folder says about text.
#[derive(Debug)]
pub(crate) struct Hub {
    tokenizer_at: Option<PathBuf>,
    tokenizer: OnceLock<Result<Arc<Tokenizer>, String>>,
    /// How tokens' vectors become one.
    pub(crate) pooling: Pooling,
    /// Whether vectors are scaled to length one.
    pub(crate) normalize: bool,
    /// Tokens that the model takes at most, where that is known.
    pub(crate) max_length: Option<usize>,
    /// How many tokens the model knows: as its configuration says, or its tokenizer.
    vocabulary: OnceLock<u64>,
    /// The tokens that end a text.
    pub(crate) eos: Vec<i64>,
    /// How a conversation becomes a prompt.
    pub(crate) chat_template: Option<String>,
    /// The texts of special tokens, as templates name them.
    pub(crate) special: Vec<(&'static str, String)>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    eos_token_id: Value,
    max_position_embeddings: Option<u64>,
    vocab_size: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Debug, Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

impl Hub {
    /// Reads what is beside a model. What is not there, or is not what it should be, says nothing.
    pub(crate) fn of(folder: &Path) -> Self {
        let config: Config = read(&folder.join("config.json"));
        let generation: Config = read(&folder.join("generation_config.json"));
        let tokenizer_config: Value = read(&folder.join("tokenizer_config.json"));
        let sentence: SentenceConfig = read(&folder.join("sentence_bert_config.json"));
        let pooling: PoolingConfig = read(&folder.join("1_Pooling/config.json"));
        let modules: Vec<Module> = read(&folder.join("modules.json"));
        let pooling = match pooling {
            PoolingConfig { pooling_mode_cls_token: true, .. } => Pooling::First,
            PoolingConfig { pooling_mode_max_tokens: true, .. } => Pooling::Max,
            PoolingConfig { pooling_mode_lasttoken: true, .. } => Pooling::Last,
            _ => Pooling::Mean,
        };
        let lengths = [sentence.max_seq_length, config.max_position_embeddings];
        let ends = [&generation.eos_token_id, &config.eos_token_id];
        let special = ["bos_token", "eos_token", "pad_token", "unk_token"];
        let special =
            special.into_iter().filter_map(|name| text(&tokenizer_config[name]).map(|text| (name, text)));
        Self {
            tokenizer_at: Some(folder.join("tokenizer.json")).filter(|path| path.is_file()),
            tokenizer: OnceLock::new(),
            pooling,
            normalize: modules.iter().any(|module| module.kind.ends_with("Normalize")),
            max_length: lengths.into_iter().flatten().min().and_then(|length| usize::try_from(length).ok()),
            vocabulary: config.vocab_size.map_or_else(OnceLock::new, OnceLock::from),
            eos: ends.into_iter().map(numbers).find(|ends| !ends.is_empty()).unwrap_or_default(),
            chat_template: chat_template(folder, &tokenizer_config),
            special: special.collect(),
        }
    }

    /// Whether there is a tokenizer.
    pub(crate) const fn has_tokenizer(&self) -> bool {
        self.tokenizer_at.is_some()
    }

    /// The first of these tokens that the model does not know. What pages compute for such a one is undefined, and not every
    /// backend says so.
    ///
    /// # Errors
    /// How many it knows is said nowhere, and the tokenizer that would tell cannot be read.
    pub(crate) fn stranger(&self, tokens: &[u32]) -> Result<Option<(u32, u64)>, String> {
        let known = match self.vocabulary.get() {
            Some(known) => *known,
            None => {
                let words = self.tokenizer()?;
                let count =
                    || words.get_vocab(true).into_values().max().map_or(0, |last| u64::from(last) + 1);
                *self.vocabulary.get_or_init(count)
            }
        };
        Ok(tokens.iter().find(|token| u64::from(**token) >= known).map(|token| (*token, known)))
    }

    /// The tokenizer, read when it is first asked for: some take a second. It neither pads nor cuts.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn tokenizer(&self) -> Result<Arc<Tokenizer>, String> {
        let read = || {
            let path = self.tokenizer_at.as_ref().ok_or("there is no tokenizer.json beside it")?;
            let bytes = limited(path, TOKENIZER_LIMIT).ok_or("its tokenizer.json cannot be read")?;
            let mut tokenizer =
                Tokenizer::from_bytes(bytes).map_err(|error| format!("its tokenizer.json: {error}"))?;
            tokenizer.with_padding(None);
            tokenizer.with_truncation(None).map_err(|error| format!("its tokenizer.json: {error}"))?;
            Ok(Arc::new(tokenizer))
        };
        self.tokenizer.get_or_init(read).clone()
    }
}

fn limited(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let plain = std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= limit);
    plain.then(|| std::fs::read(path).ok()).flatten()
}

fn read<T: Default + serde::de::DeserializeOwned>(path: &Path) -> T {
    limited(path, CONFIG_LIMIT).and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// A special token stands there as text, or as an object with its text.
fn text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

fn numbers(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(all) => all.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    }
}

fn chat_template(folder: &Path, config: &Value) -> Option<String> {
    let own = limited(&folder.join("chat_template.jinja"), CONFIG_LIMIT);
    if let Some(own) = own.and_then(|bytes| String::from_utf8(bytes).ok()) {
        return Some(own);
    }
    match &config["chat_template"] {
        Value::String(template) => Some(template.clone()),
        // Several by name: the one called `default` is for conversations.
        Value::Array(all) => {
            let default = all.iter().find(|one| one["name"] == "default").or_else(|| all.first());
            default.and_then(|one| one["template"].as_str()).map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(files: &[(&str, &str)]) -> Hub {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
            std::fs::write(path, content).expect("it is written");
        }
        Hub::of(folder.path())
    }

    #[test]
    fn a_sentence_transformer_is_understood() {
        let hub = hub(&[
            ("config.json", r#"{"max_position_embeddings": 512}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length": 256}"#),
            ("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#),
            ("modules.json", r#"[{"type": "sentence_transformers.models.Normalize"}]"#),
        ]);
        assert_eq!((hub.pooling, hub.normalize, hub.max_length), (Pooling::First, true, Some(256)));
    }

    #[test]
    fn a_chat_model_is_understood() {
        let hub = hub(&[
            ("config.json", r#"{"eos_token_id": 2}"#),
            ("generation_config.json", r#"{"eos_token_id": [2, 7]}"#),
            (
                "tokenizer_config.json",
                r#"{"chat_template": "{{ x }}", "bos_token": {"content": "<s>"}, "eos_token": "</s>"}"#,
            ),
        ]);
        assert_eq!(hub.eos, [2, 7]);
        assert_eq!(hub.chat_template.as_deref(), Some("{{ x }}"));
        assert_eq!(hub.special, [("bos_token", "<s>".to_owned()), ("eos_token", "</s>".to_owned())]);
    }

    #[test]
    fn a_token_that_the_model_does_not_know_is_found() {
        let hub = hub(&[("config.json", r#"{"vocab_size": 8}"#)]);
        assert_eq!(hub.stranger(&[0, 7, 8, 9]), Ok(Some((8, 8))));
        assert_eq!(hub.stranger(&[0, 7]), Ok(None));
        assert!(Hub::of(Path::new("nowhere")).stranger(&[0]).is_err(), "nothing tells");
    }

    #[test]
    fn nothing_and_nonsense_say_nothing() {
        let hub = hub(&[("config.json", "{"), ("modules.json", r#"{"a": 1}"#)]);
        assert_eq!((hub.pooling, hub.normalize, hub.max_length), (Pooling::Mean, false, None));
        assert!(hub.tokenizer().expect_err("none").contains("no tokenizer.json"));
    }
}
