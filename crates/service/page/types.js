/**
 * What the feed says; `src/live/frame.rs` is the other side of the same, and `docs/live.md` describes both.
 * @module
 */

/**
 * @typedef {object} Snapshot
 * @property {{server: {name: string, version: string}, boot: number, plots: boolean, skipped: number, news: News[]}} about
 * @property {Frame} frame
 * @property {Affinities|null} affinities
 */

/**
 * @typedef {object} Frame
 * @property {number} unix_ms
 * @property {'ready'|'degraded'|'down'|'draining'} state
 * @property {string[]} reasons
 * @property {Traffic} traffic
 * @property {Worker[]} workers
 * @property {Recovering[]} recoveries
 * @property {Model[]} models
 * @property {Breaker[]} breakers
 * @property {Flow[]} shards
 * @property {{workers: number, models: number, breakers: number, shards: number}} left_out
 * @property {{watchers: number, skipped: number, lost: number}} feed
 */

/**
 * @typedef {object} Traffic
 * @property {number} going
 * @property {number} queued
 * @property {number} running
 * @property {number} per_second
 * @property {number} failed_per_second
 * @property {number} refused_per_second
 * @property {number} [p50_ms]
 * @property {number} [p95_ms]
 * @property {number} answered
 * @property {number} failed
 * @property {number} refused
 */

/**
 * @typedef {object} Worker
 * @property {number} worker
 * @property {string} browser
 * @property {string} version
 * @property {'serving'|'warming'|'draining'} stance
 * @property {string} [breaker]
 * @property {string} pressure
 * @property {number} running
 * @property {number} slots
 * @property {number} served
 * @property {number} per_second
 * @property {number} memory_bytes
 * @property {number} memory_budget_bytes
 * @property {number} [resident_bytes]
 * @property {{backend: string, device: string, adapter: string|null, software: boolean, threads: number}[]} backends
 * @property {Session[]} sessions
 * @property {number} sessions_left_out
 */

/**
 * @typedef {object} Session
 * @property {string} model
 * @property {string} backend
 * @property {string} phase
 * @property {number} running
 * @property {number} uses
 * @property {number} memory_bytes
 */

/**
 * @typedef {object} Recovering
 * @property {number} worker
 * @property {string|null} browser
 * @property {string} fault
 * @property {number} since_unix_ms
 * @property {string|null} rung
 */

/**
 * @typedef {object} Model
 * @property {string} model
 * @property {string} version
 * @property {string} [unavailable]
 * @property {number} per_second
 * @property {number} failed_per_second
 * @property {number} [p50_ms]
 * @property {number} [p95_ms]
 * @property {number} answered
 * @property {number} failed
 */

/**
 * @typedef {object} Breaker
 * @property {string} state
 * @property {number} health
 * @property {'worker'|'arm'} of
 * @property {number} [worker]
 * @property {string} [model]
 * @property {string} [browser]
 * @property {string} [backend]
 */

/**
 * @typedef {object} Flow
 * @property {string} model
 * @property {string} strategy
 * @property {Stage[]} stages
 * @property {{from: number|null, to: number|null, bytes: number}[]} hops
 * @property {number} answers
 * @property {number} errors
 * @property {number} recovered
 * @property {number|null} last_ms
 * @property {number} per_second
 */

/**
 * @typedef {object} Stage
 * @property {number} stage
 * @property {string} label
 * @property {number} shard
 * @property {number} weight_bytes
 * @property {number|null} worker
 * @property {string|null} browser
 * @property {string|null} backend
 * @property {number} run_ms
 * @property {number} transfer_ms
 */

/**
 * @typedef {object} Affinities
 * @property {string} [error]
 * @property {number} [runs]
 * @property {{model_type: string, browser: string, backend: string, confidence: number, score: number|null, samples: number,
 *   observed: boolean}[]} [rows]
 */

/**
 * An event; what else it has depends on its kind.
 * @typedef {{seq: number, unix_ms: number, event: string, of_browser?: string, [member: string]: any}} News
 */

export {};
