/**
 * Small drawings of the last two minutes. They decorate a number that stands beside them.
 * @module
 */

import { set, svg } from "./dom.js";

/** Seconds that are drawn. */
export const SECONDS = 120;
const WIDTH = 120;
const HEIGHT = 26;

/**
 * @param {string} [look] another class for it
 * @returns {{root: SVGSVGElement, draw: (values: number[]) => void}}
 */
export function spark(look = "") {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const attributes = { class: `spark ${look}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  const root = svg("svg", attributes, area, line);
  return {
    root,
    draw(values) {
      const known = values.filter((value) => !Number.isNaN(value));
      const top = Math.max(...known, 0) || 1;
      let path = "";
      let shape = "";
      let from = -1;
      let last = 0;
      values.forEach((value, index) => {
        const x = WIDTH - ((values.length - 1 - index) * WIDTH) / (SECONDS - 1);
        if (Number.isNaN(value)) {
          if (from >= 0) shape += `L${last.toFixed(1)} ${HEIGHT}Z`;
          from = -1;
          return;
        }
        const y = HEIGHT - 1 - (value / top) * (HEIGHT - 3);
        path += `${from < 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
        shape += from < 0 ? `M${x.toFixed(1)} ${HEIGHT}L${x.toFixed(1)} ${y.toFixed(1)}` : `L${x.toFixed(1)} ${y.toFixed(1)}`;
        if (from < 0) from = x;
        last = x;
      });
      if (from >= 0) shape += `L${last.toFixed(1)} ${HEIGHT}Z`;
      set(line, { d: path || null });
      set(area, { d: shape || null });
    },
  };
}
