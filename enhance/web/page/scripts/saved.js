// @ts-check
// What a reload of the page keeps, and what the next visit keeps.
import { resumeBatch } from "./batch.js";
import { choicesFrom } from "./links.js";
import { percentOf } from "./progress.js";
import { follow, refreshResult } from "./runs.js";
import { requestNow } from "./requests.js";
import { afterChange, change, showProblem, state } from "./slots.js";
import { CHOICES, currentFile, currentPath, newState, withoutReduce } from "./state.js";
import { word } from "./words.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").ChosenFile} ChosenFile */

const OF_TAB = "enhance-page";
const OF_VISITS = "enhance-choices";
const SAVE_MS = 300;

let timer = 0;
afterChange(() => {
  timer ||= setTimeout(save, SAVE_MS);
});

/** Saves the state now. */
export function save() {
  clearTimeout(timer);
  timer = 0;
  const changed = withoutReduce(state.changed);
  const choices = Object.fromEntries(CHOICES.map((name) => [name, state[name]]));
  try {
    localStorage.setItem(OF_VISITS, JSON.stringify({ ...choices, changed }));
    sessionStorage.setItem(OF_TAB, JSON.stringify({ ...choices, ...ofTab() }));
  } catch {
    // Without storage, a reload shows a new page.
  }
}

/** Returns what a reload of the tab keeps in addition to the choices. */
function ofTab() {
  const path = currentPath(state) ?? "";
  const { file, previous, tab, region, run, batch } = state;
  return {
    tab,
    region,
    run,
    file: withoutBlob(file),
    previous: withoutBlob(previous),
    plans: pick(state.plans, path),
    results: pick(state.results, file?.path ?? ""),
    batch: { ...batch, progress: null, files: batch.files.map(withoutBlob) },
  };
}

/** @param {ChosenFile | null} file */
function withoutBlob(file) {
  return file && { ...file, blob: null };
}

/** @param {Record<string, any>} values @param {string} name */
function pick(values, name) {
  return name in values ? { [name]: values[name] } : {};
}

/** Restores the state of the tab after a reload, and the choices of the last visit otherwise. */
export function restore() {
  change(/** @type {Partial<State>} */ (withKnown(read(() => localStorage, OF_VISITS))));
  change(choicesFrom(new URLSearchParams(location.search), state));
  if (wasReloaded()) restoreTab(read(() => sessionStorage, OF_TAB));
}

/**
 * Reads what was saved. A browser that blocks storage throws at the first look at it.
 * @param {() => Storage} storage
 * @param {string} name
 * @returns {Record<string, any>}
 */
function read(storage, name) {
  try {
    return JSON.parse(storage().getItem(name) ?? "{}");
  } catch {
    return {};
  }
}

/** A tab that was duplicated has the state of the other one, so it starts without a photo. */
function wasReloaded() {
  const [navigation] = performance.getEntriesByType("navigation");
  const { type } = /** @type {PerformanceNavigationTiming} */ (navigation);
  return type === "reload" || type === "back_forward";
}

/**
 * Returns the choices, with the usual values of those that an earlier version did not have.
 * @param {Record<string, any>} saved
 */
function withKnown(saved) {
  const usual = newState();
  /** @type {Record<string, any>} */
  const choices = {};
  for (const name of CHOICES) {
    const value = saved[name] ?? usual[name];
    choices[name] = typeof value === "object" ? { ...usual[name], ...value } : value;
  }
  return choices;
}

/** @param {Record<string, any>} saved */
function restoreTab(saved) {
  if (!saved.tab) return;
  const { tab, region, results, batch, plans } = saved;
  change(/** @type {Partial<State>} */ (withKnown(saved)));
  const isSent = Boolean(saved.file?.path);
  const file = isSent ? saved.file : saved.previous;
  // Texts of the plan can be in another language than before.
  for (const plan of Object.values(plans)) plan.for = "";
  change({ tab, region, results, plans, file, batch: batchFrom(batch) });
  if (saved.file && !isSent) showProblem(endedText(saved.file));
  if (file && saved.run) follow(file, saved.run);
  else if (file && results[file.path]) refreshResult(file, results[file.path]);
  resumeBatch();
  if (currentFile(state)) requestNow();
}

/**
 * Returns that a reload has ended an upload, or why it had ended before.
 * @param {ChosenFile} file
 */
function endedText({ upload }) {
  const percent = percentOf(upload?.share ?? 0);
  return upload?.error ?? word("upload_ended", { percent });
}

/** @param {import("./state.js").Batch} batch */
function batchFrom(batch) {
  const files = batch.files.map((file) => {
    if (file.path) return file;
    return { ...file, upload: { share: 0, seconds: null, error: endedText(file) } };
  });
  return { ...batch, files };
}
