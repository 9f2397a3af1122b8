// @ts-check
// The button that copies a link to the settings.
import { draw, html, icon, onPress } from "./dom.js";
import { linkOfSettings, state } from "./store.js";
import { word } from "./words.js";

/** How long the button says that the link is copied. */
const CONFIRMED_MS = 4000;

/** @param {HTMLElement} element */
export function mountLink(element) {
  let timer = 0;
  onPress(element, {
    copy: async () => {
      await copyText(linkOfSettings(state));
      showButton(element, true);
      clearTimeout(timer);
      timer = setTimeout(() => showButton(element, false), CONFIRMED_MS);
    },
  });
  showButton(element, false);
}

/**
 * @param {HTMLElement} element
 * @param {boolean} isCopied
 */
function showButton(element, isCopied) {
  draw(
    element,
    html`<div class="link">
      <button type="button" class="button quiet" data-act="copy">
        ${icon(isCopied ? "check" : "link")} ${word("copy_link")}
      </button>
      <span class="caption" role="status">${isCopied && word("copied")}</span>
    </div>`,
  );
}

/**
 * Copies a text. Over plain http, a page has no clipboard but the selected text.
 * @param {string} text
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}
