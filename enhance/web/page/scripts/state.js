// @ts-check
// The state of the page, and what follows from it. Nothing here changes the state or the page.

/**
 * A file that the page has chosen. `path` is that of the upload on the server, null until it has
 * arrived. `blob` is the file itself, which a page that was reloaded no longer has.
 * @typedef {{
 *   id: string, name: string, bytes: number, path: string | null, blob: File | null,
 *   upload: { share: number, seconds: number | null, error: string | null } | null,
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
 * What /analyse has answered for a file and settings; `for` is the key of the request.
 * @typedef {{
 *   for: string,
 *   auto: { preset: string, reason: string, text: string, summary: string, analysis: any },
 *   settings: Record<string, any>, estimated_seconds: number | null,
 *   faster: { preset: string, estimated_seconds: number } | null,
 *   photo: {
 *     name: string, bytes: number, format: string, width: number, height: number, bits: number,
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
 * (`region`) and in pixels of the result (`window`). `isQuick` is one by a faster preset.
 * @typedef {{
 *   for: string, file: string, before: string, after: string, region: Rectangle, window: Rectangle,
 *   signature: string | null, isQuick: boolean,
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
 * `address` that of its regions. `settings` and `encoding` are those of the run.
 * @typedef {{
 *   file: string, job: string, settings: Record<string, any>, encoding: Encoding, info: any,
 *   download: { url: string, name: string, bytes: number }, address: string,
 * }} Result
 */

/**
 * The batch: its files, the selected one, and its job. `files` of the job are the ids of its files
 * in the order of the call; `progress` and `archive` belong to the last job.
 * @typedef {{
 *   files: ChosenFile[], selected: string | null,
 *   job: { name: string, files: string[], settings: Record<string, any>, encoding: Encoding } | null,
 *   isRunning: boolean,
 *   progress: {
 *     share: number, seconds_left: number | null, ahead: number,
 *     files: { number: number, name: string, state: string, error: string | null }[],
 *   } | null,
 *   archive: { url: string, name: string, count: number } | null,
 * }} Batch
 */

/**
 * - `tab`, `preset`, `size`, `changed`, `encoding`, `largest`: what the user has chosen. `changed`
 *   has only the sliders and switches that the user has moved.
 * - `file`: the photo of the tab Single. `photos`, `results`: the last plan and the last result of
 *   each file, by the path of its upload.
 * - `view`: the visible region of the current photo. `preview`: the last preview.
 * - `run`, `progress`: the run of the tab Single.
 * - `problem`: what could not be done, for the bar. `isOffline`: the server does not answer.
 * - `presets`: what /presets has answered. `recent`: the answer of /runs while its list is open.
 * - `isComparing`: the comparison of presets is in place of the stage.
 * @typedef {{
 *   tab: "single" | "batch", preset: string, size: Size, changed: Record<string, any>,
 *   encoding: Encoding, largest: boolean,
 *   file: ChosenFile | null, photos: Record<string, Plan>, results: Record<string, Result>,
 *   view: Rectangle | null, preview: Preview | null, previewProblem: { for: string, text: string } | null,
 *   run: Run | null, progress: Progress | null, problem: string | null, isOffline: boolean,
 *   batch: Batch, presets: any[], recent: any[] | null, isComparing: boolean,
 * }} State
 */

/** The common sizes, as settings. `print` has the paper, `custom` the user's own number. */
const COMMON_SIZES = { "2x": { scale: 2 }, "4x": { scale: 4 }, web: { long_side: 2048 } };

/**
 * Returns the settings of the output size.
 * @param {Size} size
 * @param {Record<string, [number, number]>} papers width and height of each paper in cm
 */
export function sizeSettings(size, papers) {
  if (size.kind in COMMON_SIZES) return COMMON_SIZES[size.kind];
  if (size.kind === "custom") return { [size.by]: size[size.by] };
  const [width, height] = papers[size.paper] ?? [size.print_width, size.print_height];
  return { print_width: width, print_height: height, dpi: size.dpi };
}
