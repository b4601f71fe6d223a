/**
 * The page of a browser that the pool launched: the token stands in its address, and it works from the beginning.
 * @module
 */

import { Page } from './worker-page.js';

/** @param {string} text */
function state(text) {
  const element = document.getElementById('state');
  if (element) element.textContent = text;
}

/**
 * @param {string} backend
 * @param {import('./protocol.js').Verdict} found
 */
function verdict(backend, found) {
  const id = `engine-${backend}`;
  const item = document.getElementById(id) ?? document.createElement('li');
  item.id = id;
  item.textContent = `${backend}: ${found.verdict}${found.reason ? ` (${found.reason})` : ''}`;
  document.getElementById('engines')?.append(item);
}

const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
new Page(token, { state, verdict }).connect();
