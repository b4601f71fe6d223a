/**
 * Between the wire's tensors and the runtime's: views in both directions, no copy of a payload.
 * @module
 */

import { PageError } from './protocol.js';
import { decodeStrings, encodeStrings } from './wire.js';

/** @type {Record<string, any>} */
const VIEWS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  int4: Uint8Array,
  uint4: Uint8Array,
};

/**
 * @param {any} ort
 * @param {import('./wire.js').WireTensor} tensor
 * @returns {any} the runtime's tensor, on the CPU
 */
export function toRuntime(ort, tensor) {
  if (tensor.dtype === 'string') return new ort.Tensor('string', strings(tensor), tensor.dims);
  const View = VIEWS[tensor.dtype];
  if (!View) {
    throw new PageError('unsupported_dtype', `ONNX Runtime Web has no tensor of type ${tensor.dtype} (input ${tensor.name})`);
  }
  const { buffer, byteOffset, byteLength } = tensor.bytes;
  return new ort.Tensor(tensor.dtype, new View(buffer, byteOffset, byteLength / View.BYTES_PER_ELEMENT), tensor.dims);
}

/**
 * The runtime passes texts on as C strings and cuts them at a NUL without a word, so such a text is refused here.
 * @param {import('./wire.js').WireTensor} tensor
 */
function strings(tensor) {
  const texts = decodeStrings(tensor.bytes);
  const at = texts.findIndex((text) => text.includes('\0'));
  if (at >= 0) throw new PageError('invalid_input', `text ${at} of input ${tensor.name} contains a NUL character, which ONNX Runtime Web would cut it at`);
  return texts;
}

/**
 * @param {string} name
 * @param {any} tensor  the runtime's tensor, on the CPU
 * @returns {import('./wire.js').WireTensor}
 */
export function fromRuntime(name, tensor) {
  const dims = Array.from(tensor.dims, Number);
  if (tensor.type === 'string') return { name, dtype: 'string', dims, bytes: encodeStrings(tensor.data) };
  const { buffer, byteOffset, byteLength } = tensor.data;
  return { name, dtype: tensor.type, dims, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

/**
 * The tensor where the processor can read it: one that is on the graphics device is brought over, and is there no more.
 * @param {any} tensor  the runtime's tensor
 * @returns {Promise<any>}
 */
export async function onCpu(tensor) {
  if (tensor.location === 'gpu-buffer') await tensor.getData(true);
  return tensor;
}

/**
 * Gives back what a tensor has on the graphics device.
 * @param {any} tensor  the runtime's tensor
 */
export function freeDevice(tensor) {
  if (tensor?.location === 'gpu-buffer') tensor.dispose();
}
