// @ts-check
// The presets that suit a photo, and the part of the photo on which they are compared.

/** @typedef {import("./state.js").Plan} Plan */
/** @typedef {import("./state.js").Rectangle} Rectangle */

/** The presets for each kind of image, the most suitable ones first. */
const BY_KIND = {
  photo: ["precise", "balanced", "fast", "gentle", "original", "gentle-2x"],
  drawing: ["anime", "anime-fast", "precise", "gentle", "original"],
  text: ["precise", "fast", "gentle", "anime", "original"],
};

const MOST_PRESETS = 5;
/** The side of the compared region in pixels of the photo. Each preset takes a few seconds for it. */
const SIDE = 144;

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

/**
 * Returns the region of a photo around the centre of a rectangle.
 * @param {Rectangle} rectangle
 * @param {{ width: number, height: number }} photo
 * @returns {Rectangle}
 */
export function comparedRegion([left, top, width, height], photo) {
  const across = Math.min(SIDE, photo.width);
  const down = Math.min(SIDE, photo.height);
  const x = Math.round(left + width / 2 - across / 2);
  const y = Math.round(top + height / 2 - down / 2);
  return [
    Math.min(Math.max(x, 0), photo.width - across),
    Math.min(Math.max(y, 0), photo.height - down),
    across,
    down,
  ];
}
