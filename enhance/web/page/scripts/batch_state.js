// @ts-check
// What follows from the state of the batch: the states of its files, and what a run would do.
import { isSame, planKey, settingsOf, sizeSettings } from "./state.js";
import { isOnItsWay } from "./upload_progress.js";

/**
 * @typedef {import("./state.js").ChosenFile} ChosenFile
 * @typedef {import("./state.js").Plan} Plan
 * @typedef {import("./state.js").Result} Result
 * @typedef {import("./state.js").State} State
 */

/**
 * The state of a file in the list:
 * - `queued`, `sending`, `unsent`: its upload waits, is under way or has failed.
 * - `unread`, `unreadable`: the server has not read it yet, or cannot read it.
 * - `refused`: the settings are not possible for it. `ready`: it can be enhanced.
 * - `waiting`, `running`, `done`, `failed`: in a run. `next`: not in the run that is under way.
 * @typedef {"queued" | "sending" | "unsent" | "unread" | "unreadable" | "refused" | "ready"
 *   | "waiting" | "running" | "done" | "failed" | "next"} FileState
 */

/**
 * @param {State} state
 * @param {ChosenFile} file
 * @returns {FileState}
 */
export function fileState(state, file) {
  if (!file.path) return uploadState(file);
  if (file.problem) return "unreadable";
  return state.batch.isRunning ? runningState(state, file) : restingState(state, file);
}

/**
 * @param {ChosenFile} file
 * @returns {FileState}
 */
function uploadState({ upload }) {
  if (upload?.error) return "unsent";
  return upload?.share ? "sending" : "queued";
}

/**
 * @param {State} state
 * @param {ChosenFile} file
 * @returns {FileState}
 */
function runningState(state, file) {
  const { job, progress } = state.batch;
  if (!job?.files.some(({ id }) => id === file.id)) return "next";
  if (!progress) return "waiting";
  const own = progress.files[file.id];
  if (!own || own.state === "cancelled") return "next";
  const result = resultOfFile(state, file);
  // A result that is there already is only packed once more.
  if (own.state === "waiting" && result && isSame(result.settings, job.settings)) return "done";
  return own.state;
}

/**
 * @param {State} state
 * @param {ChosenFile} file
 * @returns {FileState}
 */
function restingState(state, file) {
  if (isFinished(state, file)) return "done";
  const plan = planOf(state, file);
  if (plan?.problem && plan.for === planKey(state, file.path)) return "refused";
  if (state.batch.progress?.files[file.id]?.state === "failed") return "failed";
  if (resultOfFile(state, file)) return "done";
  return plan ? "ready" : "unread";
}

/**
 * Returns the last plan of a file, which can be of earlier settings.
 * @param {State} state
 * @param {ChosenFile} file
 * @returns {Plan | null}
 */
export function planOf(state, file) {
  return state.plans[file.path ?? ""] ?? null;
}

/**
 * @param {State} state
 * @param {ChosenFile} file
 * @returns {Result | null}
 */
export function resultOfFile(state, file) {
  return state.results[file.path ?? ""] ?? null;
}

/**
 * Returns whether a file has the result of the controls, in whichever format.
 * @param {State} state
 * @param {ChosenFile} file
 */
function isFinished(state, file) {
  const result = resultOfFile(state, file);
  if (!result) return false;
  if (isSame(result.settings, settingsOf(state))) return true;
  const plan = planOf(state, file);
  const isPlanned = plan?.for === planKey(state, file.path);
  return isPlanned && plan.signature !== null && plan.signature === result.info.signature;
}

/**
 * Returns whether a file in this state needs the attention of the user.
 * @param {FileState} now
 */
export function needsAttention(now) {
  return ["unsent", "unreadable", "refused", "failed"].includes(now);
}

/**
 * Returns the files that a run would contain.
 * @param {State} state
 */
export function filesToRun(state) {
  return state.batch.files.filter((file) => {
    const now = file.path && !file.problem ? restingState(state, file) : "unreadable";
    return now !== "unreadable" && now !== "refused";
  });
}

/**
 * Returns the files that a run would enhance, because they do not have the result of the controls.
 * @param {State} state
 */
export function unfinishedFiles(state) {
  return filesToRun(state).filter((file) => !isFinished(state, file));
}

/**
 * Returns the number of files whose upload waits or is under way.
 * @param {State} state
 */
export function countUnsent(state) {
  return state.batch.files.filter(isOnItsWay).length;
}

/**
 * Returns the number of files that the server has not read yet. A run contains them, but whether it
 * can enhance them is not known.
 * @param {State} state
 */
export function countUnread(state) {
  return state.batch.files.filter((file) => fileState(state, file) === "unread").length;
}

/**
 * Returns the expected seconds for files. Those without a plan count like the average of the others.
 * It is null before the first plan.
 * @param {State} state
 * @param {ChosenFile[]} files
 */
export function expectedSeconds(state, files) {
  let seconds = 0;
  let planned = 0;
  for (const file of files) {
    const own = planOf(state, file)?.estimated_seconds ?? null;
    if (own === null) continue;
    seconds += own;
    planned += 1;
  }
  return planned ? (seconds * files.length) / planned : null;
}

/**
 * Returns the expected seconds of all files with a preset, by their plans; null before the first one.
 * @param {State} state
 * @param {string} preset
 */
export function presetSeconds(state, preset) {
  let seconds = null;
  for (const file of state.batch.files) {
    const own = planOf(state, file)?.presets?.[preset]?.estimated_seconds;
    if (own !== undefined) seconds = (seconds ?? 0) + own;
  }
  return seconds;
}

/**
 * Returns the numbers of files of the last job in each state. Those that were removed from the list
 * count only if they are done, because the ZIP file contains them.
 * @param {State} state
 */
export function countStates(state) {
  const counts = { waiting: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
  const listed = new Set(state.batch.files.map(({ id }) => id));
  for (const [id, { state: now }] of Object.entries(state.batch.progress?.files ?? {})) {
    if (now === "done" || listed.has(id)) counts[now] += 1;
  }
  return counts;
}

/**
 * Returns whether the size of a plan is not the one of the controls, because that is not possible.
 * @param {State} state
 * @param {Plan} plan
 */
export function isLimited(state, plan) {
  const wanted = Object.entries(sizeSettings(state.size));
  return wanted.some(([name, value]) => value !== null && plan.settings[name] !== value);
}
