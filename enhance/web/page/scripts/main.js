// @ts-check
// The entry point: mounts the parts of the page, and marks the body with the state for the styles.
import { watchConnection } from "./connection.js";
import { watchFiles } from "./files.js";
import { changeControl, controlUpdates } from "./native.js";
import * as state from "./state.js";
import * as store from "./store.js";
import { watchTitle } from "./title.js";

/** The module and the function of each part, which is an HTML component with this name. */
const PARTS = {
  head: ["top_bar", "mountHead"],
  chooser: ["chooser", "mountChooser"],
  list: ["batch", "mountList"],
  stage: ["stage", "mountStage"],
  comparison: ["comparison", "mountComparison"],
  grip: ["sheet", "mountGrip"],
  "size-title": ["folds", "mountSizeTitle"],
  "size-notice": ["notices", "mountSizeNotice"],
  "preset-title": ["folds", "mountPresetTitle"],
  presets: ["presets", "mountPresets"],
  "preset-notice": ["notices", "mountPresetNotice"],
  "format-title": ["folds", "mountFormatTitle"],
  "format-notice": ["notices", "mountFormatNotice"],
  "next-run": ["panel", "mountNextRun"],
  summary: ["summary", "mountSummary"],
  bar: ["bar", "mountBar"],
  recent: ["recent", "mountRecent"],
};

/**
 * Mounts a part of the page in its element. The same element, or a new one, can come again.
 * @param {string} name
 * @param {HTMLElement} element
 * @param {(event: string, data?: any) => void} trigger
 */
async function mount(name, element, trigger) {
  const [file, mountPart] = PARTS[name];
  // Not every part exists yet.
  const module = await import(`./${file}.js`).catch((error) => console.warn(error.message));
  module?.[mountPart]?.(element, trigger);
}

/** What the native buttons of Gradio do. */
const ACTIONS = {
  retry: store.retryPreview,
  reset: store.resetTuning,
  "compare-presets": () => store.change({ isComparing: true }),
};

/** @param {import("./state.js").State} now */
function markBody(now) {
  const { dataset } = document.body;
  dataset.tab = now.tab;
  dataset.stage = state.stageMode(now);
  dataset.running = String(state.isRunning(now));
  dataset.comparing = String(now.isComparing);
  dataset.hasPhoto = String(state.photoOf(now) !== null);
}

/** What the components of Gradio call, and what tests read. */
const page = {
  mount,
  set: changeControl,
  values: controlUpdates,
  press: (/** @type {string} */ name) => ACTIONS[name](),
  state: store.state,
};
/** @type {any} */ (window).enhance = Object.assign(
  /** @type {any} */ (window).enhance ?? {},
  page,
);
store.restore();
watchFiles();
watchConnection();
store.onChange(markBody);
watchTitle();
store.loadPresets();
