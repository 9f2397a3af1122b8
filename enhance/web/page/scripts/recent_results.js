// @ts-check
// The recent results of this browser: their list, and what can be done with each.

import { addressOf, call, createName, fileOf } from "./client.js";
import { follow } from "./runs.js";
import { newBatch, settingsOf } from "./state.js";
import { applyValues, change, inSlot, startOver, state } from "./store.js";

/** @typedef {import("./state.js").RecentEntry} RecentEntry */

/** Loads the list. An answer to an earlier request is never seen, because it could be older. */
export async function loadRecent() {
  const load = async (/** @type {AbortSignal} */ signal) => {
    const [recent] = await call("runs", {}, { signal });
    change({ recent });
  };
  await inSlot("recent", createName(), load, explainRecent);
}

/** @param {Error} error */
function explainRecent(error) {
  change({ recentProblem: error.message });
}

/**
 * Puts the photo, the settings and the result of an entry on the stage, or the files of a batch into
 * the tab Batch. A job that runs is followed.
 * @param {RecentEntry} entry
 */
export function openRecent(entry) {
  applyValues(choicesOf(entry));
  if (entry.files) openBatch(entry, entry.files);
  else openPhoto(entry);
}

/** @param {RecentEntry} entry */
function openPhoto(entry) {
  const file = chosenFile(entry);
  startOver();
  change({ tab: "single", file });
  if (["running", "done"].includes(entry.state)) {
    follow(file, {
      name: entry.id,
      file: entry.image ?? "",
      settings: settingsOf(state),
      encoding: state.encoding,
      plan: null,
    });
  }
}

/**
 * @param {RecentEntry} entry
 * @param {RecentEntry[]} entries those of its files
 */
function openBatch(entry, entries) {
  const files = entries.map(chosenFile);
  change({ tab: "batch", batch: { ...newBatch(), files, selected: files[0].id } });
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
 * Returns the photo of an entry, which is stored on the server.
 * @param {RecentEntry} entry
 */
function chosenFile({ image, name }) {
  return { id: createName(), name, bytes: 0, path: image, blob: null, upload: null };
}

/**
 * Cancels the job of an entry.
 * @param {RecentEntry} entry
 */
export async function cancelRecent(entry) {
  await call("cancel", { job: entry.id });
  await loadRecent();
}

/**
 * Deletes an entry for good. It is hidden at once, and stays hidden in answers that are older.
 * @param {RecentEntry} entry
 */
export async function forget({ id }) {
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
}

/**
 * Downloads the result of an entry in the chosen format, or the ZIP file of a batch.
 * @param {RecentEntry} entry
 */
export async function downloadRecent(entry) {
  const { endpoint, given } = callOf(entry);
  const load = async (/** @type {AbortSignal} */ signal) => {
    const [file] = await call(endpoint, { ...given, ...state.encoding, job: entry.id }, { signal });
    saveFile(addressOf(file.path), file.orig_name ?? "");
  };
  change({ recentProblem: null });
  await inSlot("recentDownload", entry.id, load, explainRecent);
}

/**
 * Returns the call that started the job of an entry. The same call follows it or exports its result.
 * @param {RecentEntry} entry
 */
function callOf(entry) {
  const settings = settingsIn(entry);
  if (!entry.files) {
    const image = fileOf(entry.image ?? "", entry.name);
    return { endpoint: "enhance", given: { image, ...settings } };
  }
  const images = entry.files.map((file) => fileOf(file.image ?? "", file.name));
  return { endpoint: "batch", given: { images, ...settings } };
}

/**
 * Returns the settings of an entry without those that it leaves to Auto or to the output size.
 * @param {RecentEntry} entry
 */
function settingsIn({ settings }) {
  const given = Object.entries(settings).filter(([, value]) => value !== null);
  return Object.fromEntries(given);
}

/**
 * Makes the browser download a file of the server.
 * @param {string} url
 * @param {string} name
 */
function saveFile(url, name) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}
