// @ts-check
// Calls of the server's endpoints. A request without an answer is sent again until there is one.
import { language, word } from "./words.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5000;
const OFFLINE_MS = 3000;
/** A stream has a message every 15 s, even if nothing happens. */
const SILENT_MS = 40_000;
const KEY_NAME = "enhance-key";
/** The server, or a proxy in front of it, is not there at the moment. */
const AWAY = [502, 503, 504];

/** A server that was started again does not know an earlier call, but it knows the next one. */
const MOST_REFUSED_STREAMS = 3;

/** The server has refused a request. The message is a sentence for the user. */
export class Refused extends Error {
  /**
   * @param {string} message
   * @param {string} [key] of the error, as far as the server has sent it
   */
  constructor(message, key = "") {
    super(message);
    this.key = key;
  }
}

/**
 * Returns why a request failed, for the user. Another error than a refusal is one of the page itself,
 * whose message is not for the user.
 * @param {Error} error
 */
export function reasonOf(error) {
  if (error instanceof Refused) return error.message;
  console.error(error);
  return word("request_failed");
}

/** The connection was lost, so the request has no answer. */
class Lost extends Error {}

/**
 * @typedef {{
 *   signal?: AbortSignal,
 *   onUpdate?: (outputs: any[]) => void,
 * }} CallOptions
 */

let keyOfPage = "";

function createKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns a random name for a job. */
export const createName = createKey;

/**
 * Returns the key that owns everything which is made in this browser. If storage is blocked, it is
 * that of the open page.
 */
function ownerKey() {
  try {
    const stored = localStorage.getItem(KEY_NAME);
    if (/^[0-9a-f]{32}$/.test(stored ?? "")) return /** @type {string} */ (stored);
    keyOfPage ||= createKey();
    localStorage.setItem(KEY_NAME, keyOfPage);
  } catch {
    keyOfPage ||= createKey();
  }
  return keyOfPage;
}

function headers() {
  return { "x-enhance-key": ownerKey(), "accept-language": language };
}

let answered = 0;
let reportOffline = (/** @type {boolean} */ isOffline) => {};

/**
 * Calls the listener when the server stops answering, and when it answers again.
 * @param {(isOffline: boolean) => void} listener
 */
export function onOffline(listener) {
  reportOffline = listener;
}

function noteAnswer() {
  answered = performance.now();
  reportOffline(false);
}

/** Reports the server as away unless it answers in time. Returns a function that ends the watch. */
function watchForAnswer() {
  const began = performance.now();
  const timer = setTimeout(() => answered < began && reportOffline(true), OFFLINE_MS);
  return () => clearTimeout(timer);
}

/**
 * Waits until the time has passed, or the browser is online again.
 * @param {number} milliseconds
 * @param {AbortSignal | undefined} signal
 */
export function wait(milliseconds, signal) {
  return new Promise((done, failed) => {
    const end = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", finish);
      signal?.removeEventListener("abort", stop);
    };
    const finish = () => {
      end();
      done(undefined);
    };
    const stop = () => {
      end();
      failed(signal?.reason);
    };
    const timer = setTimeout(finish, milliseconds);
    globalThis.addEventListener?.("online", finish);
    signal?.addEventListener("abort", stop);
  });
}

/**
 * Repeats a request until it has an answer.
 * @template Answer
 * @param {(signal: AbortSignal | undefined) => Promise<Answer>} request
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<Answer>}
 */
async function untilAnswered(request, signal) {
  let pause = FIRST_WAIT_MS;
  let lostAt = -1;
  let endWatch = () => {};
  try {
    for (;;) {
      try {
        return await request(signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Lost)) throw error;
      }
      // An answer to another request ends the watch that an earlier loss began.
      if (answered > lostAt) {
        endWatch();
        endWatch = watchForAnswer();
        lostAt = performance.now();
        pause = FIRST_WAIT_MS;
      }
      await wait(pause, signal);
      pause = Math.min(pause + 1000, LONGEST_WAIT_MS);
    }
  } finally {
    endWatch();
  }
}

/** @param {Response} response */
async function checked(response) {
  if (AWAY.includes(response.status)) throw new Lost();
  noteAnswer();
  if (response.ok) return response;
  throw new Refused(sentenceOf(await response.text()));
}

/** @param {string} body */
function sentenceOf(body) {
  try {
    const { error, detail } = JSON.parse(body);
    const sentence = error ?? detail;
    if (typeof sentence === "string") return sentence;
  } catch {
    // The answer of something in front of the server is no JSON.
  }
  return word("request_failed");
}

/**
 * @param {string} address
 * @param {RequestInit} options
 */
async function request(address, options) {
  const endWatch = watchForAnswer();
  try {
    return await fetch(address, options);
  } catch {
    throw new Lost();
  } finally {
    endWatch();
  }
}

/**
 * Yields the messages of an event stream.
 * @param {Response} response
 */
async function* readEvents(response) {
  const reader = /** @type {ReadableStream} */ (response.body)
    .pipeThrough(new TextDecoderStream())
    .getReader();
  let text = "";
  for (;;) {
    const part = await readPart(reader);
    if (part.done) return;
    noteAnswer();
    text += part.value;
    const messages = text.split("\n\n");
    text = /** @type {string} */ (messages.pop());
    for (const message of messages) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/s.exec(message) ?? [];
      if (event) yield { event, data: JSON.parse(data) };
    }
  }
}

/** @param {ReadableStreamDefaultReader<string>} reader */
async function readPart(reader) {
  const timer = setTimeout(() => reader.cancel(), SILENT_MS);
  try {
    return await reader.read();
  } catch {
    throw new Lost();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The event streams of a call: how many were refused one after the other, and how many ended with
 * an error that had no message.
 * @typedef {{ refused: number, unexplained: number }} Streams
 */

/** @param {any} output */
function isUnchanged(output) {
  return output?.__type__ === "update";
}

/**
 * Calls an endpoint with named arguments, and returns its outputs. `onUpdate` gets the outputs of a
 * call that has several answers; an output that has not changed is the one before.
 * @param {string} name
 * @param {Record<string, any>} given
 * @param {CallOptions} [options]
 * @returns {Promise<any[]>}
 */
export function call(name, given, options = {}) {
  const streams = { refused: 0, unexplained: 0 };
  return untilAnswered(() => callOnce(name, given, options, streams), options.signal);
}

/**
 * @param {string} name
 * @param {Record<string, any>} given
 * @param {CallOptions} options
 * @param {Streams} streams
 */
async function callOnce(name, given, { signal, onUpdate }, streams) {
  const address = `gradio_api/call/v2/${name}`;
  const begun = await checked(
    await request(address, {
      method: "POST",
      headers: { ...headers(), "content-type": "application/json" },
      body: JSON.stringify(given),
      signal,
    }),
  );
  const { event_id: event } = await begun.json().catch(lose);
  const stream = await request(`${address}/${event}`, { headers: headers(), signal });
  await checkStream(stream, streams);
  return await readOutputs(stream, signal, onUpdate, streams);
}

/**
 * @param {Response} stream
 * @param {Streams} streams
 */
async function checkStream(stream, streams) {
  if (stream.ok) {
    streams.refused = 0;
    return;
  }
  if (!AWAY.includes(stream.status)) streams.refused += 1;
  if (streams.refused < MOST_REFUSED_STREAMS) throw new Lost();
  await checked(stream);
}

/** @returns {never} */
function lose() {
  throw new Lost();
}

/**
 * @param {Response} stream
 * @param {AbortSignal | undefined} signal
 * @param {((outputs: any[]) => void) | undefined} onUpdate
 * @param {Streams} streams
 */
async function readOutputs(stream, signal, onUpdate, streams) {
  /** @type {any[]} */
  let last = [];
  for await (const { event, data } of readEvents(stream)) {
    signal?.throwIfAborted();
    if (event === "error") throw errorFrom(data, streams);
    if (event === "heartbeat") continue;
    const isNews = data.some((/** @type {any} */ output) => !isUnchanged(output));
    last = data.map((/** @type {any} */ output, /** @type {number} */ place) =>
      isUnchanged(output) ? last[place] : output,
    );
    if (event === "complete") return last;
    if (isNews) onUpdate?.(last);
  }
  throw new Lost();
}

const SIGNS = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/**
 * Returns the text of a message, which the server has escaped because Gradio shows it as HTML.
 * @param {string} message
 */
function plainText(message) {
  return message.replace(/&(?:lt|gt|amp);/g, (sign) => SIGNS[sign]);
}

/**
 * Returns the error of a call. A call that ends because the server is shut down is sent again: its
 * error says so, or it has no message because Gradio has ended the call. So is a call whose events
 * a slow connection did not read in time.
 * @param {{ error?: string, title?: string } | null} data
 * @param {Streams} streams
 */
function errorFrom(data, streams) {
  if (data?.title === "stopped" || data?.title === "job_unread") return new Lost();
  if (data?.error) return new Refused(plainText(data.error), data.title);
  streams.unexplained += 1;
  if (streams.unexplained < MOST_REFUSED_STREAMS) return new Lost();
  return new Refused(word("request_failed"));
}

/**
 * Sends a file, and returns its path on the server. `onShare` gets the share that was sent.
 * @param {File} file
 * @param {{ signal?: AbortSignal, onShare?: (share: number) => void }} [options]
 * @returns {Promise<string>}
 */
export function upload(file, { signal, onShare } = {}) {
  return untilAnswered(() => uploadOnce(file, signal, onShare), signal);
}

/**
 * @param {File} file
 * @param {AbortSignal | undefined} signal
 * @param {((share: number) => void) | undefined} onShare
 * @returns {Promise<string>}
 */
async function uploadOnce(file, signal, onShare) {
  // A file that was changed or deleted after it was chosen would look like a lost connection.
  await file
    .slice(0, 1)
    .arrayBuffer()
    .catch(() => {
      throw new Refused(word("file_unreadable", { name: file.name }));
    });
  const form = new FormData();
  form.append("files", file);
  const { status, body } = await sendForm(form, signal, onShare);
  if (status === 0 || AWAY.includes(status)) throw new Lost();
  noteAnswer();
  if (status !== 200) throw new Refused(sentenceOf(body));
  return pathIn(body);
}

/** @param {string} body the answer to an upload */
function pathIn(body) {
  try {
    return JSON.parse(body)[0];
  } catch {
    // The answer of something in front of the server is no JSON.
    throw new Refused(word("request_failed"));
  }
}

/**
 * Sends an upload. The status is 0 without an answer.
 * @param {FormData} form
 * @param {AbortSignal | undefined} signal
 * @param {((share: number) => void) | undefined} onShare
 * @returns {Promise<{ status: number, body: string }>}
 */
function sendForm(form, signal, onShare) {
  return new Promise((done, failed) => {
    const sent = new XMLHttpRequest(); // `fetch` has no progress of uploads.
    const stop = () => sent.abort();
    signal?.addEventListener("abort", stop);
    sent.upload.onprogress = ({ loaded, total }) => onShare?.(loaded / total);
    sent.onabort = () => failed(signal?.reason);
    sent.onloadend = () => {
      signal?.removeEventListener("abort", stop);
      done({ status: sent.status, body: sent.responseText });
    };
    sent.open("POST", "gradio_api/upload");
    for (const [name, value] of Object.entries(headers())) sent.setRequestHeader(name, value);
    sent.send(form);
  });
}

/**
 * Returns a file of the server as the value of a parameter.
 * @param {string} path
 * @param {string} name
 */
export function fileOf(path, name) {
  return { path, orig_name: name, meta: { _type: "gradio.FileData" } };
}

/**
 * Returns the address of a file of the server, relative to the page.
 * @param {string} path
 */
export function addressOf(path) {
  return `gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
}

/**
 * Returns whether the server still has an uploaded file.
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
export function isStored(path, signal) {
  return untilAnswered(async () => {
    const response = await request(addressOf(path), { method: "HEAD", headers: headers(), signal });
    if (AWAY.includes(response.status)) throw new Lost();
    return response.ok;
  }, signal);
}
