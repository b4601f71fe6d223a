/**
 * What is known: the latest frame, what happened, and a day of figures. All of it is bounded.
 * @module
 */

import { Track, Tracks } from "./rings.js";

/** @typedef {import("./types.js").Frame} Frame */
/** @typedef {import("./types.js").News} News */
/** @typedef {import("./types.js").Snapshot} Snapshot */
/** @typedef {import("./types.js").Affinities} Affinities */

/** Events, recoveries and lost workers that are kept. */
const MOST_EVENTS = 200;
const MOST_INCIDENTS = 60;
const MOST_LOST = 12;
/** Models and workers of which figures are kept. */
const MOST_TRACKS = 96;
/** For how long a worker that was lost is shown. */
const LOST_MS = 120_000;

/** The figures of all models together, in their order in the track. */
export const Total = Object.freeze({ RATE: 0, FAILED: 1, REFUSED: 2, P50: 3, P95: 4, QUEUED: 5, RUNNING: 6, WORKERS: 7 });
/** Those of one model. */
export const OfModel = Object.freeze({ RATE: 0, FAILED: 1, P50: 2, P95: 3 });
/** Those of one worker. */
export const OfWorker = Object.freeze({ RATE: 0, MEMORY: 1 });

/**
 * A recovery from its beginning to its end.
 * @typedef {object} Incident
 * @property {number} seq
 * @property {number} worker
 * @property {string|null} browser
 * @property {string} fault
 * @property {number} began in milliseconds since 1970
 * @property {{rung: string, outcome: string, took_ms: number}[]} rungs
 * @property {string|null} end `null` while it goes on
 * @property {number|null} took_ms
 */

/**
 * A worker that is not there any more.
 * @typedef {object} Lost
 * @property {number} worker
 * @property {string} browser
 * @property {string} version
 * @property {string} cause
 * @property {number} at in milliseconds since 1970
 */

export class Picture {
  /** @type {Snapshot["about"]|null} */
  about = null;
  /** @type {Frame|null} */
  frame = null;
  /** @type {Affinities|null} */
  affinities = null;
  /** Newest first. @type {News[]} */
  events = [];
  /** Newest first. @type {Incident[]} */
  incidents = [];
  /** Newest first. @type {Lost[]} */
  lost = [];
  total = new Track(8);
  models = new Tracks(4, MOST_TRACKS);
  workers = new Tracks(2, MOST_TRACKS);
  #heard = -1;

  /** @param {Snapshot} snapshot */
  snapshot(snapshot) {
    // Another server, or the same one started anew, counts its events from the beginning.
    if (this.about && snapshot.about.boot !== this.about.boot) {
      this.#heard = -1;
      [this.events, this.incidents, this.lost, this.affinities] = [[], [], [], null];
    }
    this.about = snapshot.about;
    if (snapshot.affinities) this.affinities = snapshot.affinities;
    this.apply(snapshot.frame);
    snapshot.about.news.forEach((news) => this.hear(news));
  }

  /** @param {Frame} frame */
  apply(frame) {
    const before = this.frame;
    this.frame = frame;
    const now = frame.unix_ms / 1_000;
    const { traffic } = frame;
    this.total.push(now, [
      traffic.per_second,
      traffic.failed_per_second,
      traffic.refused_per_second,
      traffic.p50_ms,
      traffic.p95_ms,
      traffic.queued,
      traffic.running,
      frame.workers.length,
    ]);
    for (const model of frame.models) {
      const values = [model.per_second, model.failed_per_second, model.p50_ms, model.p95_ms];
      this.models.push(`${model.model} ${model.version}`, now, values);
    }
    for (const worker of frame.workers) {
      this.workers.push(String(worker.worker), now, [worker.per_second, worker.resident_bytes ?? worker.memory_bytes]);
    }
    // What it was is known only until it is gone.
    for (const worker of before?.workers ?? []) this.#versions.set(worker.worker, worker.version);
    while (this.#versions.size > MOST_TRACKS) {
      const first = this.#versions.keys().next().value;
      if (first === undefined) break;
      this.#versions.delete(first);
    }
    const there = new Set(frame.workers.map((worker) => worker.worker));
    this.lost = this.lost.filter((lost) => frame.unix_ms - lost.at < LOST_MS && !there.has(lost.worker));
  }

  /** @type {Map<number, string>} */
  #versions = new Map();

  /**
   * @param {News} news
   * @returns {boolean} whether it is new
   */
  hear(news) {
    if (news.seq <= this.#heard) return false;
    this.#heard = news.seq;
    if (news.event === "recovery_started" || news.event === "rung_tried" || news.event === "recovery_ended") {
      this.#incident(news);
      return true;
    }
    this.events.unshift(news);
    this.events.length = Math.min(this.events.length, MOST_EVENTS);
    if (news.event === "worker_left" && !["retired", "recycled", "relieved", "shutdown"].includes(news.cause)) {
      const version = this.#versions.get(news.worker) ?? this.frame?.workers.find((one) => one.worker === news.worker)?.version;
      this.lost.unshift({
        worker: news.worker,
        browser: news.of_browser ?? "",
        version: version ?? "",
        cause: news.cause,
        at: news.unix_ms,
      });
      this.lost.length = Math.min(this.lost.length, MOST_LOST);
    }
    return true;
  }

  /** @param {News} news */
  #incident(news) {
    let incident = this.incidents.find((one) => one.worker === news.worker && one.end === null);
    if (!incident) {
      // What began before the page could hear of it has no known beginning but this.
      incident = {
        seq: news.seq,
        worker: news.worker,
        browser: news.browser ?? news.of_browser ?? null,
        fault: news.fault,
        began: news.unix_ms - (news.event === "recovery_started" ? 0 : (news.took_ms ?? 0)),
        rungs: [],
        end: null,
        took_ms: null,
      };
      this.incidents.unshift(incident);
      this.incidents.length = Math.min(this.incidents.length, MOST_INCIDENTS);
    }
    incident.fault = news.fault;
    if (news.event === "rung_tried") {
      incident.rungs.push({ rung: news.rung, outcome: news.outcome, took_ms: news.took_ms });
      if (incident.rungs.length > 12) incident.rungs.shift();
    } else if (news.event === "recovery_ended") {
      incident.end = news.end;
      incident.took_ms = news.took_ms;
      if (news.end === "recovered") this.lost = this.lost.filter((lost) => lost.worker !== news.worker);
    }
  }
}
