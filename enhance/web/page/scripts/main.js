// @ts-check
// The entry point: mounts the parts of the page, and marks the body with the state for the styles.
import { mountBar } from "./bar.js";
import { mountList } from "./batch_list.js";
import { mountBatchResult } from "./batch_result.js";
import { mountChooser } from "./chooser.js";
import { mountComparison } from "./comparison.js";
import { watchConnection } from "./connection.js";
import { draw, html } from "./dom.js";
import { watchFiles } from "./files.js";
import { mountFormatTitle, mountPresetTitle, mountSizeTitle } from "./folds.js";
import { mountLink } from "./link.js";
import { changeControl, controlUpdates, watchMenus, watchNames } from "./native.js";
import { watchSteps } from "./next_step.js";
import { mountFormatNotice, mountSizeNotice } from "./notices.js";
import { mountNextRun } from "./panel.js";
import { mountPresets } from "./presets.js";
import { mountRecent } from "./recent.js";
import { mountGrip } from "./sheet.js";
import { mountStage } from "./stage.js";
import { currentFile, currentPlan, isRunning, stageMode } from "./state.js";
import * as store from "./store.js";
import { mountSummary } from "./summary.js";
import { watchTitle } from "./title.js";
import { mountHead } from "./top_bar.js";

/**
 * The function that mounts each part, which is an HTML component with this name. It returns a function
 * that ends what it has begun beside its element, such as drawing.
 */
const PARTS = {
  head: mountHead,
  chooser: mountChooser,
  list: mountList,
  stage: mountStage,
  "batch-result": mountBatchResult,
  comparison: mountComparison,
  grip: mountGrip,
  "size-title": mountSizeTitle,
  "size-notice": mountSizeNotice,
  "preset-title": mountPresetTitle,
  presets: mountPresets,
  "format-title": mountFormatTitle,
  "format-notice": mountFormatNotice,
  link: mountLink,
  "next-run": mountNextRun,
  summary: mountSummary,
  bar: mountBar,
  recent: mountRecent,
};

/** The element in which each part is mounted, and the function that ends this.
 * @type {Record<string, { element: HTMLElement, end: (() => void) | undefined }>} */
const shown = {};

/**
 * Mounts a part of the page in its element. The same element can come again, and a new one replaces
 * the one before.
 * @param {string} name
 * @param {HTMLElement} element
 * @param {(event: string, data?: any) => void} trigger
 */
function mount(name, element, trigger) {
  if (shown[name]?.element === element) return;
  const early = document.getElementById("early");
  if (name === "chooser" && !early?.contains(element)) early?.remove();
  shown[name]?.end?.();
  shown[name] = { element, end: PARTS[name](element, trigger) };
}

/** Shows the welcome until Gradio has loaded its components, which takes longer. */
function showWelcome() {
  const early = document.createElement("div");
  early.id = "early";
  const names = ["head", "chooser"];
  const parts = names.map(
    (name) =>
      html`<div id="${name}" class="block">
        <div class="html-container"><div></div></div>
      </div>`,
  );
  draw(early, html`<div id="app">${parts}</div>`);
  document.body.append(early);
  for (const name of names) mount(name, inside(early, `#${name}`), () => {});
}

/** @param {Element} early @param {string} part */
function inside(early, part) {
  return /** @type {HTMLElement} */ (early.querySelector(`${part} .html-container > div`));
}

/** What the native buttons of Gradio do. */
const ACTIONS = {
  retry: store.retryPreview,
  reset: store.resetTuning,
  "compare-presets": () => store.change({ isComparing: true, isPanelOpen: false }),
};

/** @param {import("./state.js").State} now */
function markBody(now) {
  const { dataset } = document.body;
  dataset.tab = now.tab;
  dataset.stage = stageMode(now);
  dataset.running = String(isRunning(now));
  dataset.comparing = String(now.isComparing);
  dataset.hasPhoto = String(currentPlan(now) !== null);
}

let hasAskedForPresets = false;

/** Before there is a photo, nothing shows the presets. @param {import("./state.js").State} now */
function loadPresets(now) {
  if (hasAskedForPresets || currentFile(now) === null) return;
  hasAskedForPresets = true;
  store.loadPresets();
}

/** What the components of Gradio call, and what tests read. */
const page = {
  mount,
  set: changeControl,
  values: controlUpdates,
  press: (/** @type {string} */ name) => ACTIONS[name](),
  state: store.state,
};
const { mounted } = /** @type {any} */ (window).enhance;
Object.assign(/** @type {any} */ (window).enhance, page);
store.restore();
addEventListener("pagehide", store.save);
watchFiles();
watchConnection();
store.onChange(markBody);
if (mounted.length === 0 && !currentFile(store.state)) showWelcome();
for (const [name, element, trigger] of mounted) mount(name, element, trigger);
watchTitle();
watchSteps();
watchNames();
watchMenus();
store.onChange(loadPresets);
