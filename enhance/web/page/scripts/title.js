// @ts-check
// The title of the browser's tab, which has the progress of a run.

import { percentOf } from "./progress.js";
import { isRunning } from "./state.js";
import { onChange, state } from "./store.js";

const TITLE = "Enhance";

/** Keeps the title as the state wants it. */
export function watchTitle() {
  onChange(() => {
    document.title = titleOf();
  });
}

function titleOf() {
  if (!isRunning(state)) return TITLE;
  const { progress } = state;
  const single = progress?.total ? progress.done / progress.total : 0;
  const share = state.tab === "batch" ? (state.batch.progress?.share ?? 0) : single;
  return `${percentOf(share)}% ${TITLE}`;
}
