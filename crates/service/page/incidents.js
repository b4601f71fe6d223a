/**
 * What had to be revived and how that went, and what else happened.
 * @module
 */

import { byId, chip, chipIs, el, keyed, say, set } from "./dom.js";
import { browser, clock, sentence, time, words } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./picture.js").Incident} Incident */

/** How the attempt of a rung looks. @param {string} outcome */
function tone(outcome) {
  if (outcome === "worked") return "good";
  return outcome === "overtaken" || outcome === "unavailable" ? "calm" : "bad";
}

/** @param {Incident} incident @param {number} now */
function ending(incident, now) {
  if (incident.end === null) return { tone: "warn", text: `going on for ${time(Math.max(0, now - incident.began))}` };
  const took = incident.took_ms === null ? "" : ` in ${time(incident.took_ms)}`;
  if (incident.end === "recovered") return { tone: "good", text: `recovered${took}` };
  return { tone: incident.end === "closed" ? "calm" : "bad", text: `${words(incident.end)}${took}` };
}

/** @param {Incident} incident */
function make(incident) {
  const what = el("strong");
  const fault = el("span");
  const end = chip("warn", "");
  const track = el("ol", { class: "track", "aria-label": "What was tried" });
  const when = el("time", { datetime: new Date(incident.began).toISOString() }, clock(incident.began));
  const root = el("li", { "data-incident": incident.seq }, el("div", { class: "line" }, when, what, fault, end), track);
  return { root, what, fault, end, track };
}

/** How far back the lanes go. */
const LANES_MS = 600_000;
const MOST_LANES = 8;

/** @param {{name: string}} lane */
function makeLane(lane) {
  const way = el("div", { class: "way" });
  return { root: el("div", { class: "lane" }, el("span", {}, lane.name), way), way };
}

/**
 * One lane for each browser that had to be revived in the last ten minutes, with when it was not there.
 * @param {Picture} picture
 * @param {number} now
 */
function lanes(picture, now) {
  const recent = picture.incidents.filter((one) => one.end === null || one.began + (one.took_ms ?? 0) > now - LANES_MS);
  const names = [...new Set(recent.map((one) => browser(one.browser)))].slice(0, MOST_LANES);
  const root = byId("lanes");
  root.hidden = names.length === 0;
  keyed(root, [...names.map((name) => ({ name })), { name: "" }], ({ name }) => name, makeLane, (view, { name }) => {
    if (name === "") {
      set(view.root, { class: "lane scale" });
      if (!view.way.firstChild) view.way.append(el("span", {}, "10 min ago"), el("span", {}, "now"));
      return;
    }
    const its = recent.filter((one) => browser(one.browser) === name);
    keyed(view.way, its, (one) => String(one.seq), () => ({ root: el("span") }), ({ root: bar }, one) => {
      const end = one.end === null ? now : one.began + (one.took_ms ?? 0);
      const at = (/** @type {number} */ ms) => Math.max(0, Math.min(1, 1 - (now - ms) / LANES_MS)) * 100;
      bar.style.left = `${at(one.began).toFixed(2)}%`;
      bar.style.width = `${(at(end) - at(one.began)).toFixed(2)}%`;
      set(bar, { class: one.end === null ? "open" : null });
    });
  });
}

/** @returns {(picture: Picture) => void} */
export function incidents() {
  return (picture) => {
    const now = picture.frame?.unix_ms ?? 0;
    keyed(byId("incidents"), picture.incidents, (one) => String(one.seq), make, (view, incident) => {
      say(view.what, `${browser(incident.browser)} w${incident.worker}`);
      say(view.fault, words(incident.fault));
      const { tone: look, text } = ending(incident, now);
      chipIs(view.end, look, text);
      set(view.root, { "data-end": incident.end ?? "going" });
      view.track.hidden = incident.rungs.length === 0;
      const rungs = incident.rungs.map((rung, index) => ({ rung, index }));
      keyed(view.track, rungs, ({ index }) => String(index), makeRung, (one, { rung }) => {
        const how = rung.outcome === "worked" ? "" : ` ${words(rung.outcome)}`;
        chipIs(one.mark, tone(rung.outcome), `${rung.rung}${how} · ${time(rung.took_ms)}`);
      });
    });
    lanes(picture, now);
    byId("incidents-empty").hidden = picture.incidents.length > 0;
    const done = picture.incidents.filter((one) => one.end === "recovered").length;
    const going = picture.incidents.filter((one) => one.end === null).length;
    say(byId("recovery-note"), picture.incidents.length === 0 ? "" : `${done} recovered${going > 0 ? `, ${going} going on` : ""}`);

    keyed(byId("events"), picture.events, (news) => String(news.seq), makeEvent, () => {});
    byId("events-empty").hidden = picture.events.length > 0;
  };
}

function makeRung() {
  const mark = chip("calm", "");
  return { root: el("li", {}, mark), mark };
}

/** @type {Record<string, string>} */
const SIGNS = { good: "✓", warn: "▲", bad: "✕", calm: "◌", plain: "·" };

/** @param {import("./types.js").News} news */
function makeEvent(news) {
  const { tone: look, text } = sentence(news);
  const sign = el("span", { class: `sign ${look}`, "aria-hidden": "true" }, SIGNS[look] ?? "·");
  const when = el("time", { datetime: new Date(news.unix_ms).toISOString() }, clock(news.unix_ms));
  return { root: el("li", { "data-event": news.event }, when, el("span", {}, sign, text)) };
}
