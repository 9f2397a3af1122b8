// @ts-check
// The title of the browser's tab, and the focus, which goes to the next step.

import { percentOf } from "./progress.js";
import { currentFile, isRunning, stageMode } from "./state.js";
import { onChange, state } from "./store.js";

const TITLE = "Enhance";

/** The control of the next step, by the step that the page is at. */
const NEXT = {
  empty: "#choose",
  upload: "#chooser [data-act=cancel]",
  photo: "#stage canvas",
  live: "#cancel",
  result: "#download",
};

let shown = "";

/** Keeps the title and the focus as the state wants them. */
export function watchTitle() {
  shown = currentStep();
  onChange(() => {
    document.title = titleOf();
    // The parts of the page are drawn in the same frame. The next step is there after them.
    queueMicrotask(moveFocus);
  });
}

function titleOf() {
  if (!isRunning(state)) return TITLE;
  const { progress } = state;
  const single = progress?.total ? progress.done / progress.total : 0;
  const share = state.tab === "batch" ? (state.batch.progress?.share ?? 0) : single;
  return `${percentOf(share)}% ${TITLE}`;
}

/** Returns what the stage shows, or that a photo for it is on its way. */
function currentStep() {
  const mode = stageMode(state);
  return mode === "empty" && currentFile(state) ? "upload" : mode;
}

function moveFocus() {
  const step = currentStep();
  if (step === shown) return;
  const isCancelled = shown === "live" && step === "photo";
  shown = step;
  if (isElsewhere()) return;
  const next = document.querySelector(isCancelled ? "#enhance" : NEXT[step]);
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}

/** Returns whether the user works with something that is still there. */
function isElsewhere() {
  const { activeElement } = document;
  const isNowhere = activeElement === null || activeElement === document.body;
  return !isNowhere && activeElement.checkVisibility();
}
