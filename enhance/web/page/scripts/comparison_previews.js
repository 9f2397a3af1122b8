// @ts-check
// The previews of the comparison of presets, which are requested one after the other.

import { sendAgainOrShow, settingsWith } from "./requests.js";
import { currentFile, currentPath, currentPlan, workShare } from "./state.js";
import { change, compareWith, inSlot, state } from "./store.js";
import { suitablePresets } from "./suitable.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Plan} Plan */
/** @typedef {import("./state.js").Rectangle} Rectangle */
/** @typedef {import("./state.js").Comparison} Comparison */
/** @typedef {import("./state.js").ComparedPreview} ComparedPreview */

/**
 * A tile of the comparison: the preset that it shows, and the preset that a press chooses, which is
 * Auto for the one that Auto selects. `key` is that of its preview, `seconds` its expected time.
 * @typedef {{
 *   preset: string, choice: string, key: string, seconds: number, made: ComparedPreview | null,
 * }} Tile
 */

/**
 * Returns the comparison on a region of the current photo. The last one keeps its previews.
 * @param {State} state
 * @param {Rectangle} region
 * @returns {Comparison}
 */
export function comparisonOf(state, region) {
  const file = currentPath(state) ?? "";
  const last = state.comparison;
  if (last?.file === file && String(last.region) === String(region)) return last;
  return { file, region, previews: {}, began: 0 };
}

/**
 * Returns the tiles of the open comparison.
 * @param {State} state
 * @returns {Tile[]}
 */
export function tilesOf(state) {
  const plan = currentPlan(state);
  const { comparison } = state;
  if (!plan || !comparison) return [];
  const share = workShare(comparison.region, plan.photo);
  return suitablePresets(plan, state.presets, state.preset).map((preset) => {
    const choice = preset === plan.auto.preset ? "auto" : preset;
    const key = JSON.stringify(settingsWith(choice));
    const seconds = share * (plan.presets[preset]?.estimated_seconds ?? 0);
    return { preset, choice, key, seconds, made: comparison.previews[key] ?? null };
  });
}

/**
 * Returns the tiles without a preview in the order of their requests: the quickest ones first.
 * @param {Tile[]} tiles
 */
export function waitingTiles(tiles) {
  const waiting = tiles.filter((tile) => tile.made === null);
  return waiting.sort((one, other) => one.seconds - other.seconds);
}

/** Requests the next preview, unless one of the missing ones is under way. */
export function requestNext() {
  const file = currentFile(state);
  const waiting = waitingTiles(tilesOf(state));
  if (!file?.path || waiting.length === 0) return;
  if (waiting.some((tile) => tile.key === state.requests.comparison)) return;
  const { choice, key } = waiting[0];
  const { region } = openComparison();
  change({ comparison: { ...openComparison(), began: Date.now() } });
  inSlot(
    "comparison",
    key,
    async (signal) => keep(key, await compareWith(choice, region, signal)),
    (error) =>
      sendAgainOrShow(error, file, (problem) => {
        if (state.comparison?.region === region) keep(key, { problem });
      }),
  );
}

/**
 * @param {string} key
 * @param {ComparedPreview} made
 */
function keep(key, made) {
  const previews = { ...openComparison().previews, [key]: made };
  change({ comparison: { ...openComparison(), previews } });
}

function openComparison() {
  return /** @type {Comparison} */ (state.comparison);
}
