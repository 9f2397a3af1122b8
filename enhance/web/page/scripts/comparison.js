// @ts-check
// The comparison of presets, in place of the stage: the same region of the photo by each preset.

import { comparisonOf, requestNext, tilesOf, waitingTiles } from "./comparison_previews.js";
import { draw, html, icon, onPress } from "./dom.js";
import { isEscape } from "./focus.js";
import { centreRectangle } from "./stage.js";
import { currentPath, currentPlan } from "./state.js";
import { change, onChange, set, state, stop } from "./store.js";
import { formatDuration, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Comparison} Comparison */
/** @typedef {import("./comparison_previews.js").Tile} Tile */

/** The tile that is visible where there is room for one only. The first one is the photo. */
let visible = 0;

/**
 * Shows the comparison in the element while it is open.
 * @param {HTMLElement} element
 */
export function mountComparison(element) {
  let isOpen = false;
  /** @type {Element | null} */
  let focusBefore = null;
  const open = () => {
    const region = centreRectangle();
    if (!region) return change({ isComparing: false });
    isOpen = true;
    focusBefore = document.activeElement;
    change({ comparison: comparisonOf(state, region) });
    draw(element, comparison(state));
    showChosen(element);
  };
  const leave = () => {
    isOpen = false;
    change({ isComparing: false });
    stop("comparison");
    returnFocus(element, focusBefore);
    draw(element, html``);
  };
  const update = () => {
    if (state.isComparing && !isOpen) open();
    if (isOpen && !isComparable(state)) leave();
    if (!isOpen) return;
    draw(element, comparison(state));
    requestNext();
  };
  const endDrawing = onChange(update);
  const timer = setInterval(() => isOpen && update(), 1000); // The seconds of the tiles count down.
  onPress(element, { close, choose: (button) => choose(button.dataset.choice ?? "") });
  element.addEventListener("keydown", moveByKey);
  element.addEventListener("scroll", (event) => followScroll(event, update), true);
  addEventListener("keydown", closeByKey);
  return () => {
    endDrawing();
    clearInterval(timer);
    removeEventListener("keydown", closeByKey);
  };
}

/**
 * Returns whether the comparison is open, of the photo for which it was opened.
 * @param {State} state
 */
function isComparable(state) {
  return state.isComparing && state.comparison?.file === currentPath(state);
}

/** @param {State} state */
function comparison(state) {
  const tiles = tilesOf(state);
  const done = tiles.length - waitingTiles(tiles).length;
  return html`
    <header>
      <h2>${word("compare_presets")}</h2>
      <p class="caption">${word("compare_hint")}</p>
      <button type="button" class="button secondary" data-act="close" aria-label="${word("close")}">
        ${icon("close")}<span>${word("close")}</span>
      </button>
    </header>
    <div class="tiles" role="radiogroup" aria-label="${word("compare_presets")}">
      ${photoTile(state, tiles)} ${tiles.map((tile) => presetTile(state, tiles, tile))}
    </div>
    <p class="visually-hidden" role="status">
      ${word("compare_done", { done, all: tiles.length })}
    </p>
    ${footer(tiles)}
  `;
}

/**
 * @param {State} state
 * @param {Tile[]} tiles
 */
function photoTile(state, tiles) {
  return html`<div class="tile" data-key="photo">
    <span class="picture"><img src="${enlarged(state, tiles)}" alt="" /></span>
    <span class="caption">
      <span>${word("compare_photo")}</span><small>${word("compare_before")}</small>
    </span>
  </div>`;
}

/**
 * Returns the address of the region without a preset: that of a preview, or the region of the photo,
 * which the browser enlarges.
 * @param {State} state
 * @param {Tile[]} tiles
 */
function enlarged(state, tiles) {
  const exact = tiles.find((tile) => tile.made?.before)?.made?.before;
  if (exact) return exact;
  const [left, top, width, height] = /** @type {Comparison} */ (state.comparison).region;
  const region = `left=${left}&top=${top}&width=${width}&height=${height}&step=1`;
  return `${currentPlan(state)?.photo.address}?${region}`;
}

/**
 * @param {State} state
 * @param {Tile[]} tiles
 * @param {Tile} tile
 */
function presetTile(state, tiles, tile) {
  const { preset, choice, made } = tile;
  const isChosen = isChosenTile(state, tile);
  return html`<button
    type="button"
    role="radio"
    class="tile"
    data-key="${preset}"
    data-preset="${preset}"
    data-act="choose"
    data-choice="${choice}"
    aria-checked="${String(isChosen)}"
    tabindex="${isChosen ? 0 : -1}"
  >
    <span class="picture">
      <img src="${made?.after ?? enlarged(state, tiles)}" alt="" />
      ${isChosen && html`<span class="tick">${icon("check")}</span>`}
      ${choice === "auto" && html`<span class="badge">${nameOf("preset", "auto")}</span>`}
      ${made?.problem && html`<span class="over"><span>${made.problem}</span></span>`}
      ${!made && waitingSign(state, tile)}
    </span>
    <span class="caption">
      <span>${nameOf("preset", preset)}</span>
      <small>${currentPlan(state)?.presets[preset]?.text}</small>
    </span>
  </button>`;
}

/**
 * @param {State} state
 * @param {Tile} tile
 */
function isChosenTile(state, { preset, choice }) {
  return state.preset === choice || state.preset === preset;
}

/**
 * @param {State} state
 * @param {Tile} tile
 */
function waitingSign(state, tile) {
  return html`<span class="over waiting">
    <span><i class="ring"></i>${waitingTime(state, tile)}</span>
  </span>`;
}

/**
 * Returns the time until a tile has its preview. The quicker ones come before it.
 * @param {State} state
 * @param {Tile} tile
 */
function waitingTime(state, tile) {
  const waiting = waitingTiles(tilesOf(state));
  const before = waiting.slice(0, waiting.findIndex(({ key }) => key === tile.key) + 1);
  const seconds = before.reduce((sum, { seconds }) => sum + seconds, 0);
  const passed = (Date.now() - /** @type {Comparison} */ (state.comparison).began) / 1000;
  return formatDuration(Math.max(seconds - passed, 1));
}

/**
 * Returns the foot that only a narrow screen has: a dot for each tile, and the choice of the visible
 * one.
 * @param {Tile[]} tiles
 */
function footer(tiles) {
  const tile = tiles[visible - 1];
  return html`<div class="dots" aria-hidden="true">
      <i class="${visible === 0 && "on"}"></i>
      ${tiles.map((_, place) => html`<i class="${place === visible - 1 && "on"}"></i>`)}
    </div>
    <footer>
      <button
        type="button"
        class="button primary"
        data-act="choose"
        data-choice="${tile?.choice}"
        ${!tile && html`disabled`}
      >
        ${tile ? word("use_instead", { name: nameOf("preset", tile.preset) }) : word("compare_before")}
      </button>
    </footer>`;
}

function close() {
  change({ isComparing: false });
}

/** @param {string} preset */
function choose(preset) {
  if (preset !== state.preset) set("preset", preset);
  close();
}

/** @param {Element} element */
function showChosen(element) {
  const chosen = element.querySelector("[aria-checked=true]");
  if (!(chosen instanceof HTMLElement)) return;
  chosen.scrollIntoView({ block: "nearest", inline: "center", behavior: "instant" });
  chosen.focus({ preventScroll: true });
}

/**
 * Gives the focus back, unless it is in another part of the page meanwhile.
 * @param {Element} element
 * @param {Element | null} before
 */
function returnFocus(element, before) {
  const now = document.activeElement;
  const isFree = now === document.body || element.contains(now);
  if (isFree && before instanceof HTMLElement) before.focus();
}

/** @param {KeyboardEvent} event */
function closeByKey(event) {
  if (state.isComparing && isEscape(event)) close();
}

/** @param {KeyboardEvent} event */
function moveByKey(event) {
  const here = /** @type {Element} */ (event.target).closest("[role=radio]");
  const group = here?.parentElement;
  if (!here || !group) return;
  const tiles = /** @type {HTMLElement[]} */ ([...group.querySelectorAll("[role=radio]")]);
  const columns = getComputedStyle(group).gridTemplateColumns.split(" ").length;
  const place = tiles.indexOf(/** @type {HTMLElement} */ (here));
  const places = {
    ArrowLeft: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place - columns,
    ArrowDown: place + columns,
    Home: 0,
    End: tiles.length - 1,
  };
  if (!(event.key in places)) return;
  event.preventDefault();
  tiles[places[event.key]]?.focus();
}

/**
 * Notes which tile is visible where there is room for one only.
 * @param {Event} event
 * @param {() => void} update
 */
function followScroll({ target }, update) {
  const tiles = /** @type {HTMLElement} */ (target);
  const first = tiles.firstElementChild;
  if (!first) return;
  const now = Math.round(tiles.scrollLeft / first.getBoundingClientRect().width);
  if (now === visible) return;
  visible = now;
  update();
}
