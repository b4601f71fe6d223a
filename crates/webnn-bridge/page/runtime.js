/**
 * ONNX Runtime Web: which of its builds serves which backend, how it is told about threads, and how what it says about
 * a session (where its nodes were placed, why it failed) is read.
 * @module
 */

import { classify } from './failure.js';
import { PageError } from './protocol.js';

/**
 * The build that fits each backend. The build for WebGPU and WebNN can run WASM too, but its kernels are the slow ones.
 * @type {Record<string, string>}
 */
const BUILDS = { wasm: 'ort.wasm.min.mjs', webgpu: 'ort.webgpu.min.mjs', webnn: 'ort.webgpu.min.mjs' };

/** ONNX Runtime's own names of the execution providers, as its placement report prints them. */
const PROVIDERS = Object.freeze({
  wasm: 'CPUExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
  webnn: 'WebNNExecutionProvider',
});

/** @type {WebAssembly.Memory[]} */
const memories = [];

/** Bytes of one page of WebAssembly memory. */
const WASM_PAGE = 65_536;

/**
 * Keeps sight of the memory that the runtime allocates: it offers no other way to ask for the heap's size. What would grow
 * beyond the limit fails to allocate, as it would at the end of the address space.
 * @param {number} limit  bytes that one memory may grow to
 */
function watchMemory(limit) {
  const Native = WebAssembly.Memory;
  const most = Math.floor(limit / WASM_PAGE);
  WebAssembly.Memory = new Proxy(Native, {
    construct(target, [wanted, ...rest]) {
      const bounded = wanted.maximum > most ? { ...wanted, maximum: Math.max(wanted.initial, most) } : wanted;
      const memory = Reflect.construct(target, [bounded, ...rest]);
      memories.push(memory);
      return memory;
    },
  });
}

/** @returns {number} bytes of WebAssembly memory that this thread's runtime holds */
export function heapBytes() {
  return memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
}

/**
 * Threads that WASM can use: shared memory needs cross-origin isolation.
 * @param {number} wanted  0 lets the page choose: one a core, four at most
 */
export function usableThreads(wanted) {
  if (!globalThis.crossOriginIsolated) return 1;
  const cores = navigator.hardwareConcurrency || 1;
  return Math.max(1, wanted > 0 ? wanted : Math.min(4, cores));
}

/**
 * Imports the build of the runtime that serves `backend`.
 * @param {string} backend
 * @param {string} base  the folder of the runtime's files, with a final slash
 * @param {number} threads
 * @param {number} heapLimit  bytes that the runtime's heap may grow to
 * @returns {Promise<any>} the runtime's module
 */
export async function importRuntime(backend, base, threads, heapLimit) {
  watchMemory(heapLimit);
  tapConsole();
  const ort = await import(`${base}${BUILDS[backend]}`);
  ort.env.wasm.wasmPaths = base;
  ort.env.wasm.numThreads = threads;
  return ort;
}

/**
 * Where the runtime placed a session's nodes: execution provider → number of nodes.
 * @typedef {Record<string, number>} Placement
 */

/**
 * What the runtime placed where: execution provider → type of operator → number of nodes. It tells only where more than one
 * provider has a part of the model.
 * @typedef {Record<string, Record<string, number>>} Operators
 */

/**
 * Creates a session and reads, from the runtime's own log, where each node went. The runtime moves nodes that a backend
 * cannot take to the CPU without a word; a session of which the asked backend took nothing is refused here, because its
 * numbers would be another backend's.
 * @param {any} ort
 * @param {string} backend
 * @param {string} device
 * @param {Uint8Array} model
 * @param {{dims?: Record<string, number>, externalData?: {path: string, data: Uint8Array}[], kept?: string[]}} options  `kept`:
 *   outputs that go into the next run, and stay on the graphics device where that computes
 * @returns {Promise<{session: any, placement: Placement, operators: Operators}>}
 */
export async function createSession(ort, backend, device, model, options) {
  const provider = backend === 'webnn' ? { name: 'webnn', deviceType: device } : backend;
  /** @type {any} */
  const settings = {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    logSeverityLevel: 0,
  };
  if (options.dims && Object.keys(options.dims).length > 0) settings.freeDimensionOverrides = options.dims;
  if (options.externalData?.length) settings.externalData = options.externalData;
  if (backend === 'webgpu' && options.kept?.length) {
    settings.preferredOutputLocation = Object.fromEntries(options.kept.map((name) => [name, 'gpu-buffer']));
  }

  const log = captureConsole();
  let session;
  try {
    session = await ort.InferenceSession.create(model, settings);
  } catch (error) {
    const failure = classify(error, 'load', log.stop().lines);
    if (backend === 'webnn') await mend(ort);
    throw failure;
  }
  if (backend === 'webnn') proven ??= { model, settings };
  const { lines, operators } = log.stop();
  const placement = readPlacement(lines);
  const own = PROVIDERS[/** @type {keyof typeof PROVIDERS} */ (backend)];
  const nodes = Object.values(placement).reduce((sum, count) => sum + count, 0);
  if (backend !== 'wasm' && nodes > 0 && !placement[own]) {
    await session.release();
    throw new PageError(
      'unsupported_by_backend',
      `${backend} took none of the model's ${nodes} nodes, so the numbers would be those of WASM: ask for wasm`,
    );
  }
  return { session, placement, operators };
}

/** What the first session on WebNN was made of: the golden one's. @type {{model: Uint8Array, settings: any}|null} */
let proven = null;

/**
 * Makes the sessions on WebNN usable again after another one could not be created. The runtime switches its tensors' way
 * to the device off while it creates one, and back on only when that has worked; so a small one is created that works.
 * @param {any} ort
 */
async function mend(ort) {
  if (!proven) return;
  const session = await ort.InferenceSession.create(proven.model, proven.settings);
  await session.release();
}

/**
 * What the runtime printed while a session was created.
 * @typedef {object} Printed
 * @property {string[]} lines  those that tell something
 * @property {Operators} operators  counted, not kept: a line for each node of a large model would be too many
 */

/** What is being collected, while a session is created. @type {Printed|null} */
let collected = null;

/** The provider whose nodes are being listed. */
let provider = '';

let tapped = false;

/**
 * Puts itself between the runtime and the console, for good: the runtime binds the console's functions once, when its
 * first session is created, so what replaced them only for a while would hear of that session and of no other.
 */
function tapConsole() {
  // A page whose engines share a thread imports the runtime once for each of them.
  if (tapped) return;
  tapped = true;
  for (const name of /** @type {const} */ (['log', 'info', 'warn', 'error', 'debug'])) {
    const native = console[name].bind(console);
    console[name] = (/** @type {unknown[]} */ ...args) => {
      const line = args.join(' ');
      if (collected) collect(collected, line);
      // Sessions are told to log all that they do, because placement is a part of it; nobody reads the rest.
      if (!CHATTER.test(line)) native(...args);
    };
  }
}

/**
 * @param {Printed} printed
 * @param {string} line
 */
function collect(printed, line) {
  if (printed.lines.length < 4096 && INTERESTING.test(line)) printed.lines.push(line);
  provider = PLACED.exec(line)?.[1] ?? provider;
  const operator = NODE.exec(line)?.[1];
  if (!operator) return;
  const counts = (printed.operators[provider] ??= {});
  if (operator in counts || Object.keys(counts).length < MOST_OPERATORS) counts[operator] = (counts[operator] ?? 0) + 1;
}

/** Collects what the runtime prints, until `stop`. One session is created at a time. */
function captureConsole() {
  /** @type {Printed} */
  const printed = { lines: [], operators: {} };
  collected = printed;
  return {
    stop() {
      collected = null;
      return printed;
    },
  };
}

/** How many types of operators are told of a provider; ONNX and the runtime's own have fewer. */
const MOST_OPERATORS = 512;

const CHATTER = /\[[VIW]:onnxruntime/;
const INTERESTING = /placed on|supported by WebNN|\[E:|\[F:|abort/i;
const PLACED = /(?:All nodes|Node\(s\)) placed on \[(\w+)\]\.\s*Number of nodes: (\d+)/;
/** The line of one node: type, and name in brackets. */
const NODE = /VerifyEachNodeIsAssignedToAnEp\]\s+([A-Za-z]\w*) \(/;
const COMPILED = /number of nodes supported by WebNN: (\d+)/;

/**
 * @param {string[]} lines
 * @returns {Placement}
 */
function readPlacement(lines) {
  /** @type {Placement} */
  const placement = {};
  for (const line of lines) {
    const found = PLACED.exec(line);
    if (found) placement[found[1]] = (placement[found[1]] ?? 0) + Number(found[2]);
  }
  // WebNN compiles the nodes that it takes into a few fused ones: the number of nodes that it took says more.
  const compiled = lines.map((line) => COMPILED.exec(line)).filter((match) => match !== null).pop();
  if (compiled && placement.WebNNExecutionProvider) placement.WebNNExecutionProvider = Number(compiled[1]);
  return placement;
}

/** The device that is watched. @type {any} */
let watched = null;

/**
 * Has `lost` called when the graphics device of the runtime is lost. The runtime would answer with zeros or not at all.
 * @param {any} ort
 * @param {(reason: string) => void} lost
 */
export function onDeviceLost(ort, lost) {
  const device = ort.env.webgpu?.device;
  if (!device?.lost || device === watched) return;
  watched = device;
  void device.lost.then((/** @type {any} */ info) => {
    // The runtime itself lets go of a device that no session uses any more.
    if (info.reason !== 'destroyed' && device === watched) lost(`the graphics device was lost: ${info.message || info.reason}`);
  });
}
