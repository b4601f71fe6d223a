/**
 * The caches that a session keeps from one step of a sequence to the next. They never travel: a step says which ones it
 * expects, and where they are not those, nothing is computed.
 * @module
 */

import { PageError } from './protocol.js';

/** Sequences whose caches a session keeps. The one that was used longest ago goes first; it can be computed again. */
const SEQUENCES = 64;

/** Bytes that all caches of an engine may take; the last sequence of each session keeps its own whatever they take. */
const BYTES = 512 * 2 ** 20;

/** Bytes that they take. */
let taken = 0;

/** Types that the runtime leaves on the graphics device. */
const ON_DEVICE = ['float32', 'float16', 'int32', 'int64', 'uint32', 'uint8', 'bool'];

/**
 * A cache of a model: an input whose value in the next step an output gives.
 * @typedef {object} Cache
 * @property {string} past
 * @property {string} present
 * @property {number|null} axis  the dimension along which it grows
 * @property {string} dtype
 */

/**
 * @typedef {object} Step
 * @property {number} sequence
 * @property {number} epoch  which incarnation of the caches is meant
 * @property {number} position  steps that they must hold already
 */

/**
 * @typedef {object} Held
 * @property {number} epoch
 * @property {number} position
 * @property {number} bytes
 * @property {Map<string, any>} past  the runtime's tensors by the input that they are for
 */

export class Caches {
  /** By sequence, the one that was used longest ago first. @type {Map<number, Held>} */
  #held = new Map();

  /** @param {Cache[]} caches  what the model has of them */
  constructor(caches) {
    this.caches = caches;
  }

  /** Names of the outputs that hold caches. */
  get outputs() {
    return this.caches.map((cache) => cache.present);
  }

  /** Names of those that can stay on a graphics device. */
  get onDevice() {
    return this.caches.filter((cache) => ON_DEVICE.includes(cache.dtype)).map((cache) => cache.present);
  }

  /**
   * Adds the caches that a step goes on from. In a first step they come with the inputs.
   * @param {Step} step
   * @param {Record<string, any>} feeds
   */
  feed(step, feeds) {
    if (step.position === 0) return;
    const held = this.#held.get(step.sequence);
    if (held?.epoch !== step.epoch || held.position !== step.position) {
      const here = held ? `are at epoch ${held.epoch}, step ${held.position}` : 'are not here';
      throw new PageError('caches_lost', `the caches of sequence ${step.sequence} ${here}, and epoch ${step.epoch}, step ${step.position} was asked for`);
    }
    for (const [name, tensor] of held.past) feeds[name] = tensor;
  }

  /**
   * Keeps what a step gave for the next one, in the place of what it went on from.
   * @param {Step} step
   * @param {Record<string, any>} results
   */
  keep(step, results) {
    this.release(step.sequence);
    const past = new Map();
    let bytes = 0;
    let length = 0;
    for (const { past: input, present, axis } of this.caches) {
      const tensor = results[present];
      past.set(input, tensor);
      bytes += tensorBytes(tensor);
      if (axis !== null) length += Number(tensor.dims[axis]);
    }
    const position = step.position + 1;
    this.#held.set(step.sequence, { epoch: step.epoch, position, bytes, past });
    taken += bytes;
    this.#bound();
    return { epoch: step.epoch, position, length };
  }

  /** @param {number} sequence */
  release(sequence) {
    const held = this.#held.get(sequence);
    this.#held.delete(sequence);
    taken -= held?.bytes ?? 0;
    for (const tensor of held?.past.values() ?? []) tensor.dispose();
  }

  releaseAll() {
    for (const sequence of [...this.#held.keys()]) this.release(sequence);
  }

  #bound() {
    for (const oldest of [...this.#held.keys()]) {
      if (this.#held.size === 1 || (this.#held.size <= SEQUENCES && taken <= BYTES)) break;
      this.release(oldest);
    }
  }
}

/** Bytes of one element, by the runtime's name of its type. @type {Record<string, number>} */
const ELEMENT = { float64: 8, int64: 8, uint64: 8, float32: 4, int32: 4, uint32: 4, float16: 2, int16: 2, uint16: 2, int4: 0.5, uint4: 0.5 };

/** @param {any} tensor  the runtime's tensor, wherever it is */
function tensorBytes(tensor) {
  return tensor.dims.reduce((/** @type {number} */ product, /** @type {number} */ dim) => product * Number(dim), ELEMENT[tensor.type] ?? 1);
}
