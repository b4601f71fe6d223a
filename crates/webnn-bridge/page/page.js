/**
 * The page's main thread: it holds the control connection, owns the engines, and computes nothing itself, so that it
 * answers a ping while a model runs.
 * @module
 */

import { PROTOCOL_VERSION } from './protocol.js';

/** Waits between attempts to reach the host again, in milliseconds. After the last one the page gives up. */
const RECONNECT_MS = [100, 200, 400, 800, 1600, 3200, 5000, 5000];

/** @typedef {{worker: Worker, verdict: import('./protocol.js').Verdict|null}} EngineEntry */

const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
const base = location.origin;
const socketBase = base.replace(/^http/, 'ws');

class Page {
  /** @type {Map<string, EngineEntry>} */
  #engines = new Map();
  /** @type {WebSocket|null} */
  #socket = null;
  #attempt = 0;
  /** @type {any} */
  #welcome = null;

  connect() {
    const socket = new WebSocket(`${socketBase}/ws/control`, ['webnn-pool.1', `token.${token}`]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      this.#send({ type: 'hello', protocol: PROTOCOL_VERSION, ...describe() });
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(event);
  }

  /** @param {CloseEvent} event */
  #lost(event) {
    this.#dropEngines();
    // The host closes with a code of 4000 and above when it wants no further attempt.
    const wait = event.code >= 4000 ? undefined : RECONNECT_MS[this.#attempt];
    this.#attempt += 1;
    if (wait === undefined) {
      show(`disconnected: ${event.reason || `code ${event.code}`}`);
      return;
    }
    show('connection lost, trying again');
    setTimeout(() => this.connect(), wait);
  }

  /** @param {any} message */
  #receive(message) {
    switch (message.type) {
      case 'ping':
        this.#send({ type: 'pong', n: message.n, engines: this.#engines.size });
        break;
      case 'welcome':
        this.#welcome = message;
        show(`serving as ${message.worker}`);
        void this.#startAll(message.backends);
        break;
      case 'reset_engine':
        void this.#reset(message.backend);
        break;
      default:
        this.#send({ type: 'fault', message: `unknown message ${message.type}` });
    }
  }

  /** One after the other: probes that run at once would disturb each other's figures. @param {string[]} backends */
  async #startAll(backends) {
    for (const backend of backends) await this.#start(backend);
    this.#send({ type: 'ready' });
  }

  /** @param {string} backend */
  async #start(backend) {
    const verdict = await this.#spawn(backend);
    const entry = this.#engines.get(backend);
    if (entry) entry.verdict = verdict;
    if (verdict.verdict === 'rejected') this.#drop(backend);
    list(backend, verdict);
    this.#send({ type: 'engine', backend, ...verdict });
  }

  /**
   * @param {string} backend
   * @returns {Promise<import('./protocol.js').Verdict>}
   */
  #spawn(backend) {
    this.#drop(backend);
    // The runtime's build for WebGPU and WebNN makes functions from strings; the host allows that to this worker alone.
    const script = backend === 'wasm' ? 'engine-worker.js' : 'engine-worker.js?eval=1';
    const worker = new Worker(script, { type: 'module', name: backend });
    this.#engines.set(backend, { worker, verdict: null });
    return new Promise((resolve) => {
      worker.onmessage = ({ data }) => {
        if (data.type === 'verdict') resolve(data.verdict);
        else this.#engineGone(backend, worker, data, resolve);
      };
      worker.onerror = (event) => this.#engineGone(backend, worker, { message: event.message || 'the worker failed to start' }, resolve);
      worker.postMessage({
        backend,
        token,
        base,
        dataUrl: `${socketBase}/ws/data/${backend}`,
        runtime: this.#welcome.runtime,
        threads: this.#welcome.threads,
        device: this.#welcome.devices[backend],
      });
    });
  }

  /**
   * An engine that failed before its verdict is a rejected backend; afterwards it is a fault of the page.
   * @param {string} backend
   * @param {Worker} worker
   * @param {{message?: string, code?: number}} end
   * @param {(verdict: import('./protocol.js').Verdict) => void} resolve
   */
  #engineGone(backend, worker, end, resolve) {
    const entry = this.#engines.get(backend);
    if (entry?.worker !== worker) return;
    const reason = end.message ?? `its data connection closed (${end.code})`;
    if (entry.verdict === null) {
      resolve({
        verdict: 'rejected',
        reason,
        device_requested: this.#welcome.devices[backend],
        device_effective: null,
        adapter: null,
        software: false,
        threads: 1,
        max_abs_error: null,
        probe_ms: 0,
      });
    } else {
      this.#send({ type: 'engine_lost', backend, reason });
    }
  }

  /** Ends an engine, whatever it is doing, and starts it anew: the one way out of a computation that does not end. @param {string} backend */
  async #reset(backend) {
    this.#drop(backend);
    this.#send({ type: 'engine_reset', backend });
    await this.#start(backend);
  }

  /** @param {string} backend */
  #drop(backend) {
    const entry = this.#engines.get(backend);
    this.#engines.delete(backend);
    entry?.worker.terminate();
  }

  #dropEngines() {
    for (const backend of [...this.#engines.keys()]) this.#drop(backend);
  }

  /** @param {any} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

/** What this page can say of itself without trying anything. */
function describe() {
  return {
    user_agent: navigator.userAgent,
    cross_origin_isolated: globalThis.crossOriginIsolated === true,
    secure_context: globalThis.isSecureContext === true,
    hardware_concurrency: navigator.hardwareConcurrency ?? null,
    device_memory_gib: /** @type {any} */ (navigator).deviceMemory ?? null,
  };
}

/** @param {string} state */
function show(state) {
  const element = document.getElementById('state');
  if (element) element.textContent = state;
}

/**
 * @param {string} backend
 * @param {import('./protocol.js').Verdict} verdict
 */
function list(backend, verdict) {
  const item = document.createElement('li');
  item.textContent = `${backend}: ${verdict.verdict}${verdict.reason ? ` (${verdict.reason})` : ''}`;
  document.getElementById('engines')?.append(item);
}

new Page().connect();
