// @ts-check
// The focus goes to the control of the next step, unless the user works with something else.

import { currentFile, stageMode } from "./state.js";
import { onChange, state } from "./store.js";

/** The control of the next step, by the step that the page is at. */
const NEXT = {
  empty: "#choose",
  upload: "#chooser [data-act=cancel]",
  photo: "#stage canvas",
  live: "#cancel",
  result: "#download",
  batch: "#stage canvas",
  "live batch": "#batch-cancel",
  "batch result": "#batch-download",
};

/** The control of the next step after a run was cancelled, by the step to which that leads. */
const AFTER_CANCEL = { photo: "#enhance", batch: "#batch-enhance" };

let shown = "";

/** Moves the focus after each step. */
export function watchSteps() {
  shown = currentStep();
  // The parts of the page are drawn in the same frame. The next step is there after them.
  onChange(() => queueMicrotask(moveFocus));
}

/** Returns what the stage shows, that a photo for it is on its way, or how far the batch is. */
function currentStep() {
  const { tab, batch } = state;
  if (tab === "batch" && batch.isOpen) {
    if (batch.isRunning) return "live batch";
    return batch.archive ? "batch result" : "batch";
  }
  const mode = stageMode(state);
  return mode === "empty" && currentFile(state) ? "upload" : mode;
}

function moveFocus() {
  const step = currentStep();
  if (step === shown) return;
  const isCancelled = shown.startsWith("live") && step in AFTER_CANCEL;
  shown = step;
  if (isElsewhere()) return;
  const next = document.querySelector((isCancelled ? AFTER_CANCEL : NEXT)[step]);
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}

/** Returns whether the user works with something that is still there. */
function isElsewhere() {
  const { activeElement } = document;
  const isNowhere = activeElement === null || activeElement === document.body;
  return !isNowhere && activeElement.checkVisibility();
}
