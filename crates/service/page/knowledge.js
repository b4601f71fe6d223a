/**
 * What the pool has learnt: which browser suits which model, and whom it does not trust at the moment.
 * @module
 */

import { byId, chip, chipIs, el, keyed, say, set } from "./dom.js";
import { backend, browser, count, words } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./types.js").Breaker} Breaker */

/** A share as a bar with its figure. */
function meter() {
  const fill = el("span");
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, fill);
  const figure = el("span", { class: "figure" });
  const root = el("div", { class: "meter" }, bar, figure);
  /** @param {number} share @param {string} look */
  const show = (share, look) => {
    fill.style.width = `${(Math.max(0, Math.min(1, share)) * 100).toFixed(1)}%`;
    set(bar, { class: `bar ${look}` });
    say(figure, `${Math.round(share * 100)} %`);
  };
  return { root, show };
}

function makeAffinity() {
  const [type, place, source] = [el("th", { scope: "row" }), el("span"), el("span", { class: "soft" })];
  const runs = el("td", { class: "number" });
  const confidence = meter();
  const root = el("tr", {}, type, el("td", {}, place, " ", source), el("td", {}, confidence.root), runs);
  return { root, type, place, source, runs, confidence };
}

/** @returns {(picture: Picture) => void} */
export function affinities() {
  return ({ affinities: known }) => {
    const rows = known?.rows ?? [];
    // Types of which nothing was seen say nothing; but where that is so of all, there would be nothing to show.
    const seen = rows.filter((row) => row.samples > 0);
    keyed(byId("affinities"), seen, (row) => row.model_type, makeAffinity, (view, row) => {
      say(view.type, row.model_type === "unknown" ? "of no known type" : words(row.model_type));
      say(view.place, `${browser(row.browser)} · ${backend(row.backend)}`);
      say(view.source, row.observed ? "" : "assumed");
      view.confidence.show(row.confidence, row.observed ? "good" : "");
      say(view.runs, count(row.samples));
    });
    byId("affinities-scroll").hidden = seen.length === 0;
    byId("affinities-empty").hidden = seen.length > 0;
    if (known?.error) say(byId("affinities-note"), `not known: ${known.error}`);
    else say(byId("affinities-note"), known?.runs ? `from ${count(known.runs)} runs` : "");
  };
}

/** @type {Record<string, [string, string]>} */
const STATES = { closed: ["good", "closed"], half_open: ["warn", "half open"], open: ["bad", "open"] };

/** @param {Breaker} breaker */
function guards(breaker) {
  if (breaker.of === "worker") return `Worker w${breaker.worker}`;
  return `${breaker.model} in ${browser(breaker.browser)} on ${backend(breaker.backend)}`;
}

function makeBreaker() {
  const of = el("th", { scope: "row" });
  const mark = chip("good", "");
  const health = meter();
  return { root: el("tr", {}, of, el("td", {}, mark), el("td", {}, health.root)), of, mark, health };
}

/** @returns {(picture: Picture) => void} */
export function breakers() {
  return ({ frame }) => {
    if (!frame) return;
    const order = ["open", "half_open", "closed"];
    // The order among equals stays, so that rows do not jump about.
    const sorted = [...frame.breakers].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
    keyed(byId("breakers"), sorted, guards, makeBreaker, (view, breaker) => {
      const [look, text] = STATES[breaker.state] ?? ["plain", words(breaker.state)];
      say(view.of, guards(breaker));
      chipIs(view.mark, look, text);
      view.health.show(breaker.health, breaker.health > 0.8 ? "good" : breaker.health > 0.4 ? "warn" : "bad");
    });
    byId("breakers-scroll").hidden = sorted.length === 0;
    byId("breakers-empty").hidden = sorted.length > 0;
    const open = sorted.filter((breaker) => breaker.state !== "closed").length;
    const more = frame.left_out.breakers > 0 ? `, ${frame.left_out.breakers} more that are closed` : "";
    say(byId("breakers-note"), sorted.length === 0 ? "" : `${open} not closed of ${sorted.length}${more}`);
  };
}
