/**
 * Whether the machine runs on a battery that is almost empty.
 * @module
 */

/**
 * What is known of the battery; null where the browser does not tell.
 * @typedef {{charging: boolean, level: number}|null} Battery
 */

/**
 * Tells of the battery now and whenever it changes.
 * @param {(battery: Battery) => void} tell
 */
export async function watchBattery(tell) {
  const ask = /** @type {any} */ (navigator).getBattery;
  if (typeof ask !== 'function') {
    tell(null);
    return;
  }
  try {
    const manager = await ask.call(navigator);
    const now = () => tell({ charging: manager.charging, level: manager.level });
    for (const event of ['chargingchange', 'levelchange']) manager.addEventListener(event, now);
    now();
  } catch {
    // The browser has the function and will not have it called here.
    tell(null);
  }
}
