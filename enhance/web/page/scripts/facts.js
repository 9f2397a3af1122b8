// @ts-check
// The facts of the photo or of its result: a line in the bar, and all of them under More.

import { html } from "./dom.js";
import { gradeName, gradeOf } from "./fidelity.js";
import { currentPlan, isResultCurrent, resultOf, savedFile } from "./state.js";
import {
  formatBytes,
  formatDuration,
  formatNumber,
  formatPixels,
  nameOf,
  nameOfFormat,
  word,
} from "./words.js";

/** @typedef {import("./state.js").Plan} Plan */
/** @typedef {import("./state.js").Result} Result */
/** @typedef {import("./state.js").State} State */
/** @typedef {{ label: string, value: string }} Fact */

const CM_PER_INCH = 2.54;

/** Cameras write lower resolutions into their files, which are not meant for prints. */
const LEAST_DPI = 300;

/**
 * Returns the line of facts of the current photo or result, with a button for all facts.
 * @param {State} state
 */
export function factsLine(state) {
  const plan = currentPlan(state);
  if (!plan) return null;
  const main = mainFacts(state, plan, shownResult(state));
  return html`<div class="facts-line">
      <dl id="facts">${main.map(factHtml)}</dl>
      <button type="button" class="button plain" popovertarget="all-facts">${word("more")}</button>
    </div>
    <dl id="all-facts" popover tabindex="0" aria-label="${word("facts")}">${allFacts(state)}</dl>`;
}

/** @param {State} state */
const shownResult = (state) => (isResultCurrent(state) ? resultOf(state) : null);

/**
 * Returns all facts of the current photo or result.
 * @param {State} state
 */
export function allFacts(state) {
  const plan = currentPlan(state);
  if (!plan) return null;
  const result = shownResult(state);
  const others = result ? resultFacts(state, result) : photoFacts(state, plan);
  return [...mainFacts(state, plan, result), ...others].map(factHtml);
}

/** @param {Fact} fact */
export function factHtml({ label, value }) {
  return html`<div>
    <dt>${label}</dt>
    <dd title="${value}">${value}</dd>
  </div>`;
}

/**
 * @param {State} state
 * @param {Plan} plan
 * @param {Result | null} result
 */
function mainFacts(state, plan, result) {
  const { photo } = plan;
  const file = result && savedFile(state, result);
  /** @type {Fact[]} */
  const found = [{ label: word("fact_name"), value: file ? file.name : photo.name }];
  if (!result) found.push({ label: word("fact_size"), value: photoSize(photo) });
  found.push(printSize(plan, result));
  if (photo.has_location) {
    found.push({ label: word("fact_location"), value: locationText(state, file !== null) });
  }
  return found;
}

/**
 * @param {number} width
 * @param {number} height
 */
export function pixelSize(width, height) {
  return word("size_in_pixels", { width: formatNumber(width), height: formatNumber(height) });
}

/** @param {Plan["photo"]} photo */
function photoSize({ width, height }) {
  const size = pixelSize(width, height);
  const pixels = width * height;
  return pixels < 1e6 ? size : word("photo_size", { size, pixels: formatPixels(pixels) });
}

/**
 * @param {Plan} plan
 * @param {Result | null} result
 */
function printSize(plan, result) {
  const { width, height } = result ? result.info.output : plan.result;
  const dpi = plan.settings.dpi ?? Math.max(Math.round(plan.photo.dpi ?? 0), LEAST_DPI);
  const size = { width: centimetres(width, dpi), height: centimetres(height, dpi) };
  return { label: word("fact_print", { dpi }), value: word("print_size_short", size) };
}

/**
 * Returns the length of a printed side.
 * @param {number} pixels
 * @param {number} dpi
 */
export function centimetres(pixels, dpi) {
  return ((CM_PER_INCH * pixels) / dpi).toFixed(1);
}

/**
 * @param {State} state
 * @param {boolean} isSaved
 */
function locationText({ encoding }, isSaved) {
  const isKept = encoding.metadata === "keep";
  if (isSaved) return isKept ? word("location_kept") : word("location_removed");
  return isKept ? word("location_in_photo") : word("location_will_be_removed");
}

/**
 * Returns the licence of a preset as a fact, if it has a model.
 * @param {State} state
 * @param {string} preset
 */
function licence(state, preset) {
  const text = state.presets.find(({ name }) => name === preset)?.licence;
  return text ? [{ label: nameOf("preset", preset), value: text }] : [];
}

/**
 * @param {State} state
 * @param {Plan} plan
 */
function photoFacts(state, { photo, result, settings }) {
  const { format, frames, bits, orientation } = photo;
  const depth = photo.has_alpha ? word("bits_alpha", { bits }) : word("bits", { bits });
  const turned = orientation === 1 ? word("upright") : word("turned", { orientation });
  const container = frames > 1 ? word("frames", { format, frames }) : format;
  return [
    { label: word("fact_result"), value: pixelSize(result.width, result.height) },
    { label: word("format"), value: container },
    { label: word("fact_depth"), value: depth },
    { label: word("fact_profile"), value: photo.profile ?? word("no_profile") },
    { label: word("fact_disk"), value: formatBytes(photo.bytes) },
    { label: word("fact_orientation"), value: turned },
    ...licence(state, settings.preset),
  ];
}

/**
 * @param {State} state
 * @param {Result} result
 */
function resultFacts(state, result) {
  const { info } = result;
  const { input, output, model, device, precision } = info;
  const grade = gradeOf(info);
  const size = pixelSize(input.width, input.height);
  const source = [input.name, size, formatBytes(input.bytes)].join(" · ");
  const fidelity = grade ? [{ label: word("fidelity"), value: gradeName(grade) }] : [];
  return [
    { label: word("fact_result"), value: pixelSize(output.width, output.height) },
    { label: word("format"), value: fileText(state, result) },
    { label: word("row_input"), value: source },
    ...fidelity,
    { label: word("row_time"), value: times(info.seconds) },
    { label: word("row_device"), value: word("row_device_of", { device, precision }) },
    { label: word("row_model"), value: word("row_model_of", model) },
    { label: word("row_source"), value: sources(model.source) },
    ...licence(state, info.preset),
    { label: word("row_signature"), value: info.signature },
    { label: word("row_task"), value: info.task_id },
  ];
}

/**
 * Returns the format of a result with the size of its file, for example "PNG, 148 MB". The size is
 * not known before the file is created.
 * @param {State} state
 * @param {Result} result
 */
export function fileText(state, result) {
  const format = nameOfFormat(state.encoding.format);
  const file = savedFile(state, result);
  return file ? word("format_size", { format, size: formatBytes(file.bytes) }) : format;
}

/** The ending of a source of a model with rounded weights, as the server records it. */
const ROUNDED = " (fp16-rounded)";

/**
 * Returns the sources of a model and of the networks that are part of it.
 * @param {string} recorded
 */
function sources(recorded) {
  const texts = recorded.split(" · ").map((source) => {
    if (!source.endsWith(ROUNDED)) return source;
    return word("report_rounded", { source: source.slice(0, -ROUNDED.length) });
  });
  return texts.join(" · ");
}

/** @param {Record<string, number>} seconds */
function times(seconds) {
  const texts = Object.entries(seconds).map(([step, time]) => [step, measuredTime(time)]);
  return word("row_times", Object.fromEntries(texts));
}

/**
 * Returns a measured time, with decimals if it is short.
 * @param {number} seconds
 */
function measuredTime(seconds) {
  if (seconds >= 100) return formatDuration(seconds);
  return word("seconds", { n: seconds.toFixed(seconds < 1 ? 2 : 1) });
}
