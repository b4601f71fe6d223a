/**
 * The plots of traffic, drawn by uPlot where set-up brought it.
 * @module
 */

import { byId, el, say, set } from "./dom.js";
import { Total } from "./picture.js";
import { TIERS } from "./rings.js";
import { clock, rate, time } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */

const MODULE = "/live/plots/uPlot.esm.js";
const STYLES = "/live/plots/uPlot.min.css";
const HEIGHT = 190;

/**
 * @typedef {object} Kind
 * @property {string} title
 * @property {{name: string, column: number, look: string}[]} lines
 * @property {(value: number|null) => string} words
 */

/** @type {Kind[]} */
const KINDS = [
  {
    title: "Requests a second",
    lines: [
      { name: "answered", column: Total.RATE, look: "" },
      { name: "failed", column: Total.FAILED, look: "second" },
      { name: "refused", column: Total.REFUSED, look: "third" },
    ],
    words: rate,
  },
  {
    title: "Latency",
    lines: [
      { name: "p50", column: Total.P50, look: "" },
      { name: "p95", column: Total.P95, look: "second" },
    ],
    words: time,
  },
];

/** The colours of the page at this moment. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return { ink: of("--soft"), line: of("--line"), "": of("--accent"), second: of("--second"), third: of("--bad"), fill: of("--accent-soft") };
}

/** Times from the first to the last one that is known, and at least a minute. @param {unknown} _ @param {number} low @param {number} high */
const span = (_, low, high) => [Math.min(low, high - 60), high];

/** uPlot formats numbers in the browser's language, which is none where the system has no locale: WebKit says `C` then. */
function speakable() {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en", configurable: true });
  }
}

/**
 * A tick of the time axis: with seconds where ticks are closer than minutes.
 * @param {number} seconds
 * @param {number[]} ticks
 */
function moment(seconds, ticks) {
  const whole = clock(seconds * 1_000);
  return ticks.length > 1 && ticks[1] - ticks[0] < 60 ? whole : whole.slice(0, 5);
}

/** What a plot shows, in words. @param {Kind} kind @param {(number|null)[][]} values @param {string} range */
function summary(kind, values, range) {
  const parts = kind.lines.map(({ name }, index) => {
    const known = values[index].filter((value) => value !== null);
    if (known.length === 0) return `${name}: nothing yet`;
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    // Not by a spread of arguments: there may be more than an engine takes.
    const top = known.reduce((most, value) => Math.max(most, value), 0);
    return `${name} ${kind.words(known[known.length - 1])} now, ${kind.words(mean)} on average, ${kind.words(top)} at most`;
  });
  return `In the last ${range}: ${parts.join("; ")}.`;
}

/**
 * @param {Kind} kind
 * @param {any} UPlot
 * @param {HTMLElement} canvas
 */
function plot(kind, UPlot, canvas) {
  const colour = colours();
  const axis = { stroke: colour.ink, grid: { stroke: colour.line, width: 1 }, ticks: { stroke: colour.line, width: 1 }, font: "12px system-ui, sans-serif" };
  const dashes = { "": undefined, second: [6, 4], third: [2, 3] };
  const series = kind.lines.map(({ name, look }) => ({
    label: name,
    stroke: colour[/** @type {""|"second"|"third"} */ (look)],
    width: 1.6,
    dash: dashes[/** @type {""|"second"|"third"} */ (look)],
    fill: look === "" ? colour.fill : undefined,
    points: { show: false },
    value: (/** @type {unknown} */ _, /** @type {number|null} */ value) => kind.words(value),
  }));
  const options = {
    width: Math.max(200, canvas.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    padding: [10, 26, 0, 0],
    scales: { x: { range: span }, y: { range: (/** @type {unknown} */ _, /** @type {number} */ low, /** @type {number|null} */ high) => [Math.min(0, low ?? 0), Math.max((high ?? 0) * 1.1, 1)] } },
    axes: [
      { ...axis, space: 84, size: 30, values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => moment(tick, ticks)) },
      { ...axis, size: 66, space: 34, values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => kind.words(tick)) },
    ],
    series: [{}, ...series],
  };
  return new UPlot(options, [[], ...kind.lines.map(() => [])], canvas);
}

/**
 * @returns {{render: (picture: Picture) => void, load: (there: boolean) => void}}
 */
export function plots() {
  let tier = 0;
  let asked = false;
  /** @type {Picture|null} */
  let shown = null;
  /** @type {any} */
  let UPlot = null;
  const views = KINDS.map((kind) => {
    const canvas = el("div", { class: "canvas", "aria-hidden": "true" });
    const sum = el("p", { class: "sum" });
    const key = el("div", { class: "key" }, ...kind.lines.map(({ name, look }) => el("span", { class: look || null }, name)));
    const root = el("figure", { class: "plot" }, el("figcaption", {}, el("h3", {}, kind.title), key), canvas, sum);
    return { kind, canvas, sum, root, drawn: /** @type {any} */ (null) };
  });
  byId("plots").append(...views.map((view) => view.root));

  const buttons = TIERS.map(({ name }, index) => {
    const button = el("button", { type: "button", "aria-pressed": index === tier ? "true" : "false" }, name);
    button.addEventListener("click", () => {
      tier = index;
      buttons.forEach((one, at) => set(one, { "aria-pressed": at === tier ? "true" : "false" }));
      if (shown) render(shown);
    });
    return button;
  });
  byId("range").append(...buttons);

  const anew = () => {
    for (const view of views) {
      view.drawn?.destroy();
      view.drawn = UPlot ? plot(view.kind, UPlot, view.canvas) : null;
    }
    if (shown) render(shown);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
  const sizes = new ResizeObserver(() => {
    for (const { drawn, canvas } of views) {
      if (drawn && canvas.clientWidth > 0 && drawn.width !== canvas.clientWidth) drawn.setSize({ width: canvas.clientWidth, height: HEIGHT });
    }
  });
  views.forEach((view) => sizes.observe(view.canvas));

  /** @param {boolean} there */
  const load = async (there) => {
    if (asked) return;
    asked = true;
    if (there) {
      try {
        speakable();
        document.head.append(el("link", { rel: "stylesheet", href: STYLES }));
        UPlot = (await import(MODULE)).default;
        anew();
        return;
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        say(byId("no-plots"), `The plots could not be drawn here: ${why}. The figures are all in the tables.`);
      }
    }
    byId("no-plots").hidden = false;
    document.body.classList.add("no-plots");
  };

  /** @param {Picture} picture */
  const render = (picture) => {
    shown = picture;
    for (const view of views) {
      const { times, values } = picture.total.read(tier, view.kind.lines.map((line) => line.column));
      say(view.sum, summary(view.kind, values, TIERS[tier].name));
      view.drawn?.setData([times, ...values]);
    }
  };
  return { render, load };
}
