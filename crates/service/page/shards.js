/**
 * Models that run in shards, drawn: stages with what they compute on, and arrows with the bytes that went along them.
 * @module
 */

import { byId, el, keyed, say, set, svg } from "./dom.js";
import { backend, browser, bytes, count, rate, time } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./types.js").Flow} Flow */
/** @typedef {import("./types.js").Stage} Stage */

/** Stages that are drawn; the table has them all. */
const MOST = 24;
const [BOX, GAP, END, TALL] = [222, 104, 62, 86];

/** Where a stage's left side is. @param {number} index */
const left = (index) => END + GAP + index * (BOX + GAP);

/** @param {Stage} stage */
function place(stage) {
  return stage.browser ? `${browser(stage.browser)} w${stage.worker} · ${backend(stage.backend)}` : "has not run yet";
}

/** A text that is cut to what a box holds. @param {string} text @param {number} most */
function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** @param {Flow} flow */
function draw(flow) {
  const stages = flow.stages.slice(0, MOST);
  const width = left(stages.length) + END;
  const index = new Map(stages.map((stage, at) => [stage.stage, at]));
  const ends = flow.hops.map((hop) => ({
    bytes: hop.bytes,
    from: hop.from === null ? -1 : index.get(hop.from),
    to: hop.to === null ? stages.length : index.get(hop.to),
  }));
  // Arrows that pass a stage by go over it.
  const TOP = ends.some(({ from, to }) => from !== undefined && to !== undefined && to - from > 1) ? 36 : 6;
  const height = TOP + TALL + 26;
  const middle = TOP + TALL / 2;
  const sum = stages.map((stage) => `stage ${stage.stage}, ${stage.label}, in ${place(stage)}`).join("; ");
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Stages: ${sum}` });
  const text = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ words, look = "", anchor = "start") =>
    svg("text", { x, y, class: look, "text-anchor": anchor }, words);
  root.append(text(END / 2, middle + 4, "caller", "soft", "middle"), text(width - END / 2, middle + 4, "caller", "soft", "middle"));
  // How wide an arrow is tells how much went along it, beside the figure.
  const most = Math.max(1, ...flow.hops.map((hop) => hop.bytes));
  for (const { from, to, bytes: size } of ends) {
    if (from === undefined || to === undefined) continue;
    const start = from < 0 ? END : left(from) + BOX;
    const end = left(to);
    const wide = 1.5 + 3 * Math.sqrt(size / most);
    const over = to - from > 1;
    const line = over
      ? `M${start - 20} ${TOP}C${start} ${TOP - 34},${end - 8} ${TOP - 34},${end + 14} ${TOP - 7}`
      : `M${start + 4} ${middle}H${end - 12}`;
    const point = over
      ? `M${end + 9} ${TOP - 11}l10 9l1 -12z`
      : `M${end - 4} ${middle}l-12 -6v12z`;
    root.append(svg("path", { class: "arrow", d: line, "stroke-width": wide.toFixed(1) }), svg("path", { class: "point", d: point }));
    root.append(text((start + end) / 2, over ? TOP - 18 : middle - 9, bytes(size), "bytes", "middle"));
  }
  stages.forEach((stage, at) => {
    const x = left(at);
    const label = cut(stage.label || `stage ${stage.stage}`, 24);
    root.append(
      svg("rect", { class: "box", x, y: TOP, width: BOX, height: TALL, rx: 10 }),
      text(x + 12, TOP + 21, label),
      text(x + 12, TOP + 39, cut(place(stage), 30), "soft"),
      text(x + 12, TOP + 57, `${bytes(stage.weight_bytes)} of weights`, "soft"),
      text(x + 12, TOP + 75, stage.browser ? `${time(stage.run_ms)}, and ${time(stage.transfer_ms)} on the way` : "", "soft"),
      text(x + BOX / 2, TOP + TALL + 19, `shard ${stage.shard}`, "soft", "middle"),
    );
  });
  return root;
}

/** @param {Flow} flow */
function make(flow) {
  const sum = el("span", { class: "soft" });
  const drawing = el("div", { class: "drawing", role: "region", tabindex: 0, "aria-label": `Stages of ${flow.model}` });
  const rows = el("tbody");
  const heads = ["Stage", "Shard", "Computed in", "Weights", "Sent", "Computing", "On the way"];
  const table = el(
    "table",
    {},
    el("caption", { class: "quiet" }, `Stages of ${flow.model} in its latest run`),
    el("thead", {}, el("tr", {}, ...heads.map((head, at) => el("th", { scope: "col", class: at > 2 ? "number" : null }, head)))),
    rows,
  );
  const scroll = el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `Table of the stages of ${flow.model}` }, table);
  const details = el("details", {}, el("summary", {}, "As a table"), scroll);
  const root = el("div", { class: "flow" }, el("div", { class: "line" }, el("h3", {}, flow.model), sum), drawing, details);
  return { root, sum, drawing, rows, drawn: "" };
}

function makeRow() {
  const name = el("th", { scope: "row" });
  const cells = [0, 1, 2, 3, 4, 5].map((at) => el("td", { class: at > 1 ? "number" : null }));
  return { root: el("tr", {}, name, ...cells), name, cells };
}

/** @returns {(picture: Picture) => void} */
export function shards() {
  return ({ frame }) => {
    if (!frame) return;
    keyed(byId("shards"), frame.shards, (flow) => flow.model, make, (view, flow) => {
      const done = `${count(flow.answers)} steps, ${rate(flow.per_second)} a second`;
      const wrong = `${count(flow.errors)} failed, ${count(flow.recovered)} recovered`;
      const last = flow.last_ms === null ? "" : ` · the latest took ${time(flow.last_ms)}`;
      say(view.sum, `cut by ${flow.strategy} into ${flow.stages.length} · ${done} · ${wrong}${last}`);
      // A drawing is made anew only where it would look different.
      const now = JSON.stringify([flow.stages, flow.hops]);
      if (view.drawn !== now) {
        view.drawn = now;
        view.drawing.replaceChildren(draw(flow));
      }
      keyed(view.rows, flow.stages, (stage) => String(stage.stage), makeRow, (row, stage) => {
        const sent = flow.hops.find((hop) => hop.to === stage.stage);
        say(row.name, stage.label || `stage ${stage.stage}`);
        const values = [String(stage.shard), place(stage), bytes(stage.weight_bytes), bytes(sent?.bytes), time(stage.run_ms), time(stage.transfer_ms)];
        values.forEach((value, at) => say(row.cells[at], value));
      });
    });
    byId("shards-empty").hidden = frame.shards.length > 0;
    set(byId("shards-section"), { "data-flows": frame.shards.length });
  };
}
