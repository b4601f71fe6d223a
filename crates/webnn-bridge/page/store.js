/**
 * Model files by content hash: kept in the browser's own cache, so that a refresh does not download again, and checked
 * against the hash each time, so that a damaged copy is never computed with.
 * @module
 */

import { PageError } from './protocol.js';

const CACHE = 'webnn-pool-models';

/** Bytes that the cache may hold; what was put in first leaves first. */
const CACHE_BYTES = 4 * 2 ** 30;

/**
 * @param {ArrayBuffer} bytes
 * @returns {Promise<string>} the SHA-256 in hexadecimal
 */
async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @returns {Promise<Cache|null>} null where the browser offers no cache to this page */
async function openCache() {
  try {
    return await caches.open(CACHE);
  } catch {
    return null;
  }
}

/**
 * @typedef {object} Fetched
 * @property {Uint8Array} bytes
 * @property {'cache'|'network'} source
 */

/**
 * Fetches one file of a model.
 * @param {string} base  the host's origin
 * @param {string} token
 * @param {{hash: string}} file
 * @param {AbortSignal} signal  fires when nobody wants the file any more
 * @returns {Promise<Fetched>}
 */
export async function fetchModelFile(base, token, { hash }, signal) {
  const url = `${base}/models/${hash}`;
  const cache = await openCache();
  const kept = await cache?.match(url);
  if (kept) {
    const bytes = await kept.arrayBuffer();
    if ((await sha256(bytes)) === hash) return { bytes: new Uint8Array(bytes), source: 'cache' };
    await cache?.delete(url);
  }
  let response;
  try {
    response = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, cache: 'no-store', signal });
  } catch (error) {
    throw new PageError('model_fetch', `could not fetch model file ${hash}: ${error}`);
  }
  if (!response.ok) throw new PageError('model_fetch', `the host answered ${response.status} for model file ${hash}`);
  let bytes;
  try {
    bytes = await response.arrayBuffer();
  } catch (error) {
    // Memory that cannot be had is a failure of its own.
    if (error instanceof RangeError) throw error;
    throw new PageError('model_fetch', `model file ${hash} broke off: ${error}`);
  }
  const got = await sha256(bytes);
  if (got !== hash) throw new PageError('model_fetch', `model file has hash ${got}, not ${hash}`);
  if (cache) await keep(cache, url, bytes);
  return { bytes: new Uint8Array(bytes), source: 'network' };
}

/**
 * Puts a file into the cache, and takes the oldest ones out until it fits.
 * @param {Cache} cache
 * @param {string} url
 * @param {ArrayBuffer} bytes
 */
async function keep(cache, url, bytes) {
  try {
    const kept = await Promise.all(
      (await cache.keys()).map(async (request) => ({ request, size: Number((await cache.match(request))?.headers.get('Content-Length')) })),
    );
    let sum = kept.reduce((total, { size }) => total + size, bytes.byteLength);
    for (const { request, size } of kept) {
      if (sum <= CACHE_BYTES) break;
      await cache.delete(request);
      sum -= size;
    }
    if (sum <= CACHE_BYTES) await cache.put(url, new Response(bytes, { headers: { 'Content-Length': String(bytes.byteLength) } }));
  } catch {
    // A cache that is full or broken costs a download after the next refresh and nothing else.
  }
}
