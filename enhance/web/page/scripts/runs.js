// @ts-check
// Runs of the photo, and their results.
import { addressOf, call, createName, fileOf, reasonOf, Refused } from "./client.js";
import { requestNow, sendAgainOrShow } from "./requests.js";
import { change, inSlot, showProblem, state, stop } from "./slots.js";
import {
  canEnhance,
  currentFile,
  currentPlan,
  isResultCurrent,
  resultOf,
  savedFile,
  settingsOf,
  smallerSize,
} from "./state.js";

/** @typedef {import("./state.js").Run} Run */
/** @typedef {import("./state.js").ChosenFile} ChosenFile */

/** The keys of errors of a run that needs too much memory or disk space. */
const SHORTAGES = ["memory_short", "memory_out", "disk_short", "disk_full", "server_disk_short"];

/** Starts a run of the photo, or exports its result if that is the one of the settings. */
export async function run() {
  const file = currentFile(state);
  if (!file?.path || !canEnhance(state)) return;
  if (isResultCurrent(state)) {
    await prepareDownload();
    return;
  }
  follow(file, {
    name: createName(),
    file: file.path,
    settings: settingsOf(state),
    encoding: state.encoding,
    plan: currentPlan(state),
  });
}

/**
 * Starts a run, or follows it if it has been started: the name of its job says which one it is.
 * @param {ChosenFile} file
 * @param {Run} started
 */
export function follow(file, started) {
  const work = async (/** @type {AbortSignal} */ signal) => {
    const onUpdate = (/** @type {any[]} */ [, info]) =>
      change({ progress: { ...state.progress, ...info.progress } });
    const outputs = await enhance(file, started, started.encoding, { signal, onUpdate });
    const result = resultFrom(outputs, started, started.encoding);
    change({
      run: null,
      progress: null,
      results: { ...state.results, [started.file]: result },
    });
  };
  stop("preview");
  const failed = (/** @type {Error} */ error) =>
    sendAgainOrShow(error, file, (text) => {
      // The user can have started another run meanwhile.
      if (state.run?.name !== started.name) return;
      change({ run: null, progress: null });
      showProblem(text, solutionsFor(error, started));
      requestNow();
    });
  inSlot("run", started.name, work, failed);
  change({ run: started, progress: null, problem: null });
}

/**
 * Returns what solves the error of a run: less to compute, if memory or disk space is short.
 * @param {Error} error
 * @param {Run} run
 */
function solutionsFor(error, { plan }) {
  const isShort = error instanceof Refused && SHORTAGES.includes(error.key);
  const smaller = isShort && plan && smallerSize(plan);
  return smaller ? [smaller] : [];
}

/**
 * @param {{ path: string | null, name: string }} file
 * @param {{ name: string, settings: Record<string, any> }} job
 * @param {import("./state.js").Encoding} encoding
 * @param {import("./client.js").CallOptions} options
 */
function enhance(file, job, encoding, options) {
  const image = fileOf(file.path ?? "", file.name);
  return call("enhance", { image, ...job.settings, ...encoding, job: job.name }, options);
}

/**
 * Returns a result from the outputs of its call.
 * @param {any[]} outputs
 * @param {{ name: string, file: string, settings: Record<string, any> }} job
 * @param {import("./state.js").Encoding} encoding
 * @returns {import("./state.js").Result}
 */
export function resultFrom([file, info], job, encoding) {
  const path = file.path;
  const name = file.orig_name ?? path.split("/").pop();
  return {
    file: job.file,
    job: job.name,
    settings: job.settings,
    encoding,
    info,
    download: { url: addressOf(path), name, bytes: info.output.bytes },
    address: info.regions?.result ?? "",
  };
}

/** Shows why a request has failed. @param {Error} error */
export function explain(error) {
  showProblem(reasonOf(error));
}

/** Cancels the run. */
export async function cancel() {
  const { run } = state;
  if (!run) return;
  stop("run");
  change({ run: null, progress: null });
  requestNow();
  await call("cancel", { job: run.name }).catch(explain);
}

/** Cancels the run, and starts one with the settings of the controls. */
export async function startNow() {
  cancel(); // The state has no run from here on. The server is informed meanwhile.
  await run();
}

/**
 * Returns the download of the result in the format of the controls, which is created if necessary.
 * @returns {Promise<{ url: string, name: string } | null>}
 */
export async function prepareDownload() {
  const result = resultOf(state);
  const photo = currentFile(state);
  if (!result || !photo) return null;
  const { encoding } = state;
  const file = savedFile(state, result);
  if (file) return file;
  const work = async (/** @type {AbortSignal} */ signal) => {
    const job = { ...result, name: result.job };
    const outputs = result.entry
      ? await call("export", { id: result.entry, ...encoding }, { signal })
      : await enhance(photo, job, encoding, { signal });
    const exported = { ...result, ...resultFrom(outputs, job, encoding) };
    change({ results: { ...state.results, [result.file]: exported } });
    return exported.download;
  };
  return inSlot("export", JSON.stringify([result.job, encoding]), work, (error) =>
    sendAgainOrShow(error, photo, (text) => {
      if (photo.id === currentFile(state)?.id) showProblem(text);
    }),
  );
}

/**
 * Asks for a finished result again: its files can have new addresses, or be gone.
 * @param {ChosenFile} file
 * @param {import("./state.js").Result} result
 */
export function refreshResult(file, result) {
  const { encoding } = result;
  const job = { ...result, name: result.job };
  const work = async (/** @type {AbortSignal} */ signal) => {
    const outputs = await enhance(file, job, encoding, { signal });
    const refreshed = resultFrom(outputs, job, encoding);
    change({ results: { ...state.results, [result.file]: refreshed } });
    return refreshed.download;
  };
  inSlot("export", JSON.stringify([result.job, encoding]), work, () => {
    const { [result.file]: _, ...results } = state.results;
    change({ results });
    requestNow();
  });
}

/**
 * Returns the PDF report of the result.
 * @returns {Promise<{ url: string, name: string } | null>}
 */
export async function report() {
  const result = resultOf(state);
  if (!result) return null;
  const work = async (/** @type {AbortSignal} */ signal) => {
    const [file] = await call("report", { task_id: result.info.task_id }, { signal });
    return { url: addressOf(file.path), name: file.orig_name ?? file.path.split("/").pop() };
  };
  return inSlot("report", result.info.task_id, work, explain);
}

/** Loads the list of presets. */
export async function loadPresets() {
  const work = async (/** @type {AbortSignal} */ signal) => {
    const [presets] = await call("presets", {}, { signal });
    change({ presets });
    const isKnown = presets.some((/** @type {any} */ preset) => preset.name === state.preset);
    if (!isKnown) change({ preset: "auto", changed: {} });
  };
  await inSlot("presets", "presets", work, explain);
}
