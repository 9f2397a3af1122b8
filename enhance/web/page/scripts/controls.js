// @ts-check
// What the user chooses with the controls.
import { requestNow } from "./requests.js";
import { change, state } from "./slots.js";
import { COMMON_SIZES, SIZE_SETTINGS } from "./state.js";
import { constants } from "./words.js";

/**
 * Sets a control by its name.
 * @param {string} name
 * @param {any} value
 */
export function set(name, value) {
  if (name === "preset") change({ preset: value, changed: {} });
  else if (name === "tab") change({ tab: value, region: null });
  else if (name === "largest") change({ largest: value });
  else if (name in state.size) change({ size: { ...state.size, [name]: value } });
  else if (name in state.encoding) change({ encoding: { ...state.encoding, [name]: value } });
  else change({ changed: { ...state.changed, [name]: value } });
}

/**
 * Sets the values of a solution, which are settings.
 * @param {Record<string, any>} values
 */
export function applyValues(values) {
  if ("preset" in values) set("preset", values.preset);
  const size = sizeOf(values);
  if (size) change({ size });
  for (const [name, value] of Object.entries(values)) {
    if (name !== "preset" && !SIZE_SETTINGS.includes(name)) set(name, value);
  }
}

/**
 * Returns the controls of the output size for settings; null if they do not have one.
 * @param {Record<string, any>} values
 * @returns {import("./state.js").Size | null}
 */
export function sizeOf(values) {
  const by = /** @type {const} */ (["scale", "long_side", "megapixels"]).find(
    (name) => (values[name] ?? null) !== null,
  );
  const common = /** @type {const} */ (["2x", "4x", "web"]).find(
    (kind) => by && COMMON_SIZES[kind][by] === values[by],
  );
  if (common) return { ...state.size, kind: common };
  if (by) return { ...state.size, kind: "custom", by, [by]: values[by] };
  const sides = [values.print_width ?? null, values.print_height ?? null];
  if (sides[0] === null && sides[1] === null) return withResolution(values.dpi ?? null);
  const known = Object.keys(constants.papers).find((name) =>
    constants.papers[name].every((side, place) => side === sides[place]),
  );
  const [print_width, print_height] = sides;
  const dpi = values.dpi ?? state.size.dpi;
  return { ...state.size, kind: "print", paper: known ?? "own", print_width, print_height, dpi };
}

/**
 * Returns the controls of the output size with another resolution of the print.
 * @param {number | null} dpi
 * @returns {import("./state.js").Size | null}
 */
function withResolution(dpi) {
  return dpi === null ? null : { ...state.size, dpi };
}

/** Sets the sliders and switches to the values of the preset. */
export function resetTuning() {
  change({ changed: {} });
}

/**
 * Sets the visible region of the photo, which has not moved for a while.
 * @param {import("./state.js").Rectangle | null} region
 */
export function setRegion(region) {
  if (JSON.stringify(region) === JSON.stringify(state.region)) return;
  change({ region });
  requestNow();
}
