/**
 * The live page of `webnn-pool serve`: what the feed says, shown.
 * @module
 */

import { announcer } from "./announce.js";
import { byId, chipIs, el, say, set } from "./dom.js";
import { follow } from "./feed.js";
import { incidents } from "./incidents.js";
import { affinities, breakers } from "./knowledge.js";
import { models } from "./models.js";
import { Picture } from "./picture.js";
import { plots } from "./plots.js";
import { shards } from "./shards.js";
import { tiles } from "./tiles.js";
import { ask, known } from "./token.js";
import { clock, time } from "./words.js";
import { workers } from "./workers.js";

/** @typedef {import("./types.js").Frame} Frame */

const FEED = "/v2/events";
/** What is older than this is not called current. */
const STALE_MS = 4_000;

const picture = new Picture();
const drawings = plots();
const announce = announcer();
const views = [tiles(), workers(), models(), incidents(), affinities(), breakers(), shards(), drawings.render];

/** How the connection is, and since when nothing came. */
const link = { state: "connecting", why: "", heard: 0, bye: "" };

/** @type {Record<string, [string, string]>} */
const STATES = {
  ready: ["good", "ready"],
  degraded: ["warn", "degraded"],
  down: ["bad", "no worker"],
  draining: ["calm", "shutting down"],
};

function header() {
  const { frame } = picture;
  const age = link.heard > 0 ? performance.now() - link.heard : 0;
  const stale = link.state !== "open" || age > STALE_MS;
  const isStale = document.body.classList.contains("stale");
  if (frame && stale !== isStale) {
    document.body.classList.toggle("stale", stale);
    announce.say(stale ? "The connection to the server is lost. What is shown is old." : "Connected.");
  }
  set(document.body, { "data-link": link.state });
  if (link.state === "unauthorized") chipIs(byId("state"), "calm", "token needed");
  else if (link.bye === "shutdown" && stale) chipIs(byId("state"), "calm", "server has shut down");
  else if (frame && stale) chipIs(byId("state"), "bad", "connection lost");
  else if (!frame) chipIs(byId("state"), link.why ? "bad" : "calm", link.why ? "not connected" : "connecting");
  else chipIs(byId("state"), ...(STATES[frame.state] ?? ["plain", frame.state]));
  if (frame && stale) say(byId("fresh"), `what is shown is from ${clock(frame.unix_ms)}, ${time(age)} ago${link.why ? `; ${link.why}` : ""}`);
  else say(byId("fresh"), frame ? `at ${clock(frame.unix_ms)}` : link.why);
}

/** What is wrong. @param {Frame} frame */
function banner(frame) {
  const element = byId("banner");
  const text = frame.reasons.join("\n");
  element.hidden = frame.reasons.length === 0;
  set(element, { class: frame.state === "down" ? "banner bad" : "banner" });
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(el("ul", {}, ...frame.reasons.map((reason) => el("li", {}, reason))));
}

let asked = false;

/** Shows what is known, once for all that came since the last time; where nobody sees the page, not at all. */
function show() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const { frame, about } = picture;
    header();
    if (!frame) return;
    banner(frame);
    views.forEach((view) => view(picture));
    set(document.body, { "data-at": frame.unix_ms });
    say(byId("version"), about?.server.version ?? "");
    const { watchers, skipped, lost } = frame.feed;
    const spared = skipped + lost > 0 ? `; ${skipped} messages were skipped and ${lost} events not kept` : "";
    say(byId("feed-note"), `${watchers} ${watchers === 1 ? "looks" : "look"} at this page${spared}`);
  });
}

/** @param {import("./feed.js").ServerEvent} event */
function take(event) {
  link.heard = performance.now();
  link.bye = "";
  const told = JSON.parse(event.data);
  switch (event.event) {
    case "snapshot":
      picture.snapshot(told);
      drawings.load(told.about.plots);
      break;
    case "frame":
      picture.apply(told);
      break;
    case "news":
      if (picture.hear(told)) announce.news(told);
      break;
    case "affinities":
      picture.affinities = told;
      break;
    case "bye":
      link.bye = told.reason;
      break;
    default:
      // What a newer server says beside that is nothing that this page could show.
      break;
  }
  show();
}

// Addresses that need a token cannot be followed by a link.
byId("links").hidden = known() !== "";
setInterval(header, 1_000);
follow(FEED, known(), {
  event: take,
  link: (state, why) => {
    [link.state, link.why] = [state, why];
    header();
  },
  token: (wrong) => {
    byId("links").hidden = true;
    return ask(wrong);
  },
});
