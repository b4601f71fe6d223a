//! `/metrics`, as Prometheus reads it.

use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use exporters::{Family, Kind, families, prometheus};

use crate::service::Service;
use crate::stats::StatisticDuration;

/// Every family, as text.
pub(super) async fn metrics(State(service): State<Service>) -> Response {
    let mut all = service.families();
    // What goes to a collector has these from the exporter itself.
    if let Some(exporter) = &service.parts().exporter {
        all.extend(exporter.families());
    }
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::render(&all)).into_response()
}

impl Service {
    /// Every metric: what the pool's events were, what is there now, and what was asked of each model, under Triton's names
    /// where they mean the same.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let status = self.engine().status();
        let mut all = families(&status.telemetry);
        let core = &status.pool.core;
        let gauge = |name: &'static str, help: &'static str, value: u64| Family::gauge(name, help, value);
        all.push(gauge("webnn_pool_workers", "Workers in the pool.", core.workers.len() as u64));
        all.push(gauge("webnn_pool_requests_queued", "Requests that wait for a worker.", core.queued as u64));
        all.push(gauge(
            "webnn_pool_requests_running",
            "Requests that a worker computes.",
            core.running as u64,
        ));
        all.push(gauge(
            "webnn_pool_http_requests_going",
            "Requests that are being worked on.",
            self.going() as u64,
        ));
        let counters = self.counters();
        all.push(gauge("webnn_pool_http_connections", "Open connections.", counters.open.load(Relaxed)));
        let accepted = counters.connections.load(Relaxed);
        all.push(Family::counter(
            "webnn_pool_http_connections_total",
            "Connections that were accepted.",
            accepted,
        ));
        let (watchers, skipped) = self.live().figures();
        all.push(gauge("webnn_pool_live_watchers", "Open streams of the live page.", watchers as u64));
        all.push(Family::counter(
            "webnn_pool_live_skipped_total",
            "Messages of the live page that slow readers were spared.",
            skipped,
        ));
        all.push(self.workers(&status));
        all.push(self.sessions(&status));
        all.extend(self.requests());
        all.extend(self.models());
        if let Some(log) = &self.parts().log {
            all.extend(log.families());
        }
        all
    }

    fn workers(&self, status: &crate::Status) -> Family {
        let mut family = Family::new(
            "webnn_pool_worker_memory_bytes",
            "Memory that the sessions of a worker take, as estimated.",
            Kind::Gauge,
        );
        for worker in &status.pool.core.workers {
            let labels =
                vec![("worker", worker.worker.0.to_string()), ("browser", worker.browser.to_string())];
            family = family.with(labels, worker.memory_bytes);
        }
        family
    }

    fn sessions(&self, status: &crate::Status) -> Family {
        let mut family =
            Family::new("webnn_pool_worker_sessions", "Models that a worker has loaded.", Kind::Gauge);
        for worker in &status.pool.core.workers {
            let labels =
                vec![("worker", worker.worker.0.to_string()), ("browser", worker.browser.to_string())];
            family = family.with(labels, worker.sessions.len() as u64);
        }
        family
    }

    fn requests(&self) -> Vec<Family> {
        let mut answered = Family::new(
            "webnn_pool_http_requests_total",
            "Requests that were answered, by route and status.",
            Kind::Counter,
        );
        let mut seconds = Family::new(
            "webnn_pool_http_request_seconds_total",
            "Seconds from a request's arrival to the end of its answer, together.",
            Kind::Counter,
        );
        for one in self.counters().requests() {
            let labels = vec![("route", one.route.to_owned()), ("status", one.status.to_string())];
            answered = answered.with(labels.clone(), one.count);
            seconds = seconds.with(labels, one.seconds);
        }
        let mut refused =
            Family::new("webnn_pool_refused_total", "What was refused or failed, by reason.", Kind::Counter);
        for (reason, count) in self.counters().refusals() {
            refused = refused.with(vec![("reason", reason.to_owned())], count);
        }
        vec![answered, seconds, refused]
    }

    /// Triton's names, for what means the same.
    fn models(&self) -> Vec<Family> {
        let counter = |name: &'static str, help: &'static str| Family::new(name, help, Kind::Counter);
        let mut success = counter("nv_inference_request_success", "Requests that had a result.");
        let mut failure = counter("nv_inference_request_failure", "Requests that failed.");
        let mut count = counter("nv_inference_count", "Rows that were computed.");
        let mut executions = counter("nv_inference_exec_count", "Runs on a page; a batch counts once.");
        let mut times = [
            counter(
                "nv_inference_request_duration_us",
                "Microseconds of requests that had a result, together.",
            ),
            counter("nv_inference_queue_duration_us", "Microseconds of waiting, together."),
            counter(
                "nv_inference_compute_input_duration_us",
                "Microseconds of bringing inputs to pages, together.",
            ),
            counter(
                "nv_inference_compute_infer_duration_us",
                "Microseconds of computing in pages, together.",
            ),
            counter(
                "nv_inference_compute_output_duration_us",
                "Microseconds of bringing outputs back, together.",
            ),
        ];
        for stats in self.repository().statistics(None, None) {
            let labels = || vec![("model", stats.name.clone()), ("version", stats.version.clone())];
            let all = &stats.inference_stats;
            success = success.with(labels(), all.success.count);
            failure = failure.with(labels(), all.fail.count);
            count = count.with(labels(), stats.inference_count);
            executions = executions.with(labels(), stats.execution_count);
            let parts = [all.success, all.queue, all.compute_input, all.compute_infer, all.compute_output];
            for (family, StatisticDuration { ns, .. }) in times.iter_mut().zip(parts) {
                let with = std::mem::replace(family, counter("", ""));
                *family = with.with(labels(), ns / 1_000);
            }
        }
        [success, failure, count, executions].into_iter().chain(times).collect()
    }
}
