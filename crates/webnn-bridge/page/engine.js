/**
 * An engine: one backend's runtime, its sessions, and the data connection over which the host drives them. It runs in a
 * dedicated worker, so that a busy model never looks like a dead page, and so that ending the worker gives back the
 * memory that the runtime's WebAssembly heap never would.
 * @module
 */

import { Caches } from './caches.js';
import { Kind, PageError, RECONNECT_MS } from './protocol.js';
import { fetchGolden, inspectDevice, runGolden } from './probe.js';
import { classify, isFatal } from './failure.js';
import { createSession, heapBytes, importRuntime, onDeviceLost, usableThreads } from './runtime.js';
import { fetchModelFile } from './store.js';
import { freeDevice, fromRuntime, onCpu, toRuntime } from './tensors.js';
import { decode, encode, encodedLength } from './wire.js';

/** Bytes that WebAssembly can address; a model needs its own size and more. */
const ADDRESSABLE = 2 ** 32;

/** Answers that are kept in case the host did not get them: the last one, and those before it that are not too large together. */
const ANSWERS = 8;
const ANSWERS_BYTES = 32 * 2 ** 20;

/** A call that took less, in milliseconds, took less than looking for cancellations behind it would. */
const LONG_MS = 20;

/**
 * An answer that may have to be given again. Its tensors are those that were sent, not copies.
 * @typedef {object} Answer
 * @property {number} kind
 * @property {number} id
 * @property {any} meta
 * @property {import('./wire.js').WireTensor[]} [tensors]
 * @property {number} length
 */

/**
 * @typedef {object} Loaded
 * @property {any} session  the runtime's session
 * @property {Caches} caches  what it keeps from step to step
 */

/**
 * @typedef {import('./protocol.js').EngineConfig} EngineConfig
 * @typedef {import('./protocol.js').Verdict} Verdict
 * @typedef {import('./wire.js').Frame} Frame
 */

/**
 * A frame, and when it was read by this worker's clock.
 * @typedef {Frame & {arrived: number}} Call
 */

/**
 * Probes the backend and, if it computes, connects and serves until the connection closes.
 * @param {EngineConfig} config
 * @param {(message: any) => void} tell  reports to the page's main thread
 */
export async function startEngine(config, tell) {
  const { verdict, ort } = await probe(config);
  if (verdict.verdict === 'rejected' || !ort) {
    tell({ type: 'verdict', verdict });
    return;
  }
  const engine = new Engine(config, ort, tell);
  await engine.connect();
  engine.tellHeap();
  tell({ type: 'verdict', verdict });
}

/**
 * @param {EngineConfig} config
 * @returns {Promise<{verdict: Verdict, ort: any}>}
 */
async function probe(config) {
  const started = performance.now();
  const threads = usableThreads(config.threads);
  /** @type {Verdict} */
  const verdict = {
    verdict: 'rejected',
    reason: null,
    device_requested: config.device,
    device_effective: null,
    adapter: null,
    software: false,
    threads,
    max_abs_error: null,
    probe_ms: 0,
  };
  const finish = (/** @type {any} */ ort) => {
    verdict.probe_ms = performance.now() - started;
    return { verdict, ort };
  };
  try {
    const device = await inspectDevice(config.backend, config.device, config.softwareGraphics);
    verdict.adapter = device.adapter;
    verdict.software = device.software;
    if (device.missing) {
      verdict.reason = device.missing;
      return finish(null);
    }
    const ort = await importRuntime(config.backend, config.runtime, threads, config.heapLimit);
    const golden = await fetchGolden(config.base);
    const { error, placement } = await runGolden(ort, config.backend, config.device, golden);
    verdict.max_abs_error = error;
    verdict.device_effective = device.effective;
    const reasons = [];
    if (config.backend !== 'wasm' && placement.CPUExecutionProvider) reasons.push(`${placement.CPUExecutionProvider} nodes of the golden model ran on the CPU`);
    if (config.backend === 'wasm' && threads === 1 && config.threads !== 1 && (navigator.hardwareConcurrency || 1) > 1) reasons.push('one thread only: the page is not cross-origin isolated');
    verdict.verdict = reasons.length === 0 ? 'admitted' : 'degraded';
    verdict.reason = reasons.join('; ') || null;
    return finish(ort);
  } catch (error) {
    verdict.reason = classify(error, 'load').message;
    return finish(null);
  }
}

class Engine {
  /** @type {Map<number, Loaded>} */
  #sessions = new Map();
  /** @type {Call[]} */
  #queue = [];
  /** Calls that the host has given up while they waited or ran. @type {Set<number>} */
  #cancelled = new Set();
  /** The call that is being worked on. @type {{id: number, abort: AbortController}|null} */
  #current = null;
  /** Why nothing more can be computed here, once that is so. @type {string|null} */
  #broken = null;
  #pumping = false;
  /** By what the host knows this engine when its connection was lost. */
  #name = crypto.randomUUID();
  /** The latest answers by call, oldest first. @type {Map<number, Answer>} */
  #answers = new Map();
  /** The size of the heap that the page was told last. */
  #heap = -1;
  /** @type {WebSocket|null} */
  #socket = null;

  /**
   * @param {EngineConfig} config
   * @param {any} ort
   * @param {(message: any) => void} tell
   */
  constructor(config, ort, tell) {
    this.config = config;
    this.ort = ort;
    this.tell = tell;
  }

  /** Opens the data connection. */
  connect() {
    return new Promise((resolve, reject) => {
      this.#open(() => resolve(undefined), (code) => {
        reject(new PageError('internal', `data connection closed (${code})`));
        this.tell(this.#broken === null ? { type: 'closed', code } : { type: 'broken', message: this.#broken });
      });
    });
  }

  /**
   * Opens the data connection, and opens it again as often as it breaks. The sessions stay, calls go on, and what they
   * give is sent when the host asks for it again.
   * @param {() => void} opened
   * @param {(code: number) => void} over
   * @param {number} [attempt]
   */
  #open(opened, over, attempt = 0) {
    const url = `${this.config.dataUrl}?engine=${this.#name}`;
    const socket = new WebSocket(url, ['webnn-pool.1', `token.${this.config.token}`]);
    let wasOpen = false;
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onopen = () => {
      wasOpen = true;
      opened();
    };
    socket.onclose = (event) => {
      const next = wasOpen ? 0 : attempt;
      const wait = event.code === 1006 && this.#broken === null ? RECONNECT_MS[next] : undefined;
      if (wait === undefined) over(event.code);
      else setTimeout(() => this.#open(opened, over, next + 1), wait);
    };
  }

  /** @param {ArrayBuffer} data */
  #receive(data) {
    const arrived = performance.now();
    let frame;
    try {
      frame = decode(data);
    } catch (error) {
      // Without a readable header there is no call to answer: the host's view of this connection is broken, so end it.
      this.tell({ type: 'fault', message: String(error) });
      this.#socket?.close(4400, 'unreadable frame');
      return;
    }
    if (frame.kind === Kind.CANCEL) {
      this.#cancel(frame.id);
      return;
    }
    // After a connection was lost the host sends all that it has no answer to.
    const answer = this.#answers.get(frame.id);
    if (answer) {
      this.#put(answer);
      return;
    }
    if (this.#current?.id === frame.id || this.#queue.some((waiting) => waiting.id === frame.id)) return;
    this.#queue.push({ ...frame, arrived });
    if (!this.#pumping) void this.#pump();
  }

  /** Works the queue off one call at a time: the runtime allows one at a time, and a second would only slow the first. */
  async #pump() {
    this.#pumping = true;
    let took = 0;
    for (let frame = this.#queue.shift(); frame; frame = this.#queue.shift()) {
      this.#current = { id: frame.id, abort: new AbortController() };
      const began = performance.now();
      try {
        if (frame.meta.queued && took >= LONG_MS) await catchUp();
        this.#assertWanted(frame.id);
        await this.#serve(frame, this.#current.abort.signal);
      } catch (error) {
        this.#fail(frame, error);
      }
      took = performance.now() - began;
      this.#cancelled.delete(frame.id);
      this.#current = null;
      this.tellHeap();
    }
    this.#pumping = false;
  }

  /** Says how large the runtime's heap is, where that has changed. It grows with loads and with runs, and never shrinks. */
  tellHeap() {
    const bytes = heapBytes();
    if (bytes === this.#heap) return;
    this.#heap = bytes;
    this.tell({ type: 'heap', bytes });
  }

  /** @param {number} id */
  #cancel(id) {
    if (this.#current?.id === id) {
      this.#cancelled.add(id);
      this.#current.abort.abort();
      return;
    }
    const at = this.#queue.findIndex((waiting) => waiting.id === id);
    if (at < 0) return;
    // It is answered at once, not when its turn comes: the host waits for this to give its slot to another.
    this.#queue.splice(at, 1);
    this.#send(Kind.ERROR, id, { kind: 'cancelled', message: 'cancelled by the host' });
  }

  /** @param {number} id */
  #assertWanted(id) {
    if (this.#cancelled.has(id)) throw new PageError('cancelled', 'cancelled by the host');
  }

  /**
   * Answers a call that failed, and gives up if the runtime cannot be used any more.
   * @param {Frame} frame
   * @param {unknown} error
   */
  #fail(frame, error) {
    const { kind, message } = classify(error, frame.kind === Kind.LOAD ? 'load' : 'run');
    const wanted = !this.#cancelled.has(frame.id);
    this.#send(Kind.ERROR, frame.id, wanted ? { kind, message } : { kind: 'cancelled', message: 'cancelled by the host' });
    if (kind !== 'device_lost' && !isFatal(error)) return;
    this.breakOff(message);
  }

  /**
   * Ends the engine because its runtime or its device is lost; the page then starts another.
   * @param {string} reason
   */
  breakOff(reason) {
    this.#broken ??= reason;
    this.#queue.length = 0;
    // Closing in order, instead of being ended from outside, lets the answers that were sent arrive first.
    this.#socket?.close(1000, 'the runtime is broken');
  }

  /**
   * @param {Call} frame
   * @param {AbortSignal} signal  fires when the call is cancelled
   */
  async #serve(frame, signal) {
    switch (frame.kind) {
      case Kind.RUN:
        return this.#run(frame);
      case Kind.LOAD:
        return this.#load(frame, signal);
      case Kind.UNLOAD:
        return this.#unload(frame);
      case Kind.RELEASE:
        return this.#release(frame);
      case Kind.ECHO:
        return this.#send(Kind.ECHOED, frame.id, {}, frame.tensors);
      default:
        throw new PageError('protocol', `this page (protocol 1) knows no frame of kind ${frame.kind}`);
    }
  }

  /**
   * @param {Frame} frame
   * @param {AbortSignal} signal
   */
  async #load(frame, signal) {
    const { session: id, files, dims } = frame.meta;
    const caches = new Caches(frame.meta.caches ?? []);
    const started = performance.now();
    /** @type {{path: string, data: Uint8Array}[]} */
    const externalData = [];
    let model = null;
    let source = 'cache';
    const bytes = files.reduce((/** @type {number} */ sum, /** @type {any} */ file) => sum + file.bytes, 0);
    if (bytes > ADDRESSABLE) {
      throw new PageError('out_of_memory', `the model has ${bytes} bytes, more than the ${ADDRESSABLE} that WebAssembly can address`);
    }
    for (const file of files) {
      const fetched = await fetchModelFile(this.config.base, this.config.token, file, signal);
      if (fetched.source === 'network') source = 'network';
      if (model === null) model = fetched.bytes;
      else externalData.push({ path: file.path, data: fetched.bytes });
    }
    if (model === null) throw new PageError('protocol', 'the load names no file');
    const fetchedAt = performance.now();
    const before = heapBytes();
    const { session, placement, operators } = await createSession(this.ort, this.config.backend, this.config.device, model, { dims, externalData, kept: caches.onDevice });
    // The device is made with a session, and may be another one than that of the sessions before.
    onDeviceLost(this.ort, (reason) => this.breakOff(reason));
    const now = performance.now();
    if (signal.aborted) {
      await session.release();
      this.#assertWanted(frame.id);
    }
    // The same load again, because its answer was lost and is not kept any more.
    await this.#drop(id);
    this.#sessions.set(id, { session, caches });
    this.#send(Kind.LOADED, frame.id, {
      load_ms: now - started,
      fetch_ms: fetchedAt - started,
      create_ms: now - fetchedAt,
      source,
      placement,
      operators,
      heap_bytes: heapBytes(),
      heap_growth_bytes: heapBytes() - before,
      inputs: session.inputNames,
      outputs: session.outputNames,
    });
  }

  /** @param {Call} frame */
  async #run(frame) {
    const loaded = this.#sessions.get(frame.meta.session);
    if (!loaded) throw new PageError('no_such_session', `no session ${frame.meta.session} on this engine`);
    /** @type {Record<string, any>} */
    const feeds = {};
    for (const tensor of frame.tensors) feeds[tensor.name] = toRuntime(this.ort, tensor);
    const step = frame.meta.step;
    if (step) loaded.caches.feed(step, feeds);
    const kept = step ? loaded.caches.outputs : [];
    const all = frame.meta.outputs ?? loaded.session.outputNames;
    const wanted = all.filter((/** @type {string} */ name) => !kept.includes(name));

    const started = performance.now();
    const results = await this.#compute(frame.meta.session, loaded, feeds, [...wanted, ...kept]);
    const ended = performance.now();

    const caches = step && loaded.caches.keep(step, results);
    const outputs = [];
    try {
      this.#assertWanted(frame.id);
      for (const name of wanted) outputs.push(fromRuntime(name, await onCpu(results[name])));
    } catch (error) {
      for (const name of wanted) freeDevice(results[name]);
      throw error;
    }
    const marks = { arrived_ms: frame.arrived, started_ms: started, ended_ms: ended, answered_ms: performance.now() };
    this.#send(Kind.RESULT, frame.id, { in_page_ms: ended - started, caches, marks }, outputs);
  }

  /**
   * Runs a session. One that keeps outputs on the graphics device binds its inputs before it runs, and after a failure
   * would compute on those again, whatever the next run brings; so it is dropped, and the host loads it anew.
   * @param {number} id
   * @param {Loaded} loaded
   * @param {Record<string, any>} feeds
   * @param {string[]} outputs
   */
  async #compute(id, loaded, feeds, outputs) {
    try {
      return await loaded.session.run(feeds, outputs);
    } catch (error) {
      if (this.config.backend === 'webgpu' && loaded.caches.outputs.length > 0) await this.#drop(id);
      throw error;
    }
  }

  /** @param {Frame} frame */
  async #unload(frame) {
    await this.#drop(frame.meta.session);
    this.#send(Kind.UNLOADED, frame.id, {});
  }

  /** @param {Frame} frame */
  #release(frame) {
    this.#sessions.get(frame.meta.session)?.caches.release(frame.meta.sequence);
    this.#send(Kind.RELEASED, frame.id, {});
  }

  /**
   * Forgets a session with all that it keeps.
   * @param {number} id
   */
  async #drop(id) {
    const loaded = this.#sessions.get(id);
    this.#sessions.delete(id);
    loaded?.caches.releaseAll();
    await loaded?.session.release();
  }

  /**
   * @param {number} kind
   * @param {number} id
   * @param {any} meta
   * @param {import('./wire.js').WireTensor[]} [tensors]
   */
  #send(kind, id, meta, tensors) {
    const length = encodedLength(meta, tensors);
    const limit = this.config.maxFrameBytes;
    if (length > limit) {
      throw new PageError('invalid_input', `the outputs of this run take ${length} bytes, and a frame takes ${limit} at most`);
    }
    const answer = { kind, id, meta, tensors, length };
    this.#keep(answer);
    this.#put(answer);
  }

  /** @param {Answer} answer */
  #put({ kind, id, meta, tensors }) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(encode(kind, id, meta, tensors));
  }

  /** @param {Answer} answer */
  #keep(answer) {
    this.#answers.set(answer.id, answer);
    let bytes = 0;
    for (const kept of this.#answers.values()) bytes += kept.length;
    for (const [oldest, kept] of this.#answers) {
      if (this.#answers.size === 1 || (this.#answers.size <= ANSWERS && bytes <= ANSWERS_BYTES)) break;
      this.#answers.delete(oldest);
      bytes -= kept.length;
    }
  }
}

/**
 * Lets messages that came while this thread computed be read before the next call begins: one of them may be that call's
 * cancellation. They come one a task, and each is only then taken from the socket.
 */
async function catchUp() {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setTimeout(resolve, 0));
}
