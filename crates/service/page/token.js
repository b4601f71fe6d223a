/**
 * The token that the server may want. It is kept for this tab alone.
 * @module
 */

import { byId, say } from "./dom.js";

const KEY = "webnn-pool-token";

/** The token that was used last in this tab; empty for none. */
export function known() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/**
 * Asks for one.
 * @param {boolean} wrong whether the one that there was did not do
 * @returns {Promise<string>}
 */
export function ask(wrong) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("token-dialog"));
  const form = /** @type {HTMLFormElement} */ (byId("token-form"));
  const input = /** @type {HTMLInputElement} */ (byId("token"));
  if (wrong) {
    forget();
    say(byId("token-why"), "The server does not know this token, or does not any more. Another one may do.");
  }
  input.value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    // Without a token there is nothing to be seen, so it stays until one is given.
    dialog.oncancel = (event) => event.preventDefault();
    form.onsubmit = () => {
      const token = input.value.trim();
      input.value = "";
      try {
        sessionStorage.setItem(KEY, token);
      } catch {
        // Where nothing may be stored, the token lasts until the page is loaded anew.
      }
      resolve(token);
    };
  });
}

function forget() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was stored then.
  }
}
