// @ts-check
// The presets that suit a photo.

/** @typedef {import("./state.js").Plan} Plan */

/** The presets for each kind of image, the most suitable ones first. */
const BY_KIND = {
  photo: ["precise", "balanced", "fast", "gentle", "original", "gentle-2x"],
  drawing: ["anime", "anime-fast", "precise", "gentle", "original"],
  text: ["precise", "fast", "gentle", "anime", "original"],
};

const MOST_PRESETS = 5;

/**
 * Returns the names of the presets to compare: the one that Auto selects, then those that suit the
 * photo. The chosen one is always among them, and presets that are not installed are not.
 * @param {Plan} plan
 * @param {{ name: string, available: boolean, own: boolean }[]} presets
 * @param {string} chosen
 * @returns {string[]}
 */
export function suitablePresets(plan, presets, chosen) {
  const installed = presets.filter((preset) => preset.available).map((preset) => preset.name);
  const own = presets.filter((preset) => preset.own).map((preset) => preset.name);
  const solutions = plan.tips.flatMap((tip) => tip.solutions);
  const suggested = solutions.map((solution) => solution.values.preset);
  const wanted = [...suggested, ...BY_KIND[plan.auto.analysis.kind], ...own];
  const suitable = wanted.filter((name) => installed.includes(name));
  // Only Auto selects Resize, which is not in the list of presets.
  const names = [...new Set([plan.auto.preset, ...suitable])].slice(0, MOST_PRESETS);
  if (chosen === "auto" || names.includes(chosen)) return names;
  return [...names.slice(0, MOST_PRESETS - 1), chosen];
}
