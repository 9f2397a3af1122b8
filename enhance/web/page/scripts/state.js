// @ts-check
// The state of the page, and what follows from it. Nothing here changes the state or the page.
import { constants, nameOf, word } from "./words.js";

/**
 * A file that the page has chosen. `path` is that of the upload on the server, null until it has
 * arrived. `blob` is the file itself, which a page that was reloaded no longer has. `problem` is why
 * the server cannot read the file, as far as that is known.
 * @typedef {{
 *   id: string, name: string, bytes: number, path: string | null, blob: File | null,
 *   upload: { share: number, seconds: number | null, error: string | null } | null,
 *   problem?: string | null,
 * }} ChosenFile
 */

/**
 * The controls of the output size. `kind` selects one of the common sizes; for `custom`, `by`
 * selects the number that counts.
 * @typedef {{
 *   kind: "2x" | "4x" | "web" | "print" | "custom", by: "scale" | "long_side" | "megapixels",
 *   scale: number | null, long_side: number | null, megapixels: number | null,
 *   paper: string, print_width: number | null, print_height: number | null, dpi: number | null,
 * }} Size
 */

/**
 * @typedef {{
 *   format: string, quality: number, metadata: string, label: boolean, background: string,
 * }} Encoding
 */

/**
 * What /analyse has answered for a file and settings. `for` is the key of the request that it
 * answers (`planKey`), or that of a later request that has failed. It is empty if the plan is
 * requested again.
 * @typedef {{
 *   for: string,
 *   auto: { preset: string, reason: string, text: string, summary: string, analysis: any },
 *   settings: Record<string, any>, estimated_seconds: number | null,
 *   faster: { preset: string, estimated_seconds: number } | null,
 *   photo: {
 *     name: string, bytes: number, format: string, width: number, height: number, bits: number,
 *     frames: number, orientation: number,
 *     has_alpha: boolean, has_location: boolean, dpi: number | null, profile: string | null,
 *     focus: [number, number], address: string,
 *   },
 *   result: { width: number, height: number },
 *   presets: Record<string, { estimated_seconds: number, text: string }>,
 *   time: string, tips: Advice[], problem: Advice | null, signature: string | null,
 * }} Plan
 */

/** @typedef {{ text: string, solutions: { text: string, values: Record<string, any> }[] }} Advice */

/** A rectangle [left, top, width, height] in pixels.
 * @typedef {[number, number, number, number]} Rectangle */

/**
 * A preview: the addresses of both images, the area of the photo that they show in its pixels
 * (`region`) and in pixels of the result (`window`). `isQuick` is one by a faster preset, and
 * `isApproximate` one that differs from the result, because the model uses the whole photo. `for` is
 * the key of the request that it answers (`previewKey`). `pixels` is the part of that key which decides
 * the pixels of a result (`pixelsKey`), so a preview of another region of the same photo with the same
 * settings has the same one.
 * @typedef {{
 *   for: string, pixels: string, file: string, before: string, after: string, region: Rectangle, window: Rectangle,
 *   signature: string | null, isQuick: boolean, isApproximate: boolean,
 * }} Preview
 */

/**
 * A run: the name of its job, its file, and its settings as they were at its start. `plan` is the
 * plan at that time, for the words of the bar.
 * @typedef {{
 *   name: string, file: string, settings: Record<string, any>, encoding: Encoding, plan: Plan | null,
 * }} Run
 */

/**
 * The progress of a run. `ahead` are the jobs before it; `live` is the picture so far.
 * @typedef {{
 *   done: number, total: number, seconds_left: number | null, ahead: number,
 *   live?: string, live_share?: number, live_edge?: "x" | "y",
 * }} Progress
 */

/**
 * A finished result. `info` is that of the endpoint, `file` the download of `encoding`, and
 * `address` that of its regions. `settings` and `encoding` are those of the run. A result of the
 * batch has the id of its file among the recent results as `entry`; its download has no address
 * before it is prepared.
 * @typedef {{
 *   file: string, job: string, settings: Record<string, any>, encoding: Encoding, info: any,
 *   download: { url: string, name: string, bytes: number }, address: string, entry?: string,
 * }} Result
 */

/**
 * An entry of /runs: a photo, or a batch with its `files`, each with its `number` in the batch. `regions` has the addresses of what is
 * still stored. `image` is the stored photo, if the entry was requested by its id. `progress` is that
 * of a running job: rows of a photo, or the share of a batch.
 * @typedef {{
 *   id: string, name: string, state: string, began: string, settings: Record<string, any>,
 *   encoding: Encoding | null, number?: number,
 *   size?: { width: number, height: number } | null, thumbnail: string | null,
 *   photo?: { width: number, height: number }, bytes?: number, fidelity_worst_db?: number | null,
 *   error?: string | null, regions?: { photo?: string, result?: string },
 *   image?: { path: string, orig_name: string } | null,
 *   progress: {
 *     done?: number, total?: number, share?: number, seconds_left: number | null, ahead: number,
 *   } | null,
 *   files?: RecentEntry[],
 * }} RecentEntry
 */

/**
 * A comparison of presets: the path of its photo, the compared region, its previews by their
 * settings, and the time when the last one was requested.
 * @typedef {{
 *   file: string, region: Rectangle, previews: Record<string, ComparedPreview>, began: number,
 * }} Comparison
 */

/** The addresses of a preview of the comparison, or why there is none.
 * @typedef {{ before?: string, after?: string, problem?: string }} ComparedPreview */

/**
 * The batch: its files, the selected one, and its last job, to which `progress` and `archive` belong.
 * `files` of the progress are by the ids of the files. `isOpen`: the list is shown, because no file
 * of the first choice is on its way any more.
 * @typedef {{
 *   files: ChosenFile[], isOpen: boolean, selected: string | null,
 *   job: BatchJob | null, isRunning: boolean,
 *   progress: {
 *     share: number, seconds_left: number | null, ahead: number,
 *     files: Record<string, FileProgress>,
 *   } | null,
 *   archive: Archive | null,
 * }} Batch
 */

/**
 * A job of the batch: its name, its files with their numbers in the call, and its settings.
 * @typedef {{
 *   name: string, files: { id: string, path: string, name: string, number: number }[],
 *   settings: Record<string, any>, encoding: Encoding,
 * }} BatchJob
 */

/**
 * The progress of a file in a job. `share` and `seconds_left` are those of the running file.
 * @typedef {{
 *   state: "waiting" | "running" | "done" | "failed" | "cancelled", error: string | null,
 *   share?: number, seconds_left?: number | null,
 * }} FileProgress
 */

/**
 * The ZIP file with the results of a job, which are `count`, in the format of `encoding`.
 * @typedef {{ url: string, name: string, count: number, encoding: Encoding }} Archive
 */

/**
 * - `tab`, `preset`, `size`, `changed`, `encoding`, `largest`: what the user has chosen. `changed`
 *   has only the sliders and switches that the user has moved.
 * - `file`: the photo of the tab Single. `previous` is the one before it while it is uploaded, which
 *   comes back if the upload is cancelled. `plans`, `results`: the last plan and the last result of
 *   each file, by the path of its upload.
 * - `region`: the visible region of the current photo, null if too much is visible for a preview.
 *   `preview`: the last preview.
 * - `run`, `progress`: the run of the tab Single.
 * - `problem`: what could not be done, for the bar. `isOffline`: the server does not answer.
 * - `presets`: what /presets has answered.
 * - `recent`: the last answer of /runs. `isRecentOpen`: its list is open. `recentProblem`: what could
 *   not be done with it. `forgotten`: the ids of removed entries, which an earlier answer can have.
 * - `isComparing`: the comparison of presets is in place of the stage. `comparison`: the last one.
 * - `isPanelOpen`: the panel lies over the stage of a small screen.
 * - `requests`: the key of the request that each slot waits for.
 * @typedef {{
 *   tab: "single" | "batch", preset: string, size: Size, changed: Record<string, any>,
 *   encoding: Encoding, largest: boolean,
 *   file: ChosenFile | null, previous: ChosenFile | null,
 *   plans: Record<string, Plan>, results: Record<string, Result>,
 *   region: Rectangle | null, preview: Preview | null,
 *   previewProblem: { for: string, text: string } | null,
 *   run: Run | null, progress: Progress | null, problem: Advice | null, isOffline: boolean,
 *   batch: Batch, presets: any[],
 *   recent: RecentEntry[] | null, isRecentOpen: boolean, recentProblem: string | null,
 *   forgotten: string[],
 *   isComparing: boolean, comparison: Comparison | null, isPanelOpen: boolean,
 *   requests: Record<string, string>,
 * }} State
 */

/** The pixels on each side of a region that a network reads too. */
const PREVIEW_MARGIN = 48;

/** The common sizes, as settings. `print` has the paper, `custom` the user's own number. */
export const COMMON_SIZES = { "2x": { scale: 2 }, "4x": { scale: 4 }, web: { long_side: 2048 } };

/** The fields of the state that a visit leaves for the next one. */
export const CHOICES = ["preset", "size", "changed", "encoding", "largest"];

/** The settings of the output size. */
export const SIZE_SETTINGS = [
  "scale",
  "long_side",
  "megapixels",
  "print_width",
  "print_height",
  "dpi",
];
const FORMAT_SETTINGS = ["format", "quality", "metadata", "background"];

/** @returns {State} */
export function newState() {
  return {
    tab: "single",
    preset: "auto",
    size: newSize(),
    changed: {},
    encoding: { format: "png", quality: 92, metadata: "keep", label: true, background: "white" },
    largest: true,
    ...withoutPhoto(),
    plans: {},
    results: {},
    isOffline: false,
    batch: newBatch(),
    presets: [],
    recent: null,
    isRecentOpen: false,
    recentProblem: null,
    forgotten: [],
    isPanelOpen: false,
    comparison: null,
    requests: {},
  };
}

/** Returns what the state has of the photo of the tab Single before one is chosen. */
export function withoutPhoto() {
  return {
    file: null,
    previous: null,
    region: null,
    preview: null,
    previewProblem: null,
    run: null,
    progress: null,
    problem: null,
    isComparing: false,
  };
}

/** @returns {Size} */
function newSize() {
  return {
    kind: "4x",
    by: "scale",
    scale: 4,
    long_side: 2048,
    megapixels: 12,
    paper: "10x15",
    print_width: 15.2,
    print_height: 10.2,
    dpi: 300,
  };
}

/** @returns {Batch} */
export function newBatch() {
  return {
    files: [],
    isOpen: false,
    selected: null,
    job: null,
    isRunning: false,
    progress: null,
    archive: null,
  };
}

/**
 * Returns the settings of the output size.
 * @param {Size} size
 */
export function sizeSettings(size) {
  if (size.kind in COMMON_SIZES) return COMMON_SIZES[size.kind];
  if (size.kind === "custom") return { [size.by]: size[size.by] };
  const paper = constants.papers[size.paper] ?? [size.print_width, size.print_height];
  return { print_width: paper[0], print_height: paper[1], dpi: size.dpi };
}

/**
 * Returns the settings of the controls, as parameters of a call. In the batch, a size that a photo
 * cannot have can stand for the nearest one.
 * @param {State} state
 */
export function settingsOf(state) {
  const largest = state.tab === "batch" && state.largest ? { largest: true } : {};
  return { preset: state.preset, ...sizeSettings(state.size), ...state.changed, ...largest };
}

/**
 * Returns changed settings as they are for another photo: Downscale first is a choice for one photo.
 * @param {Record<string, any>} changed
 */
export function withoutReduce({ reduce: _, ...changed }) {
  return changed;
}

/**
 * Returns the control of the output size that has no number; null if none is empty.
 * @param {State} state
 */
export function emptyControl(state) {
  const { print_width: width, print_height: height, ...others } = sizeSettings(state.size);
  // One side of a print is enough, because the whole photo fits inside it.
  if (width === null && height === null) return "print_width";
  const missing = Object.entries(others).find(([, value]) => value === null);
  return missing ? missing[0] : null;
}

/**
 * Returns the file that the stage and the controls are about. It can be on its way to the server.
 * @param {State} state
 * @returns {ChosenFile | null}
 */
export function currentFile(state) {
  if (state.tab === "single") return state.file;
  return state.batch.files.find((file) => file.id === state.batch.selected) ?? null;
}

/**
 * Returns the path of the current file on the server; null as long as it is not there.
 * @param {State} state
 */
export function currentPath(state) {
  return currentFile(state)?.path ?? null;
}

/**
 * Returns the plan of the current file, which can be of earlier settings.
 * @param {State} state
 * @returns {Plan | null}
 */
export function currentPlan(state) {
  return state.plans[currentPath(state) ?? ""] ?? null;
}

/**
 * Returns the key of a file, by default the current one, and everything that decides the pixels of
 * its result.
 * @param {State} state
 * @param {string | null} [path]
 */
export function pixelsKey(state, path = currentPath(state)) {
  return JSON.stringify([path, settingsOf(state)]);
}

/**
 * Returns the key of the plan of a file, by default the current one. Not every format can have every
 * size.
 * @param {State} state
 * @param {string | null} [path]
 */
export function planKey(state, path = currentPath(state)) {
  return JSON.stringify([pixelsKey(state, path), state.encoding.format]);
}

/**
 * Returns the key of the preview of the region.
 * @param {State} state
 */
export function previewKey(state) {
  return JSON.stringify([pixelsKey(state), state.region]);
}

/**
 * Returns whether the plan of the current file is that of the controls.
 * @param {State} state
 */
export function isPlanned(state) {
  return currentPlan(state)?.for === planKey(state);
}

/**
 * Returns the state of the preview: `quick` is one by a faster preset, `outdated` one of earlier
 * settings, and `waiting` is one that has been requested or will be at once.
 * @param {State} state
 * @returns {"none" | "waiting" | "quick" | "matches" | "outdated" | "failed"}
 */
export function previewState(state) {
  const path = currentPath(state);
  if (path === null || state.region === null) return "none";
  const wanted = previewKey(state);
  const own = state.preview?.file === path ? state.preview : null;
  if (own?.for === wanted && !own.isQuick) return "matches";
  // Why settings are refused, the panel shows in the words of its controls.
  const isRefused = isPlanned(state) && Boolean(currentPlan(state)?.problem);
  if (state.previewProblem?.for === wanted && !isRefused) return "failed";
  if (own?.for === wanted) return "quick";
  const hasSamePixels = own === null || own.pixels === pixelsKey(state);
  const isRequested = state.requests.preview === wanted;
  if (isRequested || (hasSamePixels && canPreview(state))) return "waiting";
  return own === null ? "none" : "outdated";
}

/**
 * Returns whether a preview is possible and of use: not during a run of the photo, of which the
 * stage shows the progress, and not beside a result.
 * @param {State} state
 */
export function canPreview(state) {
  const isLive = state.tab === "single" && isRunning(state);
  if (state.isComparing || isLive || isResultCurrent(state)) return false;
  if (emptyControl(state) !== null) return false;
  const plan = currentPlan(state);
  return plan !== null && !(isPlanned(state) && plan.problem !== null);
}

/**
 * Returns the file of a result in the format of the controls; null before it is created.
 * @param {State} state
 * @param {Result} result
 */
export function savedFile(state, { encoding, download }) {
  return download.url && isSame(encoding, state.encoding) ? download : null;
}

/**
 * Returns the last result of the current file, which can be of earlier settings.
 * @param {State} state
 * @returns {Result | null}
 */
export function resultOf(state) {
  return state.results[currentPath(state) ?? ""] ?? null;
}

/**
 * Returns whether the result of the current file is that of the controls. Its format can differ.
 * @param {State} state
 */
export function isResultCurrent(state) {
  const result = resultOf(state);
  if (result === null) return false;
  if (isSame(result.settings, settingsOf(state))) return true;
  const signature = isPlanned(state) ? currentPlan(state)?.signature : null;
  return Boolean(signature) && signature === result.info.signature;
}

/**
 * Returns whether two groups of settings are the same.
 * @param {Record<string, any>} first
 * @param {Record<string, any>} second
 */
export function isSame(first, second) {
  const names = new Set([...Object.keys(first), ...Object.keys(second)]);
  return [...names].every((name) => first[name] === second[name]);
}

/**
 * Returns whether a run of the current file, or the batch, is in progress.
 * @param {State} state
 */
export function isRunning(state) {
  if (state.tab === "batch") return state.batch.isRunning;
  return state.run !== null && state.run.file === currentPath(state);
}

/**
 * Returns the preset of the run: the chosen one, or that which Auto selects.
 * @param {State} state
 * @returns {string}
 */
export function runPreset(state) {
  const chosen = state.run?.settings.preset ?? "auto";
  if (chosen !== "auto") return chosen;
  const plan = state.run?.plan ?? currentPlan(state);
  return plan?.auto.preset ?? chosen;
}

/**
 * Returns whether a run of the current photo can start.
 * @param {State} state
 */
export function canEnhance(state) {
  const plan = currentPlan(state);
  if (plan === null || state.isOffline || isRunning(state)) return false;
  if (emptyControl(state) !== null) return false;
  return !(isPlanned(state) && plan.problem !== null);
}

/**
 * Returns what the stage shows: nothing, the photo with its preview, the progress of a run, or a
 * result of the present settings. It is "unread" if the selected photo of the batch is not there yet.
 * @param {State} state
 * @returns {"empty" | "unread" | "photo" | "live" | "result"}
 */
export function stageMode(state) {
  const isBatch = state.tab === "batch";
  if (isBatch && !state.batch.isOpen) return "empty";
  if (currentPlan(state) === null) return isBatch ? "unread" : "empty";
  if (state.tab === "single" && isRunning(state)) return "live";
  return isResultCurrent(state) ? "result" : "photo";
}

/**
 * Returns what a control shows.
 * @param {State} state
 * @param {string} name
 */
export function valueOf(state, name) {
  if (name in state.changed) return state.changed[name];
  if (name in state.size) return state.size[name];
  if (name in state.encoding) return state.encoding[name];
  if (name === "preset" || name === "largest" || name === "tab") return state[name];
  return currentPlan(state)?.settings[name];
}

/**
 * Returns the solution for a run that needs too much memory or disk space: the next smaller one of
 * the common sizes. It is null if the result is smaller than all of them.
 * @param {Plan} plan
 */
export function smallerSize({ photo, result }) {
  const side = Math.max(photo.width, photo.height);
  const sides = { "4x": 4 * side, "2x": 2 * side, web: COMMON_SIZES.web.long_side };
  const wanted = Math.max(result.width, result.height);
  const kind = Object.keys(sides).find((name) => sides[name] < wanted);
  if (!kind) return null;
  const text = word("use_instead", { name: nameOf("size", kind) });
  return { text, values: COMMON_SIZES[kind] };
}

/**
 * Returns whether the controls are not those of the run, so that they are for the next one.
 * @param {State} state
 */
export function settingsDiffer(state) {
  const run = state.tab === "batch" ? state.batch.job : state.run;
  if (run === null) return false;
  const isSameRun = isSame(run.settings, settingsOf(state));
  return !(isSameRun && isSame(run.encoding, state.encoding));
}

/**
 * Returns the share of the work for a whole photo that the preview of a region takes.
 * @param {Rectangle} region
 * @param {{ width: number, height: number }} photo
 */
export function workShare([, , width, height], photo) {
  const across = Math.min(width + 2 * PREVIEW_MARGIN, photo.width);
  const down = Math.min(height + 2 * PREVIEW_MARGIN, photo.height);
  return (across * down) / (photo.width * photo.height);
}

/**
 * Returns the place of a piece of advice: that of the controls which its solutions change.
 * @param {Advice} advice
 */
export function placeOf(advice) {
  const names = Object.keys(advice.solutions[0]?.values ?? {});
  if (names.some((name) => SIZE_SETTINGS.includes(name))) return "size";
  if (names.some((name) => FORMAT_SETTINGS.includes(name))) return "format";
  return "preset";
}
