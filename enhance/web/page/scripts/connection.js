// @ts-check
// What the bar says after the server did not answer for a while.

import { change, onChange, state } from "./store.js";

const SHOWN_MS = 4000;

/** How much of the run was done when the server stopped answering. @type {number | null} */
let doneBefore = null;

/** @type {"continues" | "restarted" | null} */
let comeback = null;

let timer = 0;

/** Returns how the run goes on after the server did not answer, for a short time. */
export const comebackOf = () => comeback;

/** Watches whether the server answers. */
export function watchConnection() {
  onChange(() => {
    if (state.isOffline) leave();
    else if (doneBefore !== null) comeBack(doneBefore);
  });
}

function jobProgress() {
  return state.tab === "batch" ? state.batch.progress?.share : state.progress?.done;
}

function leave() {
  clearTimeout(timer);
  comeback = null;
  doneBefore ??= jobProgress() ?? 0;
}

/** @param {number} before */
function comeBack(before) {
  if (comeback === null) show("continues");
  // A server that was started again does the run once more.
  if (comeback === "continues" && (jobProgress() ?? before) < before) show("restarted");
}

/** @param {"continues" | "restarted"} what */
function show(what) {
  comeback = what;
  clearTimeout(timer);
  timer = setTimeout(() => {
    comeback = null;
    doneBefore = null;
    change({});
  }, SHOWN_MS);
}
