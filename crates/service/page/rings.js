/**
 * A day of figures in a few kilobytes: each second of the last ten minutes, every ten seconds of the last two hours, every
 * minute of the last day. What is older is forgotten.
 * @module
 */

/** Seconds of one entry, and how many entries there are. */
export const TIERS = Object.freeze([
  Object.freeze({ name: "10 min", step: 1, length: 600 }),
  Object.freeze({ name: "2 h", step: 10, length: 720 }),
  Object.freeze({ name: "24 h", step: 60, length: 1_440 }),
]);

/** The entries of one tier. */
class Tier {
  #step;
  #length;
  #times;
  #columns;
  #next = 0;
  #count = 0;
  /** The entry that is being filled: its time, and for each column the sum and the number of values. */
  #open = -1;
  #sums;
  #counts;

  /**
   * @param {number} step
   * @param {number} length
   * @param {number} columns
   */
  constructor(step, length, columns) {
    this.#step = step;
    this.#length = length;
    this.#times = new Float64Array(length);
    this.#columns = Array.from({ length: columns }, () => new Float32Array(length));
    this.#sums = new Float64Array(columns);
    this.#counts = new Uint32Array(columns);
  }

  /**
   * @param {number} time seconds
   * @param {readonly (number|null|undefined)[]} values
   */
  push(time, values) {
    const slot = Math.floor(time / this.#step) * this.#step;
    if (slot > this.#open) {
      this.#open = slot;
      this.#sums.fill(0);
      this.#counts.fill(0);
      this.#times[this.#next] = slot;
      this.#next = (this.#next + 1) % this.#length;
      this.#count = Math.min(this.#count + 1, this.#length);
    } else if (slot < this.#open) return; // A clock that was set back: wait until it has caught up.
    const at = (this.#next + this.#length - 1) % this.#length;
    this.#columns.forEach((column, index) => {
      const value = values[index];
      if (typeof value === "number" && Number.isFinite(value)) {
        this.#sums[index] += value;
        this.#counts[index] += 1;
      }
      column[at] = this.#counts[index] > 0 ? this.#sums[index] / this.#counts[index] : NaN;
    });
  }

  /**
   * The entries that are not older than the tier is long, oldest first; where nothing was told for a while, a gap.
   * @param {readonly number[]} columns which ones
   * @returns {{times: number[], values: (number|null)[][]}}
   */
  read(columns) {
    /** @type {number[]} */
    const times = [];
    /** @type {(number|null)[][]} */
    const values = columns.map(() => []);
    const oldest = this.#open - this.#step * this.#length;
    for (let n = 0; n < this.#count; n += 1) {
      const at = (this.#next - this.#count + n + this.#length) % this.#length;
      const time = this.#times[at];
      if (time <= oldest) continue;
      const before = times[times.length - 1];
      if (before !== undefined && time - before > 3 * this.#step) {
        times.push(before + this.#step);
        values.forEach((column) => column.push(null));
      }
      times.push(time);
      columns.forEach((column, index) => {
        const value = this.#columns[column][at];
        values[index].push(Number.isNaN(value) ? null : value);
      });
    }
    return { times, values };
  }

  /**
   * The last entries of one column, without their times.
   * @param {number} column
   * @param {number} most
   * @returns {number[]} `NaN` where nothing is known
   */
  tail(column, most) {
    const count = Math.min(most, this.#count);
    return Array.from({ length: count }, (_, n) => this.#columns[column][(this.#next - count + n + this.#length) % this.#length]);
  }
}

/** Several figures of one thing, over a day. */
export class Track {
  #tiers;

  /** @param {number} columns how many figures */
  constructor(columns) {
    this.#tiers = TIERS.map(({ step, length }) => new Tier(step, length, columns));
  }

  /**
   * @param {number} time seconds since 1970
   * @param {readonly (number|null|undefined)[]} values one for each figure; what is no number is not known
   */
  push(time, values) {
    this.#tiers.forEach((tier) => tier.push(time, values));
  }

  /**
   * @param {number} tier
   * @param {readonly number[]} columns
   */
  read(tier, columns) {
    return this.#tiers[tier].read(columns);
  }

  /**
   * @param {number} column
   * @param {number} most
   */
  tail(column, most) {
    return this.#tiers[0].tail(column, most);
  }
}

/** Tracks by name, of which those are kept that were told of last. */
export class Tracks {
  #columns;
  #most;
  /** @type {Map<string, Track>} */
  #all = new Map();

  /**
   * @param {number} columns
   * @param {number} most
   */
  constructor(columns, most) {
    this.#columns = columns;
    this.#most = most;
  }

  /**
   * @param {string} name
   * @param {number} time
   * @param {readonly (number|null|undefined)[]} values
   */
  push(name, time, values) {
    const track = this.#all.get(name) ?? new Track(this.#columns);
    // The map is in the order of what was told, so the first one has been silent for longest.
    this.#all.delete(name);
    this.#all.set(name, track);
    track.push(time, values);
    if (this.#all.size > this.#most) {
      const first = this.#all.keys().next().value;
      if (first !== undefined) this.#all.delete(first);
    }
  }

  /** @param {string} name */
  get(name) {
    return this.#all.get(name);
  }

  get size() {
    return this.#all.size;
  }
}
