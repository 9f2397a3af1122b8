// @ts-check
// The recent results of this browser: their list, and what can be done with each.

import { addressOf, call, createName, reasonOf, Refused } from "./client.js";
import { resumeBatch } from "./batch.js";
import { saveFile } from "./files.js";
import { follow } from "./runs.js";
import { newBatch, settingsOf } from "./state.js";
import {
  applyValues,
  cancel,
  cancelBatch,
  change,
  clearFiles,
  inSlot,
  loadPresets,
  startOver,
  state,
} from "./store.js";
import { word } from "./words.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").RecentEntry} RecentEntry */

/** Loads the list. An answer to an earlier request is never seen, because it could be older. */
export async function loadRecent() {
  const load = async (/** @type {AbortSignal} */ signal) => {
    const [recent] = await call("runs", {}, { signal });
    change({ recent });
  };
  await inSlot("recent", createName(), load, explainRecent);
}

/**
 * Returns the entries of the list without those that were removed since it was loaded.
 * @param {State} state
 */
export function listed(state) {
  return state.recent?.filter((entry) => !state.forgotten.includes(entry.id));
}

/** @param {Error} error */
async function explainRecent(error) {
  // Another tab has removed the entry.
  const isGone = error instanceof Refused && error.key === "api_not_your_run";
  change({ recentProblem: isGone ? word("history_gone") : reasonOf(error) });
  if (isGone) await loadRecent();
}

/**
 * Returns an entry with its stored photos as uploads.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<RecentEntry>}
 */
async function readEntry(id, signal) {
  const [[entry]] = await call("runs", { id }, { signal });
  return entry;
}

/**
 * Puts the photo, the settings and the result of an entry on the stage, or the files of a batch into
 * the tab Batch. A job that has not ended goes on.
 * @param {string} id
 */
export async function openRecent(id) {
  const open = async (/** @type {AbortSignal} */ signal) => {
    const entry = await readEntry(id, signal);
    // Before there is a photo, the page has no presets.
    if (state.presets.length === 0) await loadPresets();
    applyValues({ ...choicesOf(entry), ...entry.encoding });
    if (entry.files) openBatch(entry, entry.files);
    else openPhoto(entry);
    change({ isRecentOpen: false });
  };
  change({ recentProblem: null });
  await inSlot("recentOpen", id, open, explainRecent);
}

/** @param {RecentEntry} entry */
function openPhoto(entry) {
  const file = chosenFile(entry);
  startOver();
  change({ tab: "single", file });
  if (["failed", "cancelled", "gone"].includes(entry.state)) return;
  follow(file, {
    name: entry.id,
    file: /** @type {string} */ (file.path),
    settings: settingsOf(state),
    encoding: state.encoding,
    plan: null,
  });
}

/**
 * @param {RecentEntry} entry
 * @param {RecentEntry[]} entries those of its files
 */
function openBatch(entry, entries) {
  const files = entries.map(chosenFile);
  change({ tab: "batch" });
  clearFiles();
  const job = {
    name: entry.id,
    files: files.map(({ id, path, name }, place) => {
      // A file that was refused before the run is not among them, but it has a number.
      const number = entries[place].number ?? place + 1;
      return { id, path: path ?? "", name, number };
    }),
    settings: settingsOf(state),
    encoding: state.encoding,
  };
  // Only the call with all its files follows a job.
  const isWhole = job.files.every(({ number }, place) => number === place + 1);
  const isRunning = isWhole && ["running", "interrupted"].includes(entry.state);
  change({ batch: { ...newBatch(), files, selected: files[0].id, job, isRunning } });
  resumeBatch();
}

/**
 * @param {RecentEntry} entry
 * @returns {import("./state.js").ChosenFile}
 */
function chosenFile({ image, name, bytes = 0 }) {
  return { id: createName(), name, bytes, path: image?.path ?? null, blob: null, upload: null };
}

/**
 * Returns the choices that lead to the settings: without values that the preset has itself.
 * @param {RecentEntry} entry
 */
function choicesOf(entry) {
  const settings = settingsIn(entry);
  const own = state.presets.find((preset) => preset.name === settings.preset)?.settings ?? {};
  const choices = Object.entries(settings).filter(([name, value]) => own[name] !== value);
  return Object.fromEntries(choices);
}

/**
 * Cancels the job of an entry.
 * @param {string} id
 */
export async function cancelRecent(id) {
  if (state.run?.name === id) await cancel();
  else if (state.batch.isRunning && state.batch.job?.name === id) await cancelBatch();
  else await call("cancel", { job: id }).catch(explainRecent);
  await loadRecent();
}

/**
 * Deletes an entry for good. It is hidden at once, and stays hidden in answers that are older.
 * @param {string} id
 */
export async function forget(id) {
  change({ forgotten: [...state.forgotten, id], recentProblem: null });
  try {
    await call("forget", { id });
  } catch (error) {
    change({ forgotten: state.forgotten.filter((other) => other !== id) });
    explainRecent(/** @type {Error} */ (error));
    return;
  }
  const results = Object.entries(state.results).filter(([, result]) => result.job !== id);
  change({ results: Object.fromEntries(results) });
  const { batch } = state;
  if (batch.job?.name === id) {
    change({ batch: { ...batch, job: null, progress: null, archive: null } });
  }
  await loadRecent();
}

/**
 * Downloads the result of an entry in its format, or the ZIP file of a batch.
 * @param {string} id
 */
export async function downloadRecent(id) {
  const load = async (/** @type {AbortSignal} */ signal) => {
    const entry = state.recent?.find((one) => one.id === id);
    const encoding = entry?.encoding ?? state.encoding;
    const [file] = await call("export", { id, ...encoding }, { signal });
    saveFile({ url: addressOf(file.path), name: file.orig_name ?? "" });
  };
  change({ recentProblem: null });
  await inSlot("recentDownload", id, load, explainRecent);
}

/**
 * Returns the settings of an entry without those that it leaves to Auto or to the output size.
 * @param {RecentEntry} entry
 */
function settingsIn({ settings }) {
  const given = Object.entries(settings).filter(([, value]) => value !== null);
  return Object.fromEntries(given);
}
