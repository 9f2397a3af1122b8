// @ts-check
// Links with settings, for example `?preset=anime&scale=2&lang=zh-CN`.
import { sizeOf } from "./controls.js";
import { sizeSettings } from "./state.js";
import { constants, language } from "./words.js";

/** @typedef {import("./state.js").State} State */

const LARGEST_NUMBER = 999_999;
const WORDS = {
  format: Object.keys(constants.formats),
  metadata: constants.metadata,
  background: constants.backgrounds,
};
const SWITCHES = { true: true, false: false };

/**
 * Returns the value of a parameter; null if it is not possible.
 * @param {string} name
 * @param {string} text
 */
function valueFrom(name, text) {
  if (name in WORDS) return WORDS[name].includes(text) ? text : null;
  if (name === "tuning" || name === "label") return SWITCHES[text] ?? null;
  const number = text === "" ? NaN : Number(text);
  const range = constants.ranges[name];
  if (range) return number >= range.low && number <= range.high ? number : null;
  return number > 0 && number <= LARGEST_NUMBER ? number : null;
}

/**
 * Returns the choices of a link, on top of those of the state. Impossible values are left out.
 * @param {URLSearchParams} query
 * @param {State} state
 * @returns {Partial<State>}
 */
export function choicesFrom(query, state) {
  /** @type {Record<string, any>} */
  const values = {};
  for (const [name, text] of query) {
    const value = valueFrom(name, text);
    if (value !== null) values[name] = value;
  }
  const preset = query.get("preset");
  const changed = preset ? {} : { ...state.changed };
  const encoding = { ...state.encoding };
  for (const [name, value] of Object.entries(values)) {
    if (name in encoding) encoding[name] = value;
    else if (name === "tuning" || name in constants.ranges) changed[name] = value;
  }
  return {
    preset: preset ?? state.preset,
    size: sizeFrom(query, values) ?? state.size,
    changed,
    encoding,
  };
}

/**
 * @param {URLSearchParams} query
 * @param {Record<string, any>} values
 */
function sizeFrom(query, values) {
  const sides = constants.papers[query.get("paper") ?? ""];
  const named = sides && { print_width: sides[0], print_height: sides[1] };
  return sizeOf({ ...values, ...named });
}

/**
 * Returns the address of the page with the settings of the controls.
 * @param {State} state
 */
export function linkOfSettings(state) {
  const address = new URL(location.href);
  const settings = { preset: state.preset, ...sizeSettings(state.size), ...state.changed };
  address.search = "";
  for (const [name, value] of Object.entries({ ...settings, ...state.encoding })) {
    if (value !== null) address.searchParams.set(name, String(value));
  }
  address.searchParams.set("lang", language);
  return address.href;
}
