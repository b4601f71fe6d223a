/**
 * The numbers and names of the wire protocol, version 1. The host's side of the same table is `src/protocol.rs`;
 * `docs/protocol.md` describes both. Change them together.
 * @module
 */

export const PROTOCOL_VERSION = 1;

/** Kinds of frames on a data connection. */
export const Kind = Object.freeze({
  LOAD: 1,
  RUN: 2,
  UNLOAD: 3,
  CANCEL: 4,
  ECHO: 5,
  RELEASE: 6,
  LOADED: 0x81,
  RESULT: 0x82,
  UNLOADED: 0x83,
  ECHOED: 0x85,
  RELEASED: 0x86,
  ERROR: 0xff,
});

/**
 * How a failure is classified; the same words as the host's `FailureKind`.
 * @typedef {'invalid_model'|'unsupported_operator'|'unsupported_dtype'|'unsupported_by_backend'|'backend_unavailable'|
 *   'invalid_input'|'out_of_memory'|'device_lost'|'model_fetch'|'no_such_session'|'caches_lost'|'protocol'|'internal'|'cancelled'} FailureKind
 */

/**
 * Waits between attempts to reach the host again, in milliseconds; after the last one, whoever lost it gives up. Most of
 * them lie within the time that the host waits for a page with all that it holds.
 */
export const RECONNECT_MS = Object.freeze([20, 100, 200, 400, 400, 400, 400, 400, 400, 1600, 3200, 4000, 5000]);

/** The close code by which a page says that it has heard nothing for too long, and is going to try another connection. */
export const TRY_ANOTHER = 4408;

/** The close code by which the host says that another tab is connected as this guest. */
export const ANOTHER_TAB = 4409;

/** An error that already knows its kind. */
export class PageError extends Error {
  /**
   * @param {FailureKind} kind
   * @param {string} message
   */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/**
 * What the page says of one backend after it has executed the golden model on it.
 * @typedef {object} Verdict
 * @property {'admitted'|'degraded'|'rejected'} verdict
 * @property {string|null} reason  why it is degraded or rejected
 * @property {string} device_requested  `cpu`, `gpu` or `npu`
 * @property {string|null} device_effective  null where it did not run
 * @property {string|null} adapter  the adapter's own description, where the backend has one
 * @property {boolean} software  whether a software adapter stands in for hardware
 * @property {number} threads
 * @property {number|null} max_abs_error  of the golden model's output
 * @property {number} probe_ms
 */

/**
 * What the main thread hands to an engine.
 * @typedef {object} EngineConfig
 * @property {'webnn'|'webgpu'|'wasm'} backend
 * @property {string} token  the launch token
 * @property {string} dataUrl  the WebSocket to connect
 * @property {string} base  the origin of the host, without a final slash
 * @property {string} runtime  the path of the runtime's files, with a final slash
 * @property {number} threads  0 lets the page choose
 * @property {string} device  the requested device
 * @property {boolean} softwareGraphics  whether the host knows that every graphics adapter here is software
 * @property {number} maxFrameBytes  the longest frame that the host accepts
 * @property {number} heapLimit  bytes that the runtime's WebAssembly heap may grow to
 */
