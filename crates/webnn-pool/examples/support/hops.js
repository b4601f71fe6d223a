/**
 * One end of the ways between two pages that `bench_hops` measures, and of the worker behind such a page. The host gives
 * orders over a WebSocket; nothing that is measured passes there, and nothing that is measured waits for a timer.
 * @module
 */

/**
 * A way to the other end. A message that arrives goes to `receive`.
 * @typedef {object} Way
 * @property {(buffer: ArrayBuffer) => unknown} send
 * @property {(buffer: ArrayBuffer) => unknown} receive
 */

/** How much may wait in a data channel before the sender pauses; Chromium refuses more than 16 MiB. */
const MOST_WAITING = 8 << 20;

/** The bytes of a message, which begin with their number, as our frames name theirs. @param {number} bytes */
function payload(bytes) {
  const all = new Uint8Array(bytes);
  for (let i = 4; i < bytes; i += 1) all[i] = (i * 31) % 251;
  new DataView(all.buffer).setUint32(0, bytes);
  return all.buffer;
}

/** @param {ArrayBuffer} buffer @param {number} bytes */
function check(buffer, bytes) {
  const [came, expected] = [new Uint8Array(buffer), new Uint8Array(payload(bytes))];
  const same = came.length === expected.length && came.every((byte, at) => byte === expected[at]);
  if (!same) throw new Error('other bytes came back');
}

/**
 * Sends a message there and back, `times` times in a row, and gives the milliseconds of all together.
 * @param {Way} way @param {number} bytes @param {number} times
 */
async function pingPong(way, bytes, times) {
  let buffer = payload(bytes);
  const started = performance.now();
  for (let i = 0; i < times; i += 1) {
    const answer = new Promise((resolve) => { way.receive = resolve; });
    way.send(buffer);
    buffer = await answer;
  }
  const elapsed = performance.now() - started;
  check(buffer, bytes);
  return elapsed;
}

/** @param {string} name @returns {Way} */
function broadcast(name) {
  const channel = new BroadcastChannel(name);
  /** @type {Way} */
  const way = { send: (buffer) => channel.postMessage(buffer), receive: () => {} };
  channel.onmessage = (event) => way.receive(event.data);
  return way;
}

/**
 * A data channel, over which messages go in chunks. Each is joined before it is passed on: a model runs on whole tensors.
 * @param {RTCPeerConnection} peer @param {RTCDataChannel} channel @param {number} most @returns {Way}
 */
function chunked(peer, channel, most) {
  channel.binaryType = 'arraybuffer';
  channel.bufferedAmountLowThreshold = MOST_WAITING / 2;
  const drained = () => new Promise((resolve) => {
    channel.addEventListener('bufferedamountlow', resolve, { once: true });
  });
  /** @type {Way} */
  const way = {
    receive: () => {},
    send: async (buffer) => {
      const chunk = Math.min(most, peer.sctp?.maxMessageSize || most);
      for (let at = 0; at < buffer.byteLength; at += chunk) {
        if (channel.bufferedAmount > MOST_WAITING) await drained();
        channel.send(new Uint8Array(buffer, at, Math.min(chunk, buffer.byteLength - at)));
      }
    },
  };
  let joined = new Uint8Array(0);
  let filled = 0;
  channel.onmessage = ({ data }) => {
    if (filled === 0) {
      const total = new DataView(data).getUint32(0);
      if (total === data.byteLength) {
        way.receive(data);
        return;
      }
      joined = new Uint8Array(total);
    }
    joined.set(new Uint8Array(data), filled);
    filled += data.byteLength;
    if (filled === joined.length) {
      filled = 0;
      way.receive(joined.buffer);
    }
  };
  return way;
}

/** In the worker: sends and echoes through the page, which hands everything on without a copy. */
function beInWorker() {
  /** @param {ArrayBuffer} buffer */
  const send = (buffer) => globalThis.postMessage(buffer, { transfer: [buffer] });
  /** @type {Way} */
  const way = { send, receive: send };
  globalThis.onmessage = async ({ data }) => {
    if (data instanceof ArrayBuffer) way.receive(data);
    else globalThis.postMessage({ elapsed: await pingPong(way, data.bytes, data.times) });
  };
}

/** In the page: does what the host orders. */
function beAPage() {
  /** @type {Record<string, Way>} */
  const ways = {};
  const worker = new Worker(import.meta.url, { type: 'module' });
  const host = new WebSocket(`ws://${location.host}/end`);
  /** @type {RTCPeerConnection | undefined} */
  let peer;

  /** @param {object} message */
  const tell = (message) => host.send(JSON.stringify(message));
  /** @param {unknown} what */
  const failed = (what) => tell({ type: 'failed', what: String(what) });
  /** @param {string} name @param {Way} way @param {boolean} echoes */
  const add = (name, way, echoes) => {
    if (echoes) way.receive = way.send;
    ways[name] = way;
  };

  /** Opens the data channels; the host carries the two descriptions, each with all of its candidates. */
  const openPeer = (/** @type {{channels: Record<string, number>, through_worker: string, echoes: boolean}} */ order) => {
    if (typeof RTCPeerConnection === 'undefined') {
      tell({ type: 'absent', what: 'RTCPeerConnection' });
      return;
    }
    const made = new RTCPeerConnection();
    peer = made;
    const opened = Object.entries(order.channels).map(([name, most], id) => {
      const channel = made.createDataChannel(name, { negotiated: true, id, ordered: true });
      const way = chunked(made, channel, most);
      if (name === order.through_worker) {
        way.receive = (buffer) => worker.postMessage(buffer, [buffer]);
        ways[name] = way;
      } else {
        add(name, way, order.echoes);
      }
      return new Promise((resolve) => { channel.onopen = resolve; });
    });
    const forWorker = () => ways[order.through_worker];
    worker.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) forWorker()?.send(data);
      else measured(data.elapsed);
    };
    worker.onerror = (event) => failed(event.message);
    made.onconnectionstatechange = () => {
      if (made.connectionState === 'failed') failed('no pair of candidates connects');
    };
    Promise.all(opened).then(() => route(made)).then(tell, failed);
  };

  /** @param {boolean} offers */
  const describe = async (offers) => {
    if (!peer) return;
    const made = peer;
    await made.setLocalDescription(await (offers ? made.createOffer() : made.createAnswer()));
    await new Promise((/** @type {(done?: unknown) => void} */ resolve) => {
      made.onicegatheringstatechange = () => made.iceGatheringState === 'complete' && resolve();
      if (made.iceGatheringState === 'complete') resolve();
    });
    tell({ type: 'described', sdp: made.localDescription?.sdp });
  };

  /** @param {number} elapsed */
  const measured = (elapsed) => tell({ type: 'measured', elapsed, hidden: document.hidden });

  host.onopen = () => tell({ type: 'hello', isolated: crossOriginIsolated });
  host.onmessage = async (event) => {
    const order = JSON.parse(event.data);
    try {
      if (order.type === 'broadcast') {
        add('broadcast', broadcast(order.name), order.echoes);
        tell({ type: 'ready' });
      } else if (order.type === 'peer') {
        openPeer(order);
        if (!order.echoes) await describe(true);
        else if (peer) tell({ type: 'ready' });
      } else if (order.type === 'description') {
        await peer?.setRemoteDescription({ type: order.kind, sdp: order.sdp });
        if (order.kind === 'offer') await describe(false);
      } else if (order.through_worker) {
        worker.postMessage({ bytes: order.bytes, times: order.times });
      } else {
        const way = ways[order.way];
        if (!way) throw new Error(`no way is called ${order.way}`);
        measured(await pingPong(way, order.bytes, order.times));
      }
    } catch (error) {
      failed(error);
    }
  };
  globalThis.onunhandledrejection = (event) => failed(event.reason);
}

/** What the connection runs over, for the report. @param {RTCPeerConnection} peer */
async function route(peer) {
  /** @type {any[]} */
  const stats = [...(await peer.getStats()).values()];
  const pair = stats.find((stat) => stat.type === 'candidate-pair' && stat.nominated && stat.state === 'succeeded');
  const [local, remote] = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => {
    const candidate = stats.find((stat) => stat.id === id);
    return candidate ? `${candidate.protocol} ${candidate.candidateType} ${candidate.address ?? '(hidden)'}` : 'unknown';
  });
  return { type: 'open', max_message_size: peer.sctp?.maxMessageSize ?? 0, route: `${local} to ${remote}` };
}

if (typeof document === 'undefined') beInWorker();
else beAPage();
