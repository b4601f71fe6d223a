/**
 * The binary frame: a header of 32 bytes, JSON metadata, a table of tensors, and payloads aligned to 8 bytes, all
 * little-endian. Decoding makes views on the message, never copies; encoding gathers once into one buffer.
 * The host's side is the `frame` module of the `tensor` crate.
 * @module
 */

import { PageError } from './protocol.js';

const MAGIC = 0x31464e57; // The bytes "WNF1" read as a little-endian number.
const HEADER_BYTES = 32;

/**
 * A tensor as it lies on the wire: bytes of a known type and shape.
 * @typedef {object} WireTensor
 * @property {string} name
 * @property {string} dtype  ONNX Runtime Web's name of the element type
 * @property {number[]} dims
 * @property {Uint8Array} bytes
 */

/**
 * @typedef {object} Frame
 * @property {number} kind
 * @property {number} id
 * @property {any} meta
 * @property {WireTensor[]} tensors
 */

/** Element types in the order of their wire codes; the index is ONNX's own `TensorProto.DataType`. */
const DTYPES = [
  '', 'float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64', 'string', 'bool', 'float16', 'float64',
  'uint32', 'uint64', '', '', 'bfloat16', '', '', '', '', 'uint4', 'int4',
];

const text = new TextDecoder('utf-8', { fatal: true });
const utf8 = new TextEncoder();

/** @param {number} n */
const padded = (n) => Math.ceil(n / 8) * 8;

/**
 * Reads a frame. The tensors' bytes are views on `buffer`.
 * @param {ArrayBuffer} buffer
 * @returns {Frame}
 */
export function decode(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) {
    throw new PageError('protocol', `not a frame: ${buffer.byteLength} bytes without the magic number`);
  }
  const total = Number(view.getBigUint64(24, true));
  if (total !== buffer.byteLength) {
    throw new PageError('protocol', `frame says ${total} bytes but the message has ${buffer.byteLength}`);
  }
  const kind = view.getUint16(4, true);
  const count = view.getUint16(6, true);
  const id = Number(view.getBigUint64(8, true));
  const metaBytes = view.getUint32(16, true);
  const tableBytes = view.getUint32(20, true);
  const meta = metaBytes === 0 ? {} : JSON.parse(text.decode(new Uint8Array(buffer, HEADER_BYTES, metaBytes)));

  let at = HEADER_BYTES + padded(metaBytes);
  let payload = at + tableBytes;
  /** @type {WireTensor[]} */
  const tensors = [];
  for (let i = 0; i < count; i += 1) {
    const dtype = DTYPES[view.getUint8(at)];
    if (!dtype) throw new PageError('protocol', `tensor ${i} has unknown dtype code ${view.getUint8(at)}`);
    const rank = view.getUint8(at + 1);
    const nameBytes = view.getUint16(at + 2, true);
    const byteLength = Number(view.getBigUint64(at + 8, true));
    at += 16;
    /** @type {number[]} */
    const dims = [];
    for (let d = 0; d < rank; d += 1, at += 8) dims.push(Number(view.getBigUint64(at, true)));
    const name = text.decode(new Uint8Array(buffer, at, nameBytes));
    at += padded(nameBytes);
    tensors.push({ name, dtype, dims, bytes: new Uint8Array(buffer, payload, byteLength) });
    payload += padded(byteLength);
  }
  return { kind, id, meta, tensors };
}

/**
 * The length that `encode` gives a frame, give or take the padding: cheap to know before the memory is taken.
 * @param {any} meta
 * @param {WireTensor[]} [tensors]
 */
export function encodedLength(meta, tensors = []) {
  const payload = tensors.reduce((sum, tensor) => sum + 16 + 8 * tensor.dims.length + tensor.name.length + padded(tensor.bytes.byteLength), 0);
  return HEADER_BYTES + JSON.stringify(meta).length + payload;
}

/** The buffer that frames are written into; see `encode`. */
let scratch = new ArrayBuffer(64 * 1024);

/** A scratch buffer above this size is not kept after the frame that needed it. */
const SCRATCH_KEPT = 32 * 1024 * 1024;

/**
 * A buffer of at least `bytes` bytes, whatever stands in it.
 * @param {number} bytes
 */
function scratchOf(bytes) {
  if (scratch.byteLength < bytes || scratch.byteLength > SCRATCH_KEPT) {
    scratch = new ArrayBuffer(Math.max(bytes, 64 * 1024));
  }
  return scratch;
}

/**
 * Writes a frame. It lies in a buffer that the next frame is written into too, so it must be sent at once, which
 * `WebSocket.send` does: it takes its bytes before it returns. A fresh buffer for each frame would have to be allocated
 * and cleared, which for a large tensor takes longer than writing it.
 * @param {number} kind
 * @param {number} id
 * @param {any} meta
 * @param {WireTensor[]} [tensors]
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encode(kind, id, meta, tensors = []) {
  const metaBytes = utf8.encode(JSON.stringify(meta));
  const names = tensors.map((tensor) => utf8.encode(tensor.name));
  let tableBytes = 0;
  let payloadBytes = 0;
  tensors.forEach((tensor, i) => {
    tableBytes += 16 + 8 * tensor.dims.length + padded(names[i].length);
    payloadBytes += padded(tensor.bytes.byteLength);
  });
  const table = HEADER_BYTES + padded(metaBytes.length);
  const total = table + tableBytes + payloadBytes;
  const buffer = scratchOf(total);
  const bytes = new Uint8Array(buffer, 0, total);
  const view = new DataView(buffer, 0, total);
  // The table's reserved bytes and all padding are zero on the wire.
  bytes.fill(0, 0, table + tableBytes);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, kind, true);
  view.setUint16(6, tensors.length, true);
  view.setBigUint64(8, BigInt(id), true);
  view.setUint32(16, metaBytes.length, true);
  view.setUint32(20, tableBytes, true);
  view.setBigUint64(24, BigInt(total), true);
  bytes.set(metaBytes, HEADER_BYTES);

  let at = table;
  let payload = table + tableBytes;
  tensors.forEach((tensor, i) => {
    view.setUint8(at, DTYPES.indexOf(tensor.dtype));
    view.setUint8(at + 1, tensor.dims.length);
    view.setUint16(at + 2, names[i].length, true);
    view.setBigUint64(at + 8, BigInt(tensor.bytes.byteLength), true);
    at += 16;
    for (const dim of tensor.dims) {
      view.setBigUint64(at, BigInt(dim), true);
      at += 8;
    }
    bytes.set(names[i], at);
    at += padded(names[i].length);
    bytes.set(tensor.bytes, payload);
    const end = payload + tensor.bytes.byteLength;
    payload += padded(tensor.bytes.byteLength);
    bytes.fill(0, end, payload);
  });
  return bytes;
}

/**
 * Reads the elements of a string tensor: each a little-endian length of 32 bits and UTF-8 bytes.
 * @param {Uint8Array} bytes
 * @returns {string[]}
 */
export function decodeStrings(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** @type {string[]} */
  const strings = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const length = view.getUint32(at, true);
    strings.push(text.decode(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return strings;
}

/**
 * The inverse of `decodeStrings`.
 * @param {readonly string[]} strings
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeStrings(strings) {
  const parts = strings.map((string) => utf8.encode(string));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return bytes;
}
