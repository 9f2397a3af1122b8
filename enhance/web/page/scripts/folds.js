// @ts-check
// The sections of the panel. Each has a title. While the stage shows a result, the sections are
// folded to one line each, which says what is chosen and opens the section.
import { draw, html, icon, onPress } from "./dom.js";
import { effectivePreset } from "./native.js";
import { stageMode } from "./state.js";
import { onChange, state } from "./store.js";
import { constants, formatNumber, formatPixels, nameOf, nameOfFormat, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

/** The sections that the user has opened while the others are folded. */
let opened = new Set();
let wasFolded = false;

/** @param {State} state */
export const isFolded = (state) => state.tab === "single" && stageMode(state) === "result";

/**
 * Shows the title of a section, which folds it.
 * @param {HTMLElement} element
 * @param {string} name
 * @param {() => string} titleOf
 * @param {(state: State) => string} summaryOf
 */
function showTitle(element, name, titleOf, summaryOf) {
  const section = /** @type {HTMLElement} */ (element.closest(".section"));
  const drawTitle = (/** @type {State} */ state) => {
    const isOpen = opened.has(name);
    section.classList.toggle("folded", isFolded(state) && !isOpen);
    const title = html`<span class="label" id="${name}-title">${titleOf()}</span>`;
    const button = html`<button
      type="button"
      class="fold"
      data-act="fold"
      aria-expanded="${String(isOpen)}"
    >
      ${title}<span class="caption">${summaryOf(state)}</span>${icon("chevron")}
    </button>`;
    draw(element, isFolded(state) ? button : title);
  };
  onPress(element, {
    fold: () => {
      if (!opened.delete(name)) opened.add(name);
      drawTitle(state);
    },
  });
  return onChange(drawTitle);
}

/**
 * Returns what the output size is, in a few words.
 * @param {State} state
 */
function sizeSummary({ size }) {
  if (size.kind === "print") {
    const sides = `${size.print_width} × ${size.print_height}`;
    const isOwn = !(size.paper in constants.papers);
    const name = isOwn ? word("print_sides", { sides }) : nameOf("paper", size.paper);
    return word("print_size_of", { name, dpi: size.dpi });
  }
  if (size.kind !== "custom") return nameOf("size", size.kind);
  if (size.by === "scale") return word("scale_of", { scale: size.scale });
  if (size.by === "megapixels") return formatPixels(1e6 * (size.megapixels ?? 0), 6);
  return word("long_side_of", { pixels: formatNumber(size.long_side ?? 0) });
}

/** @param {State} state */
function presetSummary(state) {
  const name = nameOf("preset", state.preset);
  if (state.preset !== "auto") return name;
  const chosen = nameOf("preset", effectivePreset(state));
  return word("name_and_value", { name, value: chosen });
}

/** @param {State} state */
function formatSummary({ encoding }) {
  const names = nameOfFormat(encoding.format);
  return word("names_joined", { names, name: nameOf("metadata", encoding.metadata) });
}

/** @param {HTMLElement} element */
export const mountSizeTitle = (element) =>
  showTitle(element, "size", () => word("size"), sizeSummary);

/** @param {HTMLElement} element */
export const mountPresetTitle = (element) =>
  showTitle(element, "preset", () => word("preset"), presetSummary);

/** @param {HTMLElement} element */
export const mountFormatTitle = (element) =>
  showTitle(element, "format", () => word("format_metadata"), formatSummary);

/** Keeps the control that has the focus where it is on the screen, while sections fold or unfold. */
function keepPlace() {
  const panel = document.getElementById("panel");
  const focused = document.activeElement;
  if (!panel) return;
  if (!focused || !panel.contains(focused)) {
    panel.scrollTop = 0;
    return;
  }
  const { top } = focused.getBoundingClientRect();
  requestAnimationFrame(() => {
    panel.scrollTop += focused.getBoundingClientRect().top - top;
  });
}

// A new result folds the sections again.
onChange((state) => {
  const isNow = isFolded(state);
  if (isNow !== wasFolded) {
    if (isNow) opened = new Set();
    wasFolded = isNow;
    keepPlace();
  }
  // Each time, because Gradio can build the panel after the state of an earlier visit was restored.
  document.getElementById("panel")?.classList.toggle("folded", isNow);
});
