/**
 * Numbers and names as people read them.
 * @module
 */

/** @typedef {import("./types.js").News} News */

const NONE = "–";

/** @param {number|null|undefined} rate a second */
export function rate(rate) {
  if (rate === null || rate === undefined) return NONE;
  if (rate >= 100) return Math.round(rate).toLocaleString("en");
  return rate === 0 ? "0" : rate.toFixed(rate < 10 ? 1 : 0);
}

/** @param {number|null|undefined} ms */
export function time(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return NONE;
  if (ms === 0) return "0 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** @param {number|null|undefined} bytes */
export function bytes(bytes) {
  if (bytes === null || bytes === undefined) return NONE;
  if (bytes < 1_000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1_000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** @param {number} number */
export function count(number) {
  return number.toLocaleString("en");
}

/** @param {number} unixMs */
export function clock(unixMs) {
  return new Date(unixMs).toLocaleTimeString("en-GB");
}

/** @type {Record<string, string>} */
const BROWSERS = {
  chromium: "Chromium",
  "chromium-headless-shell": "Headless shell",
  chrome: "Chrome",
  edge: "Edge",
  firefox: "Firefox",
  safari: "Safari",
  webkitgtk: "WebKitGTK",
};

/** @param {string|null|undefined} name */
export function browser(name) {
  return name ? (BROWSERS[name] ?? name) : "a browser";
}

/** @type {Record<string, string>} */
const BACKENDS = { webnn: "WebNN", webgpu: "WebGPU", wasm: "WASM" };

/** @param {string|null|undefined} name */
export function backend(name) {
  return name ? (BACKENDS[name] ?? name) : NONE;
}

/** A name of the wire as words: `page_hung` as `page hung`. @param {string|null|undefined} name */
export function words(name) {
  return (name ?? "").replaceAll("_", " ");
}

/** What an event is, in a sentence, and how it looks. @param {News} news @returns {{tone: string, text: string}} */
export function sentence(news) {
  const who = `${browser(news.browser ?? news.of_browser)} (w${news.worker})`;
  switch (news.event) {
    case "worker_joined":
      return { tone: "good", text: `${who} ${news.browser_version ?? ""} joined` };
    case "worker_left":
      return { tone: CALM_CAUSES.has(news.cause) ? "calm" : "bad", text: `${who} left: ${words(news.cause)}` };
    case "worker_replaced":
      return { tone: "good", text: `${who} was replaced by w${news.by}: ${words(news.cause)}, in ${time(news.took_ms)}` };
    case "recycle_due":
      return { tone: "calm", text: `${who} is to be replaced: ${words(news.cause)}` };
    case "session_load_failed": {
      const place = news.place ?? {};
      const where = `${browser(place.browser)} (w${place.worker}) on ${backend(place.backend)}`;
      return { tone: "bad", text: `A model could not be loaded in ${where}: ${words(news.kind) || "no answer"}` };
    }
    case "breaker_moved": {
      const of = news.guarded ?? {};
      const what = of.kind === "arm" ? `${browser(of.browser)} on ${backend(of.backend)}` : `w${of.worker}`;
      const tone = news.to === "closed" ? "good" : news.to === "open" ? "bad" : "warn";
      return { tone, text: `The breaker of ${what} is ${words(news.to)}: ${words(news.cause)}` };
    }
    case "pressure_changed": {
      const tone = news.to === "normal" ? "good" : news.to === "critical" ? "bad" : "warn";
      return { tone, text: `Memory pressure went from ${words(news.from)} to ${words(news.to)}: ${words(news.source)}` };
    }
    case "memory_relieved":
      return { tone: "warn", text: `${who}: ${words(news.relief)}, because memory is ${words(news.level)}` };
    case "checked":
      return { tone: news.outcome === "undecided" ? "warn" : "bad", text: `${who} was checked: ${words(news.outcome)}` };
    case "repaired":
      return { tone: "warn", text: `Repaired: ${words(news.kind)}` };
    case "history_stalled":
      return { tone: "bad", text: `The history cannot be written: ${news.detail}` };
    case "history_resumed":
      return { tone: "good", text: `The history is written again, after ${time(news.stalled_ms)}` };
    case "orphan":
      return { tone: "warn", text: `${words(news.operation)} failed: ${news.detail}` };
    default:
      return { tone: "plain", text: words(news.event) };
  }
}

/** Causes for which a worker leaves in an orderly fashion. */
const CALM_CAUSES = new Set(["retired", "recycled", "relieved", "shutdown"]);
