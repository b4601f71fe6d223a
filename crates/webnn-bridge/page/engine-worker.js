/**
 * The dedicated worker that holds an engine.
 * @module
 */

import { startEngine } from './engine.js';

/** @param {unknown} message */
const tell = (message) => globalThis.postMessage(message);

globalThis.onmessage = (event) => {
  startEngine(event.data, tell).catch((error) => tell({ type: 'fault', message: String(error) }));
};
