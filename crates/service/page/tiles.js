/**
 * The figures at the top.
 * @module
 */

import { byId, el, say, set } from "./dom.js";
import { Total } from "./picture.js";
import { spark, SECONDS } from "./spark.js";
import { count, rate, time } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./types.js").Frame} Frame */

/**
 * @typedef {object} Tile
 * @property {string} name
 * @property {number} column what is drawn
 * @property {string} look
 * @property {(frame: Frame) => string} big
 * @property {(frame: Frame) => string} small
 * @property {(frame: Frame) => boolean} bad
 */

/** @type {Tile[]} */
const TILES = [
  {
    name: "Requests/s",
    column: Total.RATE,
    look: "",
    big: ({ traffic }) => rate(traffic.per_second),
    small: ({ traffic }) => `${count(traffic.answered)} answered`,
    bad: () => false,
  },
  {
    name: "Latency p50",
    column: Total.P50,
    look: "",
    big: ({ traffic }) => time(traffic.p50_ms),
    small: ({ traffic }) => (traffic.p50_ms === undefined ? "no request in 5 s" : "half are faster"),
    bad: () => false,
  },
  {
    name: "Latency p95",
    column: Total.P95,
    look: "",
    big: ({ traffic }) => time(traffic.p95_ms),
    small: ({ traffic }) => (traffic.p95_ms === undefined ? "no request in 5 s" : "one in 20 is slower"),
    bad: () => false,
  },
  {
    name: "Queue",
    column: Total.QUEUED,
    look: "warm",
    big: ({ traffic }) => count(traffic.queued),
    small: ({ traffic }) => `${count(traffic.running)} running`,
    bad: () => false,
  },
  {
    name: "Workers",
    column: Total.WORKERS,
    look: "",
    big: ({ workers }) => count(workers.filter((worker) => worker.stance === "serving").length),
    small: ({ workers, recoveries }) => {
      const others = workers.filter((worker) => worker.stance !== "serving").length;
      if (recoveries.length > 0) return `${recoveries.length} being revived`;
      return others > 0 ? `${others} more not serving` : "all serve";
    },
    bad: ({ workers }) => workers.length === 0,
  },
  {
    name: "Failed/s",
    column: Total.FAILED,
    look: "warm",
    big: ({ traffic }) => rate(traffic.failed_per_second),
    small: ({ traffic }) => `${count(traffic.failed)} failed · ${count(traffic.refused)} refused`,
    bad: ({ traffic }) => traffic.failed_per_second > 0,
  },
];

/** @returns {(picture: Picture) => void} */
export function tiles() {
  const views = TILES.map((tile) => {
    const big = el("dd", { class: "big" });
    const small = el("dd", { class: "small" });
    const drawn = spark(tile.look);
    const root = el("div", { class: "tile" }, el("dt", {}, tile.name), big, small, el("dd", { class: "draw" }, drawn.root));
    return { tile, big, small, drawn, root };
  });
  byId("tiles").append(...views.map((view) => view.root));
  return (picture) => {
    const { frame } = picture;
    if (!frame) return;
    for (const { tile, big, small, drawn, root } of views) {
      say(big, tile.big(frame));
      say(small, tile.small(frame));
      set(root, { class: tile.bad(frame) ? "tile bad" : "tile" });
      drawn.draw(picture.total.tail(tile.column, SECONDS));
    }
  };
}
