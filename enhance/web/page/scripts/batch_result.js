// @ts-check
// The report and the download of the selected photo of the batch, which lie on its result.
import { save } from "./bar_parts.js";
import { draw, html, icon, onPress } from "./dom.js";
import { stageMode } from "./state.js";
import { onChange, prepareDownload, report, state } from "./store.js";
import { nameOfFormat, word } from "./words.js";

/** @param {HTMLElement} element */
export function mountBatchResult(element) {
  onPress(element, {
    report: () => save(report()),
    download: () => save(prepareDownload()),
  });
  return onChange(() => {
    const isShown = state.tab === "batch" && stageMode(state) === "result" && !state.isComparing;
    draw(element, isShown ? buttons() : html``);
  });
}

function buttons() {
  const format = nameOfFormat(state.encoding.format);
  return html`<div class="batch-result">
    ${button("report", word("report"), "report")}
    ${button("download", word("download_as", { format }), "export")}
  </div>`;
}

/**
 * @param {"report" | "download"} act
 * @param {string} text
 * @param {string} slot of its request
 */
function button(act, text, slot) {
  const isBusy = slot in state.requests;
  return html`<button
    type="button"
    class="glass"
    data-act="${act}"
    aria-label="${text}"
    aria-busy="${isBusy}"
  >
    ${isBusy ? html`<i class="ring"></i>` : icon(act)}<span>${text}</span>
  </button>`;
}
