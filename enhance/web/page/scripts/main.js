// @ts-check
// The entry point: mounts the parts of the page, and marks the body with the state for the styles.
import { watchConnection } from "./connection.js";
import { watchFiles } from "./files.js";
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
  "size-notice": ["panel", "mountSizeNotice"],
  presets: ["presets", "mountPresets"],
  "preset-notice": ["panel", "mountPresetNotice"],
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

/**
 * Returns what the native controls of these names show. A control whose value is not known keeps
 * the one that it has.
 * @param {string[]} names
 */
function values(names) {
  return names.map((name) => state.valueOf(store.state, name) ?? { __type__: "update" });
}

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
  values,
  set: store.set,
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
