// Put before a script of the page by the tests' proxy, with its own ROLE: obeys what a test asks of this thread. Each deed
// is told of, over a request that this thread waits for, in the moment before it is done.
{
  const held = [];
  const devices = [];
  let lying = false;
  let failing = '';

  const deeds = {
    reload: () => location.reload(),
    loop: () => {
      for (;;);
    },
    oom: () => {
      // Down to small pieces, so that nothing is left for anybody else. Bounded, so that the machine survives where nothing
      // bounds the process.
      for (const kib of [65536, 1024, 64, 4]) {
        try {
          for (let i = 0; i < 2048 && i * kib < 4 * 1024 * 1024; i += 1) held.push(new Uint8Array(kib * 1024).fill(1));
        } catch {
          // That is what was wanted: what is held stays held.
        }
      }
    },
    lie: () => {
      lying = true;
    },
    // Runs fail from now on, with a failure of the page or of the caller.
    fail: () => {
      failing = 'internal';
    },
    blame: () => {
      failing = 'invalid_input';
    },
    honest: () => {
      lying = false;
      failing = '';
    },
    lose: () => {
      for (const lose of devices.splice(0)) lose();
    },
  };

  const tell = (n) => {
    const request = new XMLHttpRequest();
    request.open('GET', `/chaos/done/${n}`, false);
    request.send();
  };

  const obey = async (token, label) => {
    for (;;) {
      try {
        const answer = await fetch(`/chaos/poll/ROLE/${token}/${label}`, { cache: 'no-store' });
        const { n, deed } = await answer.json();
        if (!deeds[deed]) continue;
        tell(n);
        deeds[deed]();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  };

  if ('ROLE' === 'page') {
    const Native = globalThis.WebSocket;
    let obeying = false;
    globalThis.WebSocket = class extends Native {
      constructor(url, protocols) {
        super(url, protocols);
        this.addEventListener('message', ({ data }) => {
          if (obeying || typeof data !== 'string') return;
          const { type, worker } = JSON.parse(data);
          if (type !== 'welcome') return;
          obeying = true;
          void obey(new URLSearchParams(location.hash.slice(1)).get('token'), worker);
        });
      }
    };
  } else {
    globalThis.addEventListener('message', ({ data }) => void obey(data.token, '-'), { once: true });

    // Every number of a result is altered; names, types and shapes stay.
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      if (failing && ArrayBuffer.isView(data)) {
        const failed = failure(new DataView(data.buffer, data.byteOffset, data.byteLength));
        if (failed) return send.call(this, failed);
      }
      if (lying && ArrayBuffer.isView(data)) alter(new DataView(data.buffer, data.byteOffset, data.byteLength));
      return send.call(this, data);
    };
    const padded = (n) => Math.ceil(n / 8) * 8;
    // The frame that says that a run failed, in the place of its result.
    const failure = (view) => {
      const [RESULT, ERROR] = [0x82, 0xff];
      if (view.getUint16(4, true) !== RESULT) return undefined;
      const meta = new TextEncoder().encode(JSON.stringify({ kind: failing, message: 'made to fail by a test' }));
      const frame = new Uint8Array(32 + padded(meta.length));
      const head = new DataView(frame.buffer);
      head.setUint32(0, view.getUint32(0, true), true);
      head.setUint16(4, ERROR, true);
      head.setBigUint64(8, view.getBigUint64(8, true), true);
      head.setUint32(16, meta.length, true);
      head.setBigUint64(24, BigInt(frame.length), true);
      frame.set(meta, 32);
      return frame;
    };
    const alter = (view) => {
      const [RESULT, FLOAT32] = [0x82, 1];
      if (view.getUint16(4, true) !== RESULT) return;
      let at = 32 + padded(view.getUint32(16, true));
      let payload = at + view.getUint32(20, true);
      for (let left = view.getUint16(6, true); left > 0; left -= 1) {
        const bytes = Number(view.getBigUint64(at + 8, true));
        if (view.getUint8(at) === FLOAT32) {
          for (let i = payload; i < payload + bytes; i += 4) view.setFloat32(i, view.getFloat32(i, true) * 1.05 + 0.01, true);
        }
        at += 16 + 8 * view.getUint8(at + 1) + padded(view.getUint16(at + 2, true));
        payload += padded(bytes);
      }
    };

    // A device that is destroyed here says that it was lost, as one does whose driver was reset.
    if (globalThis.GPUAdapter) {
      const request = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (...given) {
        const device = await request.apply(this, given);
        let taken = false;
        const lost = device.lost.then((info) => (taken ? { reason: 'unknown', message: 'taken away by a test' } : info));
        Object.defineProperty(device, 'lost', { value: lost });
        devices.push(() => {
          taken = true;
          device.destroy();
        });
        return device;
      };
    }
  }
}
