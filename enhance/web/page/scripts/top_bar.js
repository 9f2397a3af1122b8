// @ts-check
// The top bar: the tabs, and the buttons that concern the whole page.

import { draw, html, icon, onPress } from "./dom.js";
import { openPhotoDialog } from "./files.js";
import { switchLanguage, switchTheme } from "./preferences.js";
import { currentPlan } from "./state.js";
import { change, onChange, set, state } from "./store.js";
import { constants, language, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

const TABS = /** @type {const} */ (["single", "batch"]);

/**
 * Shows the top bar in the element.
 * @param {HTMLElement} element
 */
export function mountHead(element) {
  onPress(element, {
    tab: (button) => set("tab", button.dataset.tab),
    replace: openPhotoDialog,
    recent: (button) => closeMenuAnd(button, () => change({ isRecentOpen: true })),
    language: (link, event) => {
      event.preventDefault(); // A reload keeps the photo, the settings and a run, unlike the link.
      switchLanguage(link.lang);
    },
    theme: (button) => closeMenuAnd(button, switchTheme),
    logout: logOut,
  });
  element.addEventListener("keydown", selectTabByKey);
  return onChange(() => draw(element, topBar(state)));
}

/** @param {State} state */
function topBar(state) {
  return html`
    <div class="brand">
      <i></i>
      <h1>Enhance</h1>
    </div>
    <div class="tabs" role="tablist" aria-label="Enhance">
      ${TABS.map((tab) => tabButton(tab, state.tab === tab))}
    </div>
    <div class="buttons" data-login="${String(hasLogin())}">
      ${canReplace(state) && replaceButton()} ${recentButton(state)}
      <div class="page-buttons">${pageButtons()}</div>
      <button
        type="button"
        class="button plain square"
        id="more"
        popovertarget="menu"
        aria-label="${word("more")}"
      >
        ${icon("more")}
      </button>
      <div id="menu" popover>
        ${button("recent", icon("recent"), word("history"))} ${pageButtons()}
      </div>
    </div>
  `;
}

/**
 * @param {"single" | "batch"} tab
 * @param {boolean} isSelected
 */
function tabButton(tab, isSelected) {
  return html`<button
    type="button"
    role="tab"
    id="tab-${tab}"
    data-act="tab"
    data-tab="${tab}"
    aria-selected="${String(isSelected)}"
    tabindex="${isSelected ? 0 : -1}"
  >
    ${tab === "single" ? word("tab_one") : word("tab_many")}
  </button>`;
}

/** @param {State} state */
function canReplace(state) {
  return state.tab === "single" && currentPlan(state) !== null;
}

function replaceButton() {
  const text = word("replace");
  return html`<button
    type="button"
    class="button plain"
    id="replace"
    data-act="replace"
    aria-label="${text}"
  >
    ${icon("replace")}<span>${text}</span>
  </button>`;
}

/** @param {State} state */
function recentButton(state) {
  const text = word("history");
  return html`<button
    type="button"
    class="button plain"
    id="recent-button"
    data-act="recent"
    aria-label="${text}"
    aria-haspopup="dialog"
    aria-expanded="${String(state.isRecentOpen)}"
  >
    ${icon("recent")}<span>${text}</span>
  </button>`;
}

/** Returns the buttons that are in the bar, and in its menu where the bar is too narrow for them. */
function pageButtons() {
  return html`
    ${languageLinks()} ${button("theme", themeIcons(), word("theme"))}
    ${hasLogin() && button("logout", icon("logout"), word("logout"))}
  `;
}

function themeIcons() {
  return html`<i class="light-only">${icon("moon")}</i><i class="dark-only">${icon("sun")}</i>`;
}

function languageLinks() {
  const others = Object.entries(constants.languages).filter(([code]) => code !== language);
  return others.map(
    ([code, name]) =>
      html`<a class="button plain" href="?lang=${code}" lang="${code}" data-act="language">
        ${name}
      </a>`,
  );
}

/**
 * Returns a button whose text is visible in the menu only.
 * @param {string} act
 * @param {import("./dom.js").Html} image
 * @param {string} text
 */
function button(act, image, text) {
  return html`<button
    type="button"
    class="button plain"
    data-act="${act}"
    title="${text}"
    aria-label="${text}"
  >
    ${image}<span>${text}</span>
  </button>`;
}

/** Returns whether the server has a login. Gradio's configuration then has the user's name. */
function hasLogin() {
  return Boolean(/** @type {any} */ (window).gradio_config?.username);
}

/**
 * Does what a button is for, after closing the menu that it is in. Closing gives the focus back to
 * the button of the menu, from where the next popover takes it.
 * @param {HTMLElement} button
 * @param {() => void} action
 */
function closeMenuAnd(button, action) {
  /** @type {HTMLElement | null} */ (button.closest("[popover]"))?.hidePopover();
  action();
}

/** @param {KeyboardEvent} event */
function selectTabByKey(event) {
  const tab = /** @type {Element} */ (event.target).closest("[role=tab]");
  if (!tab || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  event.preventDefault();
  const isFirst = event.key === "Home" || (event.key !== "End" && tab.id === "tab-batch");
  const next = isFirst ? "single" : "batch";
  set("tab", next);
  document.getElementById(`tab-${next}`)?.focus();
}

async function logOut() {
  await fetch("logout", { method: "POST" }).catch(() => null);
  location.reload();
}
