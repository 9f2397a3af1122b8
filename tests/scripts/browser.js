// What the scripts of the page need of a browser, with a server that the test controls.
import { mock } from "node:test";

const words = new Proxy({}, { get: (_, key) => String(key) });

export const stored = { local: new Map(), session: new Map() };

function storage(map) {
  return {
    getItem: (name) => map.get(name) ?? null,
    setItem: (name, value) => map.set(name, value),
  };
}

export const frames = [];
const body = { dataset: {}, classList: { toggle() {} } };
Object.assign(globalThis, {
  enhanceLanguage: "en",
  enhanceData: {
    texts: { en: words },
    languages: { en: "EN", "zh-CN": "中文" },
    papers: { "10x15": [15.2, 10.2] },
    formats: { png: { name: "PNG" }, webp: { name: "WebP" } },
    ranges: { strength: { low: 0, high: 1, neutral: 1 }, reduce: { low: 1, high: 4 } },
    grades: { very: 22, good: 15, fair: 7, free: -Infinity },
    presets: ["auto", "gentle", "fast"],
    backgrounds: ["white", "black"],
    metadata: ["keep", "none"],
    limits: { pixels: 1e8, bytes: 1000, files: 200, batch_bytes: 2e9 },
    commas: { en: "," },
    pixelUnits: { en: { megapixels: 1e6 } },
  },
  document: { hidden: false, body, addEventListener() {} },
  gradio_config: { app_id: 1 },
  location: new URL("http://localhost/"),
  localStorage: storage(stored.local),
  sessionStorage: storage(stored.session),
  requestAnimationFrame: (draw) => setTimeout(draw, 0),
  reportError: (error) => {
    throw error;
  },
});

mock.timers.enable({ apis: ["setTimeout"] });

/** Lets all answers arrive that are there. */
export async function settle() {
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
}

/** Lets time pass, and answers arrive. */
export async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

/** A call of an endpoint that the server has not answered. */
class Call {
  constructor(name, given, number) {
    Object.assign(this, { name, given, number, isAborted: false });
    this.stream = new TransformStream();
    this.writer = this.stream.writable.getWriter();
    this.writer.closed.catch(() => {});
  }

  #send(event, data) {
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    this.writer.write(new TextEncoder().encode(text)).catch(() => {});
    return settle();
  }

  update(...outputs) {
    return this.#send("generating", outputs);
  }

  answer(...outputs) {
    return this.#send("complete", outputs);
  }

  refuse(error, title = "unexpected") {
    return this.#send("error", { error, title });
  }

  /** Ends the stream before the answer. */
  lose() {
    this.writer.close().catch(() => {});
    return settle();
  }
}

export const server = {
  isAway: false,
  id: 1,
  /** How many of the next event streams are refused, as by a server that was started again. */
  refusedStreams: 0,
  /** @type {Set<string>} */
  missing: new Set(),
  /** @type {Call[]} */
  calls: [],
  /** @type {any[]} */
  uploads: [],

  /** Returns the calls of an endpoint that still wait for an answer. */
  open(name) {
    return this.calls.filter((call) => call.name === name && !call.isAborted);
  },

  /** Returns the last call of an endpoint. */
  last(name) {
    return this.calls.filter((call) => call.name === name).at(-1);
  },

  clear() {
    const empty = { missing: new Set(), calls: [], uploads: [] };
    Object.assign(this, { isAway: false, refusedStreams: 0, ...empty });
  },
};

globalThis.fetch = async (address, { method = "GET", body, signal } = {}) => {
  if (server.isAway) throw new TypeError("no connection");
  signal?.throwIfAborted();
  if (address === "gradio_api/app_id") return Response.json({ app_id: server.id });
  if (method === "HEAD") {
    const path = decodeURIComponent(address.split("file=")[1]);
    return new Response(null, { status: server.missing.has(path) ? 404 : 200 });
  }
  const [, name, event] = /call\/v2\/(\w+)(?:\/(\d+))?/.exec(address);
  if (method === "POST") {
    const call = new Call(name, JSON.parse(body), server.calls.length);
    server.calls.push(call);
    return Response.json({ event_id: String(call.number) });
  }
  if (server.refusedStreams > 0) {
    server.refusedStreams -= 1;
    return Response.json({ detail: "Not found" }, { status: 404 });
  }
  const call = server.calls[Number(event)];
  signal?.addEventListener("abort", () => {
    call.isAborted = true;
    call.writer.abort(signal.reason).catch(() => {});
  });
  return new Response(call.stream.readable);
};

globalThis.XMLHttpRequest = class {
  upload = {};
  status = 0;
  responseText = "";

  open() {}
  setRequestHeader() {}

  send(form) {
    this.file = form.get("files");
    server.uploads.push(this);
  }

  abort() {
    this.isAborted = true;
    this.onabort();
  }

  share(share) {
    this.upload.onprogress({ loaded: share, total: 1 });
  }

  answer(path) {
    Object.assign(this, { status: 200, responseText: JSON.stringify([path]) });
    this.onloadend();
    return settle();
  }

  refuse(status, error) {
    Object.assign(this, { status, responseText: JSON.stringify({ error }) });
    this.onloadend();
    return settle();
  }

  lose() {
    this.onloadend();
    return settle();
  }
};
