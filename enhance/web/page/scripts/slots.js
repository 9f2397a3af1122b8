// @ts-check
// The state of the page, its changes, and the requests that are under way, one for each purpose.
import { newState } from "./state.js";

/** @typedef {import("./state.js").State} State */

/** For other modules, the state is only to read: `change` changes it. */
export const state = newState();

const HIDDEN_MS = 200;

/** @type {Set<(state: State) => void>} */
const drawers = new Set();
/** @type {((state: State) => void)[]} */
const followers = [];
let isDrawn = true;

/**
 * Calls `draw` with the state once a frame after changes, and a first time. Returns a function that
 * ends this.
 * @param {(state: State) => void} draw
 */
export function onChange(draw) {
  drawers.add(draw);
  drawSafely(draw);
  return () => {
    drawers.delete(draw);
  };
}

/**
 * Calls `follow` at once after each change.
 * @param {(state: State) => void} follow
 */
export function afterChange(follow) {
  followers.push(follow);
}

/**
 * Calls `act` when what `wanted` returns has changed and then stayed the same for a while.
 * @param {(state: State) => any[]} wanted
 * @param {number} milliseconds
 * @param {() => void} act
 */
export function whenSettled(wanted, milliseconds, act) {
  let last = "";
  let timer = 0;
  afterChange(() => {
    const key = JSON.stringify(wanted(state));
    if (key === last) return;
    last = key;
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  });
}

/**
 * Changes fields of the state.
 * @param {Partial<State>} patch
 */
export function change(patch) {
  Object.assign(state, patch);
  for (const follow of followers) follow(state);
  if (!isDrawn) return;
  isDrawn = false;
  // A hidden page has no frames, but its title still shows the progress.
  if (document.hidden) setTimeout(drawAll, HIDDEN_MS);
  else requestAnimationFrame(drawAll);
}

/**
 * Shows what could not be done.
 * @param {string} text
 * @param {import("./state.js").Advice["solutions"]} [solutions]
 */
export function showProblem(text, solutions = []) {
  change({ problem: { text, solutions } });
}

function drawAll() {
  if (isDrawn) return;
  isDrawn = true;
  for (const draw of drawers) drawSafely(draw);
}

/** An error of one part must not keep the others from being drawn. @param {(state: State) => void} draw */
function drawSafely(draw) {
  try {
    draw(state);
  } catch (error) {
    reportError(error);
  }
}

document.addEventListener("visibilitychange", drawAll);

/** @type {Record<string, { key: string, control: AbortController, answer: Promise<any> }>} */
const slots = {};

/**
 * Does the work of a slot, and returns what it returns; null if it fails or ends early. A request
 * with the same key that is under way goes on, and its answer is that of this call too; any other
 * one of the slot ends, and its answer is never seen. `work` gets the signal for its calls, and
 * `failed` its error. The slot is free before `failed` is called.
 * @template Answer
 * @param {string} name
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<Answer>} work
 * @param {(error: Error) => void | Promise<void>} failed
 * @returns {Promise<Answer | null>}
 */
export function inSlot(name, key, work, failed) {
  if (slots[name]?.key === key) return slots[name].answer;
  stop(name);
  const control = new AbortController();
  const slot = { key, control, answer: Promise.resolve(null) };
  slots[name] = slot;
  change({ requests: { ...state.requests, [name]: key } });
  slot.answer = answerOf(name, control.signal, work, failed);
  return slot.answer;
}

/**
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {(signal: AbortSignal) => Promise<any>} work
 * @param {(error: Error) => void | Promise<void>} failed
 */
async function answerOf(name, signal, work, failed) {
  try {
    const answer = await work(signal);
    if (signal.aborted) return null;
    release(name);
    return answer;
  } catch (error) {
    if (signal.aborted) return null;
    release(name);
    await failed(/** @type {Error} */ (error));
    return null;
  }
}

/** @param {string} name */
function release(name) {
  delete slots[name];
  const { [name]: _, ...requests } = state.requests;
  change({ requests });
}

/**
 * Ends the requests of these slots.
 * @param {string[]} names
 */
export function stop(...names) {
  for (const name of names) {
    if (!(name in slots)) continue;
    slots[name].control.abort();
    release(name);
  }
}
