/**
 * What a worker page does, whoever opened it: it holds the control connection, owns the engines, and computes nothing
 * itself, so that it answers a ping while a model runs.
 * @module
 */

import { ANOTHER_TAB, PROTOCOL_VERSION, RECONNECT_MS, TRY_ANOTHER } from './protocol.js';

/** How long an engine may take until it has probed its backend; one that does not answer at all is as good as absent. */
const PROBE_MS = 60_000;

/** Engines that broke are started anew this often within this time; after that the page ends, and starts afresh. */
const RESETS = 5;
const RESETS_MS = 60_000;

/** Between two measurements of the page's memory, in milliseconds. One may have the browser collect garbage. */
const MEASURE_MS = 30_000;

/** @typedef {{worker: Worker, verdict: import('./protocol.js').Verdict|null, timer?: number, lost?: string, heap?: number}} EngineEntry */

/**
 * Whom the page tells what happens.
 * @typedef {object} Listener
 * @property {(text: string) => void} state  the connection's state, in words
 * @property {(backend: string, verdict: import('./protocol.js').Verdict) => void} verdict
 * @property {(token: string) => void} [token]  of a guest: what opens the next connection
 * @property {() => {type: string, cause?: string}} [wish]  of a guest: what to say as soon as there is a connection
 * @property {(standing: Standing) => void} [standing]  of a guest
 * @property {() => void} [broke]  the connection broke, and is being tried again
 * @property {(end: {code: number, reason: string}) => void} [ended]  nothing is tried any more
 */

/**
 * How a guest does, as the host says.
 * @typedef {object} Standing
 * @property {'waiting'|'working'|'paused'|'leaving'} state
 * @property {number} answers
 * @property {number} confirmed
 * @property {boolean} on_probation
 */

const base = location.origin;
const socketBase = base.replace(/^http/, 'ws');

export class Page {
  /** @type {Map<string, EngineEntry>} */
  #engines = new Map();
  /** @type {WebSocket|null} */
  #socket = null;
  #attempt = 0;
  /** What was found about each backend, also of those that are not there. @type {Map<string, import('./protocol.js').Verdict>} */
  #verdicts = new Map();
  /** What the host calls this page; empty until everything is there that it could find again. */
  #name = '';
  /** When engines that broke were started anew. @type {number[]} */
  #resets = [];
  /** Ends the connection when the host has been silent for too long. @type {number|undefined} */
  #silence;
  /** @type {any} */
  #welcome = null;
  /** What the browser says that the page's own memory takes, where it says so. @type {number|null} */
  #bytes = null;

  /** What opens the next control connection. */
  #token;
  /** What data connections and downloads prove themselves by. */
  #key;
  /** Whether it was told to end. */
  #over = false;

  /**
   * @param {string} token
   * @param {Listener} listener
   */
  constructor(token, listener) {
    this.#token = token;
    this.#key = token;
    this.listener = listener;
    void this.#measure();
  }

  /** Says what a guest wants. @param {{type: string, cause?: string}} message */
  say(message) {
    this.#send(message);
  }

  /** Ends the page's work at once. @param {string} reason */
  stop(reason) {
    this.#over = true;
    this.#forget();
    this.#socket?.close(1000, reason);
    this.listener.ended?.({ code: 1000, reason });
  }

  connect() {
    const socket = new WebSocket(`${socketBase}/ws/control`, ['webnn-pool.1', `token.${this.#token}`]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#send({ type: 'hello', protocol: PROTOCOL_VERSION, resume: this.#name || null, ...describe() });
    };
    socket.onmessage = (event) => {
      this.#receive(JSON.parse(event.data));
      this.#awaitHost();
    };
    socket.onclose = (event) => this.#lost(event);
  }

  /** A host that is gone without a farewell (its machine lost power) is noticed by its pings staying away. */
  #awaitHost() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#socket?.close(TRY_ANOTHER, 'silence'), 2 * this.#welcome.silence_ms);
  }

  /** @param {CloseEvent} event */
  #lost(event) {
    clearTimeout(this.#silence);
    if (this.#over) return;
    // The host closes with a code of 4000 and above when it wants no further attempt. A tab that is being loaded anew may
    // come before the host has seen the one before it go.
    const final = event.code >= 4000 && event.code !== TRY_ANOTHER && event.code !== ANOTHER_TAB;
    const wait = final ? undefined : RECONNECT_MS[this.#attempt];
    this.#attempt += 1;
    // A connection that broke may be mended before the host has given this page up; then the engines go on.
    const broke = event.code === 1006 || event.code === TRY_ANOTHER;
    if (wait === undefined || !broke) this.#forget();
    if (wait === undefined) {
      this.listener.state(`disconnected: ${event.reason || `code ${event.code}`}`);
      this.#attempt = 0;
      this.listener.ended?.({ code: event.code, reason: event.reason });
      return;
    }
    this.listener.state('connection lost, trying again');
    this.listener.broke?.();
    setTimeout(() => {
      if (!this.#over) this.connect();
    }, wait);
  }

  /** @param {any} message */
  #receive(message) {
    switch (message.type) {
      case 'ping':
        this.#send({ type: 'pong', n: message.n, engines: this.#engines.size });
        break;
      case 'welcome':
        this.#welcome = message;
        this.#attempt = 0;
        this.#take(message);
        this.listener.state(`serving as ${message.worker}`);
        if (message.resumed) this.#resume();
        else void this.#startAll(message.backends);
        break;
      case 'reset_engine':
        void this.#reset(message.backend, 'it did not give a call up');
        break;
      case 'standing':
        this.listener.standing?.(message);
        break;
      case 'reload':
        location.reload();
        break;
      default:
        this.#send({ type: 'fault', message: `unknown message ${message.type}` });
    }
  }

  /** Takes what a guest is given for this connection and the next. @param {{token?: string, key?: string}} welcome */
  #take({ token, key }) {
    if (token !== undefined) {
      this.#token = token;
      // Kept before anything is said: the host takes the first word for a sign that it arrived.
      this.listener.token?.(token);
    }
    this.#key = key ?? this.#token;
    const wish = this.listener.wish?.();
    if (wish) this.#send(wish);
  }

  /** One after the other: probes that run at once would disturb each other's figures. @param {string[]} backends */
  async #startAll(backends) {
    this.#forget();
    const socket = this.#socket;
    for (const backend of backends) {
      await this.#start(backend);
      // Meanwhile another connection may have begun, with a start of its own.
      if (this.#socket !== socket) return;
    }
    this.#send({ type: 'ready' });
    if (socket?.readyState === WebSocket.OPEN) this.#name = this.#welcome.page;
  }

  /** Tells the host what it may have missed while there was no connection. */
  #resume() {
    for (const [backend, verdict] of this.#verdicts) this.#send({ type: 'engine', backend, ...verdict });
    for (const [backend, { lost }] of this.#engines) if (lost) this.#send({ type: 'engine_lost', backend, reason: lost });
    this.#tellMemory();
    this.#send({ type: 'ready' });
  }

  /** Ends everything that the host could find again. */
  #forget() {
    this.#name = '';
    this.#verdicts.clear();
    this.#dropEngines();
  }

  /** @param {string} backend */
  async #start(backend) {
    const verdict = await this.#spawn(backend);
    const entry = this.#engines.get(backend);
    if (entry) entry.verdict = verdict;
    this.#verdicts.set(backend, verdict);
    if (verdict.verdict === 'rejected') this.#drop(backend);
    this.listener.verdict(backend, verdict);
    this.#send({ type: 'engine', backend, ...verdict });
  }

  /**
   * @param {string} backend
   * @returns {Promise<import('./protocol.js').Verdict>}
   */
  #spawn(backend) {
    this.#drop(backend);
    const device = this.#welcome.devices[backend];
    // The runtime's build for WebGPU and WebNN makes functions from strings; the host allows that to this worker alone.
    const script = backend === 'wasm' ? 'engine-worker.js' : 'engine-worker.js?eval=1';
    const worker = new Worker(new URL(script, import.meta.url), { type: 'module', name: backend });
    /** @type {EngineEntry} */
    const entry = { worker, verdict: null };
    this.#engines.set(backend, entry);
    return new Promise((resolve) => {
      const reject = (/** @type {string} */ reason) => resolve(rejected(device, reason));
      entry.timer = setTimeout(() => reject(`the probe did not end within ${PROBE_MS / 1000} s`), PROBE_MS);
      worker.onmessage = ({ data }) => {
        if (data.type === 'heap') {
          this.#heapChanged(backend, worker, data.bytes);
          return;
        }
        clearTimeout(entry.timer);
        if (data.type === 'verdict') resolve(data.verdict);
        else this.#engineGone(backend, worker, data, reject);
      };
      worker.onerror = (event) => {
        clearTimeout(entry.timer);
        this.#engineGone(backend, worker, { message: event.message || 'the worker failed to start' }, reject);
      };
      worker.postMessage({
        backend,
        token: this.#key,
        base,
        dataUrl: `${socketBase}/ws/data/${backend}`,
        runtime: this.#welcome.runtime,
        threads: this.#welcome.threads,
        device,
        softwareGraphics: this.#welcome.software_graphics,
        maxFrameBytes: this.#welcome.max_frame_bytes,
        heapLimit: this.#welcome.wasm_heap_bytes,
      });
    });
  }

  /**
   * An engine that failed before its verdict is a rejected backend. Afterwards, one that says itself that it is broken
   * is started anew, and anything else is a fault of the page.
   * @param {string} backend
   * @param {Worker} worker
   * @param {{type?: string, message?: string, code?: number}} end
   * @param {(reason: string) => void} reject
   */
  #engineGone(backend, worker, end, reject) {
    const entry = this.#engines.get(backend);
    if (entry?.worker !== worker) return;
    const reason = end.message ?? `its data connection closed (${end.code})`;
    if (entry.verdict === null) {
      reject(reason);
    } else if (end.type === 'broken' && this.#mayReset()) {
      void this.#reset(backend, reason);
    } else {
      entry.lost = reason;
      this.#send({ type: 'engine_lost', backend, reason });
    }
  }

  #mayReset() {
    const now = performance.now();
    this.#resets = this.#resets.filter((then) => now - then < RESETS_MS);
    this.#resets.push(now);
    return this.#resets.length <= RESETS;
  }

  /**
   * Ends an engine, whatever it is doing, and starts it anew: the one way out of a computation that does not end.
   * @param {string} backend
   * @param {string} reason
   */
  async #reset(backend, reason) {
    this.#drop(backend);
    this.#send({ type: 'engine_reset', backend, reason });
    await this.#start(backend);
  }

  /** @param {string} backend */
  #drop(backend) {
    const entry = this.#engines.get(backend);
    this.#engines.delete(backend);
    clearTimeout(entry?.timer);
    entry?.worker.terminate();
  }

  #dropEngines() {
    for (const backend of [...this.#engines.keys()]) this.#drop(backend);
  }

  /**
   * @param {string} backend
   * @param {Worker} worker
   * @param {number} bytes
   */
  #heapChanged(backend, worker, bytes) {
    const entry = this.#engines.get(backend);
    if (entry?.worker !== worker) return;
    entry.heap = bytes;
    this.#tellMemory();
  }

  #tellMemory() {
    /** @type {Record<string, number>} */
    const heaps = {};
    for (const [backend, { heap }] of this.#engines) if (heap !== undefined) heaps[backend] = heap;
    this.#send({ type: 'memory', heaps, page_bytes: this.#bytes });
  }

  /** Measures the page's memory again and again, where the browser offers that. */
  async #measure() {
    const measure = /** @type {any} */ (performance).measureUserAgentSpecificMemory;
    if (!globalThis.crossOriginIsolated || typeof measure !== 'function') return;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, MEASURE_MS));
      try {
        this.#bytes = (await measure.call(performance)).bytes;
      } catch {
        // The browser has the function and will not have it called here.
        return;
      }
      this.#tellMemory();
    }
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

/**
 * The verdict on a backend that never got as far as one of its own.
 * @param {string} device
 * @param {string} reason
 * @returns {import('./protocol.js').Verdict}
 */
function rejected(device, reason) {
  return {
    verdict: 'rejected',
    reason,
    device_requested: device,
    device_effective: null,
    adapter: null,
    software: false,
    threads: 1,
    max_abs_error: null,
    probe_ms: 0,
  };
}
