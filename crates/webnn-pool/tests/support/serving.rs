//! A server over a pool of real browsers, with its live page, and callers who ask it all the while.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_core::PoolConfig;
use service::{ListenConfig, Server, Service, ServiceConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webnn_pool::{Accelerator, LaunchSpec, TextShard};

use super::fixture::Fixture;

/// A server, its pool, and who asks.
pub struct Serving {
    pub accelerator: Arc<Accelerator>,
    pub service: Service,
    server: Server,
    _models: tempfile::TempDir,
    pub client: reqwest::Client,
    stop: CancellationToken,
    callers: TaskTracker,
    pub answered: Arc<AtomicU64>,
}

/// Puts a fixture into a folder of models.
pub fn place(folder: &Path, name: &str, fixture: &Fixture) {
    let place = folder.join(name);
    std::fs::create_dir_all(&place).expect("a folder");
    for file in ["model.onnx", "config.json", "tokenizer.json"] {
        let source = fixture.directory.join(file);
        if source.exists() {
            std::os::unix::fs::symlink(source, place.join(file)).expect("a link");
        }
    }
}

impl Serving {
    /// `fill` makes the folder of models.
    pub async fn open(
        specs: Vec<LaunchSpec>,
        texts: BTreeMap<String, TextShard>,
        fill: impl FnOnce(&Path),
    ) -> Self {
        let models = tempfile::tempdir().expect("a folder");
        fill(models.path());
        let mut builder = Accelerator::builder().pool(PoolConfig::default());
        for spec in specs {
            builder = builder.launch(spec);
        }
        let accelerator = Arc::new(builder.build().await.expect("browsers that start"));
        let mut config = ServiceConfig::default();
        config.models = vec![models.path().to_owned()];
        let service =
            Service::new(accelerator.service_parts(texts), config).expect("settings that make sense");
        service.refresh().await.expect("the folder can be read");
        let mut listen = ListenConfig::default();
        listen.address.set_port(0);
        let server = service.listen(listen).await.expect("a port is free");
        Self {
            accelerator,
            service,
            server,
            _models: models,
            client: reqwest::Client::new(),
            stop: CancellationToken::new(),
            callers: TaskTracker::new(),
            answered: Arc::default(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// Somebody who sends this body again and again.
    pub fn ask(&self, path: &str, body: String, every: Duration) {
        let (client, url) = (self.client.clone(), self.url(path));
        let (stop, answered) = (self.stop.clone(), Arc::clone(&self.answered));
        self.callers.spawn(async move {
            let mut turns = tokio::time::interval(every);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stop.is_cancelled() {
                turns.tick().await;
                let sent = client.post(&url).header("content-type", "application/json").body(body.clone());
                if let Ok(answer) = sent.send().await {
                    answered.fetch_add(u64::from(answer.status().is_success()), Ordering::Relaxed);
                    // Read to its end, so that the connection is used again.
                    let _ = answer.bytes().await;
                }
            }
        });
    }

    pub async fn quiet(&self) {
        self.stop.cancel();
        self.callers.close();
        self.callers.wait().await;
    }

    /// Goes down as `webnn-pool serve` does.
    pub async fn close(self) {
        self.quiet().await;
        let Self { accelerator, service, server, .. } = self;
        assert_eq!(service.drain(Duration::from_secs(10)).await, 0, "requests are left");
        server.shutdown(Duration::from_secs(5)).await;
        service.shutdown(Duration::from_secs(5)).await;
        drop(service);
        let accelerator = Arc::into_inner(accelerator).expect("nothing else holds the pool any more");
        accelerator.shutdown().await;
    }
}

/// A tokenizer with one token for each byte, whose number is the byte, for models that have no tokenizer of their own.
pub fn byte_tokenizer() -> String {
    let plain = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    // Byte-level tokenizers write these bytes as letters from behind the first 256.
    let mut others = 256..512;
    let letter = |byte: u32| if plain(&byte) { byte } else { others.next().unwrap_or(byte) };
    let letters = (0..256).map(letter).filter_map(char::from_u32).map(String::from);
    let vocabulary: serde_json::Map<String, serde_json::Value> = letters
        .chain((256..512).map(|token| format!("<{token}>")))
        .zip(0..512)
        .map(|(name, id)| (name, id.into()))
        .collect();
    let level = serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let whole = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": null },
    });
    whole.to_string()
}
