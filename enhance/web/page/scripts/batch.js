// @ts-check
// The batch: the choice among its files, and the runs of all of them as one job.
import { filesToRun, fileState, planOf } from "./batch_state.js";
import { addressOf, call, createName, fileOf } from "./client.js";
import { applyValues, set } from "./controls.js";
import { analyse, changeFile, requestNow, sendAgainOrShow } from "./requests.js";
import { explain } from "./runs.js";
import { change, inSlot, showProblem, state, stop, whenSettled } from "./slots.js";
import { emptyControl, isSame, newBatch, placeOf, planKey, settingsOf } from "./state.js";
import { fileFrom, sendNext, stopSending } from "./uploads.js";

/**
 * @typedef {import("./state.js").Batch} Batch
 * @typedef {import("./state.js").BatchJob} BatchJob
 * @typedef {import("./state.js").ChosenFile} ChosenFile
 * @typedef {import("./state.js").Result} Result
 */

const PLAN_MS = 400;
const CANCEL_MS = 500;

/** @param {Partial<Batch>} patch */
function changeBatch(patch) {
  change({ batch: { ...state.batch, ...patch } });
}

// Each file is planned, one after the other, so that bad ones are found before a run.
whenSettled(
  ({ tab, batch, isOffline }) => {
    const paths = batch.files.map((file) => file.path);
    return [tab, isOffline, batch.isRunning, planKey(state, ""), paths];
  },
  PLAN_MS,
  planNext,
);

function planNext() {
  if (state.tab !== "batch" || state.isOffline || emptyControl(state) !== null) return;
  if ("plan" in state.requests) return;
  const file = state.batch.files.find(isUnplanned);
  if (file) analyse(file, /** @type {string} */ (file.path), "plan").then(planNext);
}

/** @param {ChosenFile} file */
function isUnplanned(file) {
  if (!file.path || file.problem) return false;
  const plan = planOf(state, file);
  // During a run, the plans for the next one would only slow it down.
  return state.batch.isRunning ? plan === null : plan?.for !== planKey(state, file.path);
}

/**
 * Shows a file on the stage.
 * @param {string} id
 */
export function selectFile(id) {
  if (state.batch.selected !== id) select(id);
}

/**
 * Removes a file from the batch. Its upload ends, or its part of the run.
 * @param {string} id
 */
export function removeFile(id) {
  const { files, selected, job, isRunning } = state.batch;
  const place = files.findIndex((file) => file.id === id);
  if (place < 0) return;
  const isUnderWay = ["waiting", "running"].includes(fileState(state, files[place]));
  const others = files.filter((file) => file.id !== id);
  stopSending(id);
  changeBatch({ files: others });
  if (selected === id) select(others[Math.min(place, others.length - 1)]?.id ?? null);
  if (job && isRunning && isUnderWay) cancelFile(job, id).catch(explain);
  sendNext();
}

/** @param {string | null} id */
function select(id) {
  changeBatch({ selected: id });
  change({ region: null });
  requestNow();
}

/**
 * Cancels one file of a job. The request can arrive before the one that starts the job.
 * @param {BatchJob} job
 * @param {string} id
 */
async function cancelFile(job, id) {
  const file = job.files.find((one) => one.id === id);
  for (;;) {
    const [answer] = await call("cancel", { job: job.name, file: file?.number });
    const { batch } = state;
    if (answer.known || !batch.isRunning || batch.job?.name !== job.name) return;
    await new Promise((done) => setTimeout(done, CANCEL_MS));
  }
}

/** Removes all files. */
export function clearFiles() {
  for (const { id } of state.batch.files) stopSending(id);
  // A run that is under way goes on without this list.
  stop("plan", "archive", "preview", "photo", "batch");
  change({ batch: newBatch(), region: null, preview: null, problem: null });
}

/**
 * Puts another file in the place of one.
 * @param {string} id
 * @param {File} blob
 */
export function replaceFile(id, blob) {
  const file = fileFrom(blob);
  const files = state.batch.files.map((one) => (one.id === id ? file : one));
  stopSending(id);
  changeBatch({ files });
  if (state.batch.selected === id) select(file.id);
  sendNext();
}

/**
 * Tries again what has failed: the upload of a file, or its part of the last run.
 * @param {string} id
 */
export function retryFile(id) {
  const file = state.batch.files.find((one) => one.id === id);
  if (!file) return;
  if (!file.path) {
    changeFile(id, { upload: { share: 0, seconds: null, error: null } });
    sendNext();
    return;
  }
  const { progress } = state.batch;
  if (progress) {
    const { [id]: _, ...files } = progress.files;
    changeBatch({ progress: { ...progress, files } });
  }
  runBatch();
}

/**
 * Solves the problem that the settings have with a file. A size that it cannot have is replaced by
 * the nearest one, for each file that needs it.
 * @param {string} id
 */
export function enlargeFile(id) {
  const file = state.batch.files.find((one) => one.id === id);
  const plan = file && planOf(state, file);
  if (!plan?.problem) return;
  if (placeOf(plan.problem) === "size") set("largest", true);
  else applyValues(plan.problem.solutions[0].values);
}

/** Starts a run of all files. Those that have their result already are only packed again. */
export function runBatch() {
  if (state.batch.isRunning || state.isOffline || emptyControl(state) !== null) return;
  const files = filesToRun(state).map(fileOfJob);
  if (files.length === 0) return;
  followBatch({
    name: createName(),
    files,
    settings: settingsOf(state),
    encoding: state.encoding,
  });
}

/**
 * Returns a file as one of a job.
 * @param {ChosenFile} file
 * @param {number} place in the call, from 0
 */
function fileOfJob({ id, path, name }, place) {
  return { id, path: path ?? "", name, number: place + 1 };
}

/**
 * Starts a job, or follows it if it has been started.
 * @param {BatchJob} job
 */
function followBatch(job) {
  const images = job.files.map(({ path, name }) => fileOf(path, name));
  const given = { images, ...job.settings, ...job.encoding, job: job.name };
  // The outputs of the end, which have no progress, come as an update, too.
  const onUpdate = (/** @type {any[]} */ [, info]) => {
    if (info.progress) showProgress(job, info.progress);
  };
  const work = async (/** @type {AbortSignal} */ signal) => {
    const [archive, info] = await call("batch", given, { signal, onUpdate });
    info.files.forEach((/** @type {any} */ file, /** @type {number} */ place) => {
      file.number = place + 1;
    });
    showEnd(job, archive, info);
  };
  inSlot("batch", job.name, work, (error) => {
    changeBatch({ isRunning: false });
    explainBatch(job, error);
  });
  change({ problem: null });
  changeBatch({ job, isRunning: true, progress: null, archive: null });
}

/**
 * Shows why a job has failed, or sends the files again that the server has lost.
 * @param {BatchJob} job
 * @param {Error} error
 */
async function explainBatch(job, error) {
  const ids = new Set(job.files.map(({ id }) => id));
  let lost = 0;
  for (const file of state.batch.files.filter(({ id }) => ids.has(id))) {
    lost += 1;
    await sendAgainOrShow(error, file, () => (lost -= 1));
  }
  if (lost === 0 && state.batch.job?.name === job.name) explain(error);
}

/**
 * @param {BatchJob} job
 * @param {any} progress as the server has sent it
 */
function showProgress(job, progress) {
  const { share, seconds_left, ahead } = progress;
  changeBatch({ progress: { share, seconds_left, ahead, files: byId(job, progress.files) } });
  if (progress.results) addResults(job, progress.results);
}

/**
 * @param {BatchJob} job
 * @param {any[]} files with their numbers in the job
 */
function byId(job, files) {
  const own = job.files.map(({ id, number }) => [id, files.find((file) => file.number === number)]);
  return Object.fromEntries(own.filter(([, file]) => file));
}

/**
 * @param {BatchJob} job
 * @param {any[]} files those that are done, with their `info` and their numbers in the job
 */
function addResults(job, files) {
  const results = { ...state.results };
  for (const { number, info, file } of files) {
    // A batch that was opened from the recent results can lack files.
    const own = job.files.find((one) => one.number === number);
    if (own) results[own.path] = batchResult(job, own, info, file);
  }
  change({ results });
}

/**
 * @param {BatchJob} job
 * @param {BatchJob["files"][number]} own
 * @param {any} info
 * @param {any} [file] its download
 * @returns {Result}
 */
function batchResult(job, { path, name, number }, info, file) {
  return {
    file: path,
    job: job.name,
    entry: `${job.name}.${number}`,
    settings: job.settings,
    encoding: job.encoding,
    info,
    download: {
      url: file ? addressOf(file.path) : "",
      name: file?.orig_name ?? name,
      bytes: info.output.bytes,
    },
    address: info.regions?.result ?? "",
  };
}

/**
 * @param {BatchJob} job
 * @param {any} archive
 * @param {any} info
 */
function showEnd(job, archive, info) {
  const files = byId(job, info.files);
  addResults(
    job,
    info.files.filter((/** @type {any} */ file) => file.info),
  );
  changeBatch({
    isRunning: false,
    progress: { share: 1, seconds_left: 0, ahead: 0, files },
    archive: archive && archiveOf(archive, info, job.encoding),
  });
  if (info.error) showProblem(info.error);
}

/**
 * @param {any} file
 * @param {any} info
 * @param {import("./state.js").Encoding} encoding
 */
function archiveOf(file, info, encoding) {
  return { url: addressOf(file.path), name: file.orig_name ?? "", count: info.done, encoding };
}

/** Cancels the run. What is done stays. */
export async function cancelBatch() {
  const { job, progress } = state.batch;
  if (!job) return;
  stop("batch");
  const files = Object.entries(progress?.files ?? {}).map(([id, file]) => {
    const isEnded = file.state === "done" || file.state === "failed";
    return [id, isEnded ? file : { ...file, state: "cancelled" }];
  });
  changeBatch({
    isRunning: false,
    progress: progress && { ...progress, files: Object.fromEntries(files) },
  });
  requestNow();
  await call("cancel", { job: job.name }).catch(explain);
}

/**
 * Returns the ZIP file with the results so far, in the format of the run, or in that of the controls
 * after its end.
 * @returns {Promise<{ url: string, name: string } | null>}
 */
export async function prepareArchive() {
  const { job, isRunning, archive } = state.batch;
  if (!job) return null;
  const encoding = isRunning ? job.encoding : state.encoding;
  if (archive && isSame(archive.encoding, encoding)) return archive;
  const work = async (/** @type {AbortSignal} */ signal) => {
    const [file, info] = await call("export", { id: job.name, ...encoding }, { signal });
    const made = archiveOf(file, info, encoding);
    if (!state.batch.isRunning) changeBatch({ archive: made });
    return made;
  };
  return inSlot("archive", JSON.stringify([job.name, encoding]), work, explain);
}

/** Continues with the last job of the batch, after a reload or from the recent results. */
export function resumeBatch() {
  const { job, isRunning } = state.batch;
  if (job && isRunning) followBatch(job);
  else if (job) recall(job);
}

/**
 * Shows the results of a job that has ended.
 * @param {BatchJob} job
 */
async function recall(job) {
  const work = async (/** @type {AbortSignal} */ signal) => {
    const [archive, info] = await call("export", { id: job.name, ...job.encoding }, { signal });
    showEnd(job, archive, info);
  };
  // Without results, or if they were deleted, the files can be enhanced again.
  await inSlot("archive", job.name, work, () => changeBatch({ job: null }));
}
