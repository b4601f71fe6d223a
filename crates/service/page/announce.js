/**
 * What a screen reader is told: that a worker was lost or is back, and how the connection is. Not more than once in five
 * seconds.
 * @module
 */

import { byId, say } from "./dom.js";
import { browser, words } from "./words.js";

const EVERY_MS = 5_000;
/** Sentences that wait. */
const MOST = 3;

/** @returns {{say: (sentence: string) => void, news: (news: import("./types.js").News) => void}} */
export function announcer() {
  /** @type {string[]} */
  const waiting = [];
  let busy = false;
  const next = () => {
    const sentences = waiting.splice(0);
    busy = sentences.length > 0;
    if (!busy) return;
    say(byId("announce"), sentences.join(" "));
    setTimeout(next, EVERY_MS);
  };
  const tell = (/** @type {string} */ sentence) => {
    // The oldest has the least to do with what is so now.
    if (waiting.push(sentence) > MOST) waiting.shift();
    if (!busy) next();
  };
  return {
    say: tell,
    news: (news) => {
      const who = browser(news.browser ?? news.of_browser);
      if (news.event === "worker_left") tell(`${who}, worker ${news.worker}, left: ${words(news.cause)}.`);
      else if (news.event === "recovery_ended") {
        tell(news.end === "recovered" ? `${who} recovered.` : `${who} did not recover: ${words(news.end)}.`);
      }
    },
  };
}
