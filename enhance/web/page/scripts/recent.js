// @ts-check
// The list of recent results: a popover of the top bar, or a sheet on a phone.

import { closeButton, iconButton } from "./buttons.js";
import { draw, html, icon, onPress } from "./dom.js";
import { pixelSize } from "./facts.js";
import { gradeName, gradeOf } from "./fidelity.js";
import { holdFocus } from "./focus.js";
import { percentOf, progressBar } from "./progress.js";
import {
  cancelRecent,
  downloadRecent,
  forget,
  listed,
  loadRecent,
  openRecent,
} from "./recent_results.js";
import { change, onChange, state } from "./store.js";
import { reducedAddress } from "./thumbnails.js";
import { constants, formatDuration, joinTexts, language, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").RecentEntry} RecentEntry */

const RELOAD_MS = 2000;
/** The shorter side of a thumbnail in device pixels, on a screen with two of them for a CSS pixel. */
const THUMBNAIL_SIDE = 112;

/** The id of the entry whose Remove has been pressed once. */
let asked = "";

/**
 * Shows the list in the element while it is open.
 * @param {HTMLElement} element
 */
export function mountRecent(element) {
  /** @type {(() => void) | null} */
  let release = null;
  const update = () => {
    const { isRecentOpen } = state;
    draw(element, isRecentOpen ? popover(state) : html``);
    if (release && document.activeElement === document.body) focusFirst(element);
    if (isRecentOpen && !release) {
      asked = "";
      release = holdFocus(element, close);
      loadRecent();
    } else if (!isRecentOpen && release) {
      release();
      release = null;
    }
  };
  const endDrawing = onChange(update);
  const timer = setInterval(() => release && canReload(state) && loadRecent(), RELOAD_MS);
  onPress(element, {
    close,
    open: (button) => openRecent(idOf(button)),
    cancel: (button) => cancelRecent(idOf(button)),
    download: (button) => downloadRecent(idOf(button)),
    remove: (button) => remove(idOf(button)),
  });
  // Any other press takes the question of Remove back.
  element.addEventListener("click", (event) => {
    const pressed = /** @type {Element} */ (event.target).closest("[data-act=remove]");
    if (!pressed) asked = "";
    update();
  });
  return () => {
    endDrawing();
    clearInterval(timer);
    release?.();
  };
}

function close() {
  change({ isRecentOpen: false });
}

/**
 * Moves the focus into the list after its element was removed.
 * @param {Element} element
 */
function focusFirst(element) {
  const button = element.querySelector(".entry button") ?? element.querySelector("button");
  if (button instanceof HTMLElement) button.focus();
}

/**
 * Deletes an entry at the second press.
 * @param {string} id
 */
function remove(id) {
  if (asked === id) forget(id);
  asked = asked === id ? "" : id;
}

/** @param {Element} button */
function idOf(button) {
  return /** @type {HTMLElement} */ (button.closest(".entry")).dataset.id ?? "";
}

/**
 * Returns whether the list changes by itself, and is not being loaded already.
 * @param {State} state
 */
function canReload(state) {
  const hasRunning = state.recent?.some((entry) => entry.state === "running");
  return hasRunning && !("recent" in state.requests);
}

/** @param {State} state */
function popover(state) {
  const entries = listed(state);
  return html`<section
    class="popover"
    role="dialog"
    aria-modal="true"
    aria-labelledby="recent-title"
  >
    <header>
      <h2 id="recent-title">${word("history")}</h2>
      ${closeButton()}
    </header>
    ${state.recentProblem && html`<p class="problem" role="alert">${state.recentProblem}</p>`}
    ${entries ? list(entries) : html`<p class="loading"><i class="ring"></i></p>`}
  </section>`;
}

/** @param {RecentEntry[]} entries */
function list(entries) {
  if (entries.length === 0) {
    return html`<div class="none">
      ${icon("recent")}
      <p class="label">${word("history_empty")}</p>
      <p class="caption">${word("history_empty_hint")}</p>
    </div>`;
  }
  const time = formatDuration(constants.retentionHours * 3600);
  return html`<ul>
      ${entries.map(line)}
    </ul>
    <footer class="caption">${word("history_private", { time })}</footer>`;
}

/** @param {RecentEntry} entry */
function line(entry) {
  const { id, files } = entry;
  const thumbnail = thumbnailOf(entry);
  const name = files ? joinTexts([entry.name, files[0].name]) : entry.name;
  const facts = [sizeText(entry), nameOf("preset", entry.settings.preset), when(entry.began)];
  return html`<li class="entry" data-key="${id}" data-id="${id}" data-state="${entry.state}">
    ${thumbnail ? html`<img src="${thumbnail}" alt="" />` : html`<i class="thumbnail"></i>`}
    <div class="text">
      <strong title="${name}">${name}</strong>
      <span class="caption facts">${joinTexts(facts)}</span>
      ${stateText(entry)}
    </div>
    ${buttons(entry)}
  </li>`;
}

/**
 * Returns the address of a small image: of the result, or of the photo as long as there is none.
 * @param {RecentEntry} entry
 */
function thumbnailOf({ thumbnail, regions, photo, files }) {
  if (thumbnail) return thumbnail;
  if (files) return thumbnailOf(files[0]);
  if (!regions?.photo || !photo) return null;
  return reducedAddress({ address: regions.photo, ...photo }, THUMBNAIL_SIDE);
}

/** @param {RecentEntry} entry */
const sizeText = ({ size }) => (size ? pixelSize(size.width, size.height) : null);

/**
 * Returns the time of today, or the day.
 * @param {string} began
 */
function when(began) {
  const time = new Date(began);
  const midnight = new Date().setHours(0, 0, 0, 0);
  const dates = language === "en" ? "en-GB" : language;
  if (time.getTime() >= midnight) {
    return time.toLocaleTimeString(dates, { hour: "2-digit", minute: "2-digit" });
  }
  const days = Math.floor((time.getTime() - midnight) / 86_400_000);
  if (days === -1) return new Intl.RelativeTimeFormat(dates, { numeric: "auto" }).format(-1, "day");
  return time.toLocaleDateString(dates, { day: "numeric", month: "short" });
}

/** @param {RecentEntry} entry */
function stateText(entry) {
  if (entry.state === "running") return progressText(entry);
  const grade = gradeOf(entry);
  const text = {
    done: grade && word("batch_fidelity", { grade: gradeName(grade) }),
    interrupted: word("history_interrupted_open"),
    failed: entry.error ?? word("history_failed"),
    cancelled: word("history_cancelled"),
    gone: word("history_gone"),
  }[entry.state];
  const kind = ["interrupted", "failed"].includes(entry.state) ? "warning" : "";
  return html`<span class="caption ${kind}">${batchText(entry) ?? text}</span>`;
}

/**
 * Returns how far a batch came that has not ended well; null for other entries.
 * @param {RecentEntry} entry
 */
function batchText(entry) {
  if (!entry.files || entry.state === "done") return null;
  const counts = counted(entry);
  if (entry.state === "interrupted") return word("history_interrupted_batch", counts);
  return word("batch_done_of", counts);
}

/** @param {RecentEntry} entry */
function counted({ files = [] }) {
  const done = files.filter((file) => file.state === "done").length;
  return { done, total: files.length };
}

/** @param {RecentEntry} entry */
function progressText(entry) {
  const { seconds_left = null, ahead = 0 } = entry.progress ?? {};
  const share = shareOf(entry);
  const parts = [word("share_done", { percent: percentOf(share) })];
  if (seconds_left !== null) parts.push(word("left", { time: formatDuration(seconds_left) }));
  const text = joinTexts(parts);
  return html`<span class="caption">${ahead ? word("waiting_place", { ahead }) : text}</span>
    ${progressBar(share, entry.name)}`;
}

/** @param {RecentEntry} entry */
function shareOf({ progress }) {
  const { share, done = 0, total } = progress ?? {};
  return share ?? done / (total || 1);
}

/** @param {RecentEntry} entry */
function buttons(entry) {
  const isRunning = entry.state === "running";
  if (asked === entry.id) return html`<div class="buttons">${removeButton(entry)}</div>`;
  return html`<div class="buttons">
    ${canOpen(entry) && button("open", "quiet", word("act_open"), entry)}
    ${isRunning && button("cancel", "secondary", word("cancel"), entry)}
    ${canDownload(entry) && downloadButton(entry)}
    ${isRunning ? html`<i class="gap"></i>` : removeButton(entry)}
  </div>`;
}

/**
 * @param {string} act
 * @param {"quiet" | "secondary" | "danger"} kind
 * @param {unknown} content
 * @param {RecentEntry} entry
 */
function button(act, kind, content, { name }) {
  return html`<button
    type="button"
    class="button ${kind}"
    data-act="${act}"
    data-key="${act}"
    aria-description="${name}"
  >
    ${content}
  </button>`;
}

/**
 * Returns whether the photo of an entry, or all photos of a batch, are still stored.
 * @param {RecentEntry} entry
 */
function canOpen({ regions, files }) {
  return files ? files.every((file) => file.regions?.photo) : Boolean(regions?.photo);
}

/** @param {RecentEntry} entry */
function canDownload(entry) {
  return entry.files ? counted(entry).done > 0 : entry.state === "done";
}

/** @param {RecentEntry} entry */
function downloadButton(entry) {
  const isPreparing = state.requests.recentDownload === entry.id;
  const image = isPreparing ? html`<i class="ring"></i>` : icon("download");
  const text = entry.files ? word("history_zip", { n: counted(entry).done }) : word("act_download");
  return button("download", "secondary", html`${image}${text}`, entry);
}

/** @param {RecentEntry} entry */
function removeButton(entry) {
  if (asked === entry.id) return button("remove", "danger", word("remove_confirm"), entry);
  const label = word("remove_file", { name: entry.name });
  return iconButton("remove", "remove", label, html`data-key="remove"`);
}
