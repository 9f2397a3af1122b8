// @ts-check
// The divider between before and after: its line, its handle and its tags.

import { html, icon } from "./dom.js";
import { listenToHold, onDrag } from "./gestures.js";
import { clamp } from "./viewport.js";
import { word } from "./words.js";

const KEY_STEP = 0.02;
/** A tag this close to an edge of the stage is hidden, in CSS pixels. */
const EDGE = 8;
const GAP = 8;
const SWEEP_MS = 600;

/** The HTML of the divider. */
export function dividerHtml() {
  return html`<div class="line"></div>
    <span class="tag before">${word("before")}</span>
    <span class="tag after">${word("after")}</span>
    <div
      id="handle"
      role="slider"
      tabindex="0"
      aria-label="${word("handle")}"
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow="50"
    >
      ${icon("divider")}
    </div>`;
}

/** The divider on a stage. It stays in its place while the photo moves. */
export class Divider {
  /** Its place as a share of the width of the stage. */
  split = 0.5;
  /** Whether the whole stage shows the photo before. */
  isHeld = false;
  /** When its line has begun to sweep. */
  #swept = -Infinity;

  /**
   * @param {HTMLElement} box contains the elements of `dividerHtml`
   * @param {() => void} onMove
   * @param {() => boolean} isPinched two fingers zoom the photo
   * @param {AbortSignal} closed
   */
  constructor(box, onMove, isPinched, closed) {
    this.box = box;
    this.onMove = onMove;
    this.isPinched = isPinched;
    this.handle = /** @type {HTMLElement} */ (box.querySelector("#handle"));
    this.tags = /** @type {HTMLElement[]} */ ([...box.querySelectorAll(".tag")]);
    this.line = /** @type {HTMLElement} */ (box.querySelector(".line"));
    this.listenToDrag(this.handle);
    this.listenToDrag(this.line);
    this.handle.addEventListener("keydown", (event) => this.press(event));
    listenToHold((isHeld) => {
      if (isHeld === this.isHeld) return;
      this.isHeld = isHeld;
      this.onMove();
    }, closed);
  }

  /** The part of the width that shows the photo before. */
  get share() {
    const passed = Math.min(1, (performance.now() - this.#swept) / SWEEP_MS);
    return this.isHeld ? 1 : this.split * (1 - (1 - passed) ** 3);
  }

  /** Whether the line is on the way to its place. */
  get isSweeping() {
    return performance.now() - this.#swept < SWEEP_MS;
  }

  /** Moves the line from the left edge to its place. */
  sweep() {
    this.#swept = performance.now();
    this.onMove();
  }

  /** @param {number} split */
  moveTo(split) {
    this.split = clamp(split, 0, 1);
    this.#swept = -Infinity;
    this.onMove();
  }

  /** @param {HTMLElement} part */
  listenToDrag(part) {
    let distance = 0; // From the pointer to the line, so that the line does not jump.
    const shareOf = (/** @type {PointerEvent} */ event) => {
      const { left, width } = this.box.getBoundingClientRect();
      return (event.clientX - left) / width;
    };
    const begin = (/** @type {PointerEvent} */ event) => {
      distance = this.split - shareOf(event);
      event.preventDefault();
      this.handle.focus({ preventScroll: true });
    };
    const move = (/** @type {PointerEvent} */ event) => {
      if (!this.isPinched()) this.moveTo(shareOf(event) + distance);
    };
    onDrag(part, move, begin);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const places = {
      ArrowLeft: this.split - KEY_STEP,
      ArrowDown: this.split - KEY_STEP,
      ArrowRight: this.split + KEY_STEP,
      ArrowUp: this.split + KEY_STEP,
      Home: 0,
      End: 1,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    this.moveTo(places[event.key]);
  }

  /**
   * Puts the elements in their places. The handle moves above a control that it would cover, and a
   * tag that would lie under one is hidden.
   * @param {Element[]} controls
   */
  arrange(controls) {
    const percent = Math.round(100 * this.split);
    this.handle.setAttribute("aria-valuenow", String(percent));
    this.handle.setAttribute("aria-valuetext", `${percent}%`);
    this.box.style.setProperty("--split", `${100 * this.share}%`);
    this.box.style.setProperty("--raise", "0px");
    const areas = controls.map((control) => control.getBoundingClientRect());
    const covered = findOverlap(this.handle.getBoundingClientRect(), areas);
    const { bottom } = this.handle.getBoundingClientRect();
    if (covered) this.box.style.setProperty("--raise", `${bottom - covered.top + GAP}px`);
    const stage = this.box.getBoundingClientRect();
    for (const tag of this.tags) {
      const place = tag.getBoundingClientRect();
      const isOutside = place.left < stage.left + EDGE || place.right > stage.right - EDGE;
      const isHidden = isOutside || findOverlap(place, areas);
      tag.style.visibility = isHidden ? "hidden" : "";
    }
  }
}

/**
 * @param {DOMRect} place
 * @param {DOMRect[]} areas
 */
function findOverlap(place, areas) {
  return areas.find(
    (area) =>
      area.left < place.right &&
      area.right > place.left &&
      area.top < place.bottom &&
      area.bottom > place.top,
  );
}
