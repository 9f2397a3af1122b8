// @ts-check
// What the stage shows of the state: the photo, its preview, the live image of a run or the result.

import { currentFile, currentPlan, pixelsKey, resultOf, stageMode } from "./state.js";

/**
 * - `file`: the path of the upload, which identifies the photo.
 * - `pixels`: what decides the pixels of the result: `pixelsKey`, or the same of the run while there
 *   is one.
 * - `scale`: pixels of the result for a pixel of the photo.
 * - `result`: the last result, which can be of earlier settings.
 * - `live`: the address of the live image of a run, and the share of it that is done.
 * @typedef {{
 *   file: string, pixels: string, mode: "photo" | "live" | "result", photo: import("./tiles.js").Source,
 *   hasAlpha: boolean, focus: [number, number], scale: number,
 *   result: import("./tiles.js").Source | null,
 *   preview: import("./state.js").Preview | null,
 *   live: { address: string | null, share: number, edge: "x" | "y" } | null,
 * }} Scene
 */

/** @typedef {import("./state.js").State} State */

/**
 * Returns what the stage shows, or null without a photo.
 * @param {State} state
 * @returns {Scene | null}
 */
export function sceneOf(state) {
  const file = currentFile(state);
  const plan = currentPlan(state);
  const mode = stageMode(state);
  if (!file?.path || !plan || mode === "empty" || mode === "unread") return null;
  const { address, width, height } = plan.photo;
  const result = resultSource(state);
  const size = mode === "result" && result ? result : plannedResult(state, plan);
  return {
    file: file.path,
    mode,
    photo: { address, width, height },
    hasAlpha: plan.photo.has_alpha,
    focus: plan.photo.focus,
    scale: size.width / width,
    result: mode === "live" ? null : result,
    pixels: mode === "live" ? runPixelsKey(state) : pixelsKey(state),
    preview: state.preview?.file === file.path ? state.preview : null,
    live: mode === "live" ? liveOf(state) : null,
  };
}

/** @param {State} state */
function resultSource(state) {
  const result = resultOf(state);
  if (!result) return null;
  const { width, height } = result.info.output;
  return { address: result.address, width, height };
}

/**
 * Returns the size that the result has or will have. A run keeps the size of its start.
 * @param {State} state
 * @param {import("./state.js").Plan} plan
 */
function plannedResult(state, plan) {
  const isLive = stageMode(state) === "live";
  return (isLive && state.run?.plan?.result) || plan.result;
}

/** @param {State} state */
function runPixelsKey(state) {
  return JSON.stringify([state.run?.file, state.run?.settings]);
}

/** @param {State} state */
function liveOf(state) {
  const progress = state.progress;
  return {
    address: progress?.live ?? null,
    share: progress?.live_share ?? 0,
    edge: progress?.live_edge ?? "y",
  };
}
