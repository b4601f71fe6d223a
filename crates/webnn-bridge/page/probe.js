/**
 * What a backend can really do here: the golden model is executed on it and its numbers are compared. Nothing is
 * concluded from the mere presence of an interface.
 * @module
 */

import { createSession } from './runtime.js';

/** Largest error of the golden model's output that is still right: single precision with a wide margin for reordering. */
const TOLERANCE = 1e-3;

/** Words by which software adapters call themselves. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software|basic render|warp/i;

/**
 * A tensor as the Open Inference Protocol writes it.
 * @typedef {{name: string, shape: number[], datatype: string, data: number[]}} JsonTensor
 */

/**
 * The golden model with one input and the output that a native runtime gave for it.
 * @typedef {object} Golden
 * @property {Uint8Array} model
 * @property {JsonTensor} input
 * @property {JsonTensor} output
 */

/**
 * @param {string} base  the host's origin
 * @returns {Promise<Golden>}
 */
export async function fetchGolden(base) {
  const get = (/** @type {string} */ name) => fetch(`${base}/page/golden/${name}`);
  const [model, request, response] = await Promise.all([
    get('model.onnx').then((answer) => answer.arrayBuffer()),
    get('request.json').then((answer) => answer.json()),
    get('response.json').then((answer) => answer.json()),
  ]);
  return { model: new Uint8Array(model), input: request.inputs[0], output: response.outputs[0] };
}

/**
 * The device that `backend` reaches: what it calls itself, and whether software stands in for it.
 * @param {string} backend
 * @param {string} requested
 * @param {boolean} softwareGraphics  whether the host knows that every graphics adapter here is software
 * @returns {Promise<{adapter: string|null, software: boolean, effective: string, missing: string|null}>}
 */
export async function inspectDevice(backend, requested, softwareGraphics) {
  if (backend === 'wasm') return { adapter: null, software: false, effective: 'cpu', missing: null };
  const gpu = await gpuAdapter();
  // Some browsers tell nothing of their adapter; the machine's owner knows better.
  gpu.software ||= softwareGraphics && !gpu.missing;
  if (backend === 'webgpu') {
    if (requested !== 'gpu' && !gpu.missing) gpu.missing = `WebGPU offers graphics adapters alone: ask it for gpu, not for ${requested}`;
    return { adapter: gpu.name, software: gpu.software, effective: gpu.software ? 'cpu' : 'gpu', missing: gpu.missing };
  }
  const ml = /** @type {any} */ (navigator).ml;
  if (!ml) return { adapter: null, software: false, effective: 'cpu', missing: 'navigator.ml is absent: this browser has no WebNN, or it is switched off' };
  try {
    const context = await ml.createContext({ deviceType: requested });
    const accelerated = context.accelerated;
    context.destroy?.();
    return { adapter: null, software: false, effective: webNnDevice(requested, accelerated, Boolean(gpu.missing || gpu.software)), missing: null };
  } catch (error) {
    return { adapter: null, software: false, effective: 'cpu', missing: `navigator.ml.createContext failed: ${error instanceof Error ? error.message : error}` };
  }
}

/**
 * The device that a WebNN context computes on, as far as it can be known. A browser that says whether the context is
 * accelerated is believed. Of one that does not, only this is known: the processor is always there, and a machine that
 * offers no hardware graphics adapter has not computed on one.
 * @param {string} requested
 * @param {boolean|undefined} accelerated
 * @param {boolean} noGraphics  whether the machine has no hardware graphics adapter
 */
function webNnDevice(requested, accelerated, noGraphics) {
  if (requested === 'cpu' || accelerated === false) return 'cpu';
  if (accelerated === true) return requested;
  return noGraphics && requested === 'gpu' ? 'cpu' : 'unknown';
}

/** @returns {Promise<{name: string|null, software: boolean, missing: string|null}>} */
async function gpuAdapter() {
  const gpu = /** @type {any} */ (navigator).gpu;
  if (!gpu) return { name: null, software: false, missing: 'navigator.gpu is absent: this browser has no WebGPU here' };
  let adapter;
  try {
    adapter = await gpu.requestAdapter();
  } catch (error) {
    return { name: null, software: false, missing: `requestAdapter failed: ${error}` };
  }
  if (!adapter) return { name: null, software: false, missing: 'requestAdapter gave no adapter' };
  const info = adapter.info ?? {};
  const name = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ') || 'unnamed adapter';
  const software = Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || SOFTWARE.test(name);
  return { name, software, missing: null };
}

/**
 * Executes the golden model.
 * @param {any} ort
 * @param {string} backend
 * @param {string} device
 * @param {Golden} golden
 * @returns {Promise<{error: number, placement: import('./runtime.js').Placement}>} the largest absolute error
 */
export async function runGolden(ort, backend, device, golden) {
  const { session, placement } = await createSession(ort, backend, device, golden.model, {});
  try {
    const { input, output } = golden;
    const results = await session.run({ [input.name]: new ort.Tensor('float32', Float32Array.from(input.data), input.shape) });
    const got = /** @type {Float32Array} */ (results[output.name].data);
    if (got.length !== output.data.length) throw new Error(`golden output has ${got.length} numbers, not ${output.data.length}`);
    const error = output.data.reduce((worst, want, i) => {
      const off = Math.abs(got[i] - want);
      return off > worst || Number.isNaN(off) ? off : worst;
    }, 0);
    if (!(error <= TOLERANCE)) throw new Error(`golden output is off by ${error}: this backend computes wrong numbers here`);
    return { error, placement };
  } finally {
    await session.release();
  }
}
