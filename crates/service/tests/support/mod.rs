//! A server over a real pool whose workers are scripted.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pool_core::{Completed, Membership, Model, Pool, PoolConfig, Request, RunError};
use pool_core_testing::{FakeWorker, identity_model, info};
use service::{
    Engine, EngineError, Library, ListenConfig, ModelFiles, News, Parts, Server, Service, ServiceConfig,
    Status,
};
use telemetry::Telemetry;
use tokio::task::JoinSet;
use vocab::ModelHash;

/// A pool as an engine; a file's contents are its model's identity.
pub struct Fake(pub Pool<FakeWorker>);

#[async_trait]
impl Engine for Fake {
    async fn run(&self, request: Request) -> Result<Completed, RunError> {
        self.0.run(request).await
    }

    fn workers(&self) -> usize {
        self.0.workers()
    }

    fn status(&self) -> Status {
        Status::new(self.0.stats(), self.0.telemetry().snapshot(), self.0.breakers())
    }
}

#[async_trait]
impl Library for Fake {
    async fn read(&self, files: ModelFiles) -> Result<Arc<Model>, EngineError> {
        let text = tokio::fs::read_to_string(&files.path)
            .await
            .map_err(|error| EngineError::Model(error.to_string()))?;
        if text.contains("broken") {
            return Err(EngineError::Model("it is broken".to_owned()));
        }
        let mut model = Model::clone(&identity_model(&text));
        (model.name, model.version) = (files.name, files.version);
        Ok(Arc::new(model))
    }

    fn retire(&self, model: ModelHash) {
        for worker in self.0.stats().core.workers {
            self.0.unload(worker.worker, model);
        }
    }
}

/// The status of an answer, its body, and when to come again.
pub type Answer = (u16, String, Option<String>);

/// A server with one worker, and a folder of models.
pub struct Bench {
    pub worker: Arc<FakeWorker>,
    pub pool: Pool<FakeWorker>,
    pub service: Service,
    pub server: Server,
    pub folder: tempfile::TempDir,
    pub client: reqwest::Client,
    pub membership: Membership,
}

/// Writes a model of this content.
pub fn put(folder: &Path, model: &str, content: &str) {
    let path = folder.join(model);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
    std::fs::write(path, content).expect("it is written");
}

impl Bench {
    /// One model `a`, and what else the settings say.
    pub async fn start(configure: impl FnOnce(&mut ServiceConfig, &mut PoolConfig)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "a/model.onnx", "first");
        let mut config = ServiceConfig::default();
        config.models = vec![folder.path().to_owned()];
        let mut pool = PoolConfig::default();
        configure(&mut config, &mut pool);
        let news = Arc::new(News::default());
        let telemetry = Telemetry::builder().sink(Arc::clone(&news) as _).build();
        let pool = Pool::new(pool, telemetry).expect("they make sense");
        let worker = Arc::new(FakeWorker::new());
        let membership = pool.join(info(), Arc::clone(&worker));
        let engine = Arc::new(Fake(pool.clone()));
        let mut parts = Parts::new(Arc::clone(&engine) as _, engine);
        parts.news = news;
        let service = Service::new(parts, config).expect("they make sense");
        service.refresh().await.expect("the folder is there");
        let mut listen = ListenConfig::default();
        listen.address.set_port(0);
        let server = service.listen(listen).await.expect("a port is free");
        // Fails only where another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        Self { worker, pool, service, server, folder, client, membership }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// One inference; its status, its body and when to come again.
    pub async fn infer(&self, parameters: &str) -> Answer {
        infer(&self.client, &self.url("/v2/models/a/infer"), parameters).await
    }

    /// So many inferences, all of which the pool has when this answers.
    pub async fn ask(&self, count: usize, parameters: &'static str) -> JoinSet<Answer> {
        let mut asked = JoinSet::new();
        for _ in 0..count {
            let (client, url) = (self.client.clone(), self.url("/v2/models/a/infer"));
            asked.spawn(async move { infer(&client, &url, parameters).await });
        }
        while self.pool.stats().core.requests < count {
            tokio::task::yield_now().await;
        }
        asked
    }

    pub async fn end(self) {
        self.server.shutdown(Duration::from_secs(5)).await;
        self.service.shutdown(Duration::from_secs(5)).await;
        self.pool.shutdown().await;
    }
}

/// One inference with the value 1.5.
pub async fn infer(client: &reqwest::Client, url: &str, parameters: &str) -> Answer {
    let body = format!(
        r#"{{"parameters": {parameters}, "inputs": [{{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}}]}}"#
    );
    let answer = client.post(url).body(body).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let after = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    (status, answer.text().await.expect("text"), after)
}
