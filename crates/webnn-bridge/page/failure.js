/**
 * What went wrong, in the words of the protocol. The runtime throws plain errors; what they say decides the kind.
 * @module
 */

import { PageError } from './protocol.js';

/**
 * The first that fits counts.
 * @type {[RegExp, import('./protocol.js').FailureKind][]}
 */
const FAILURES = [
  [/device (?:is |was )?lost|context (?:is |was )?lost|DXGI_ERROR|GPUDevice.*lost/i, 'device_lost'],
  [/out of memory|bad_?alloc|failed to allocate|cannot allocate|Array buffer allocation failed|could not allocate|memory access out of bounds|Cannot enlarge memory|Aborted\(OOM|Tensor shape is too large|tensor size \d+ exceeds the size limit/i, 'out_of_memory'],
  [/unsupported (?:onnx )?(?:data ?type|element type|tensor type)|type .* is not supported|data type .* not supported|Unsupported type|is not currently registered or supported/i, 'unsupported_dtype'],
  [/No opset import for domain|is not a registered function\/op|No Op registered|Could not find an implementation|is under development|ERROR_CODE: 9,/i, 'unsupported_operator'],
  [/input '.*' is missing|invalid input '|Unexpected input|Got invalid dimensions|Invalid rank for input|Missing Input|invalid input name|Invalid Feed Input|while running .*(?:mismatch|incompatible|cannot be reshaped|out of (?:data )?bounds|broadcast)/is, 'invalid_input'],
  [/protobuf parsing failed|ModelProto does not have a graph|INVALID_PROTOBUF|INVALID_GRAPH|Load model .*failed|invalid model|ShapeInferenceError|TypeInferenceError|Unsupported model IR|external data|deserialize tensor/i, 'invalid_model'],
  [/on 'MLGraphBuilder'/, 'unsupported_by_backend'],
];

/** What ONNX Runtime's own status codes mean, where the message itself says nothing that we know. */
const CODES = {
  load: /** @type {Record<number, import('./protocol.js').FailureKind>} */ ({ 1: 'invalid_model', 2: 'invalid_model', 4: 'invalid_model', 7: 'invalid_model', 10: 'invalid_model' }),
  run: /** @type {Record<number, import('./protocol.js').FailureKind>} */ ({ 2: 'invalid_input' }),
};

/**
 * Turns what was thrown into an error with a kind.
 * @param {unknown} error
 * @param {'load'|'run'} phase
 * @param {string[]} [log]  what the runtime printed meanwhile
 * @returns {PageError}
 */
export function classify(error, phase, log = []) {
  if (error instanceof PageError) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const whole = [message, ...log].join('\n');
  // A C++ exception that nobody translated arrives as a bare number, the address of the exception object.
  if (/^(?:Error: )?\d+$/.test(message)) return new PageError('out_of_memory', `the runtime threw a bare exception (${message}), as it does when an allocation fails`);
  if (error instanceof RangeError) return new PageError('out_of_memory', message);
  if (/Failed to parse value/.test(message)) {
    return new PageError('invalid_model', `${shorten(message)} (all that the runtime says of a place or a length of external data that it cannot address)`);
  }
  const found = FAILURES.find(([pattern]) => pattern.test(whole))?.[1];
  const code = Number(/ERROR_CODE: (\d+)/.exec(message)?.[1]);
  return new PageError(found ?? CODES[phase][code] ?? 'internal', shorten(message));
}

/**
 * Whether the runtime is unusable after this: a WebAssembly module that trapped or aborted cannot be entered again.
 * @param {unknown} error
 */
export function isFatal(error) {
  return error instanceof WebAssembly.RuntimeError || (error instanceof Error && /^Aborted\(/.test(error.message));
}

/** @param {string} message */
function shorten(message) {
  return message.length > 2000 ? `${message.slice(0, 2000)}…` : message;
}
