// @ts-check
// The stage: the photo with its preview, the progress of a run or the result, which the user pans,
// zooms and compares with the photo before.

import { chipOf, drawChip, isTimed } from "./chip.js";
import { Divider, dividerHtml } from "./divider.js";
import { draw, html, icon, onPress } from "./dom.js";
import { listenToKeys, listenToOverview, listenToPointers, listenToWheel } from "./gestures.js";
import { neededTiles, Painter } from "./painter.js";
import { sceneOf } from "./scene.js";
import { change, onChange, setView, state } from "./store.js";
import { ImageCache, overviewOf } from "./tiles.js";
import { drawOverview, drawTools } from "./tools.js";
import * as viewport from "./viewport.js";
import { word } from "./words.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./state.js").Preview} Preview
 * @typedef {import("./state.js").Rectangle} Rectangle
 */

/** A preview is requested this long after the last movement. */
const REST_MS = 250;
/** While the photo moves, tiles are requested at most this often. */
const TILES_MS = 100;
const EASE_MS = 150;
const SECOND_MS = 1000;
const ZOOM_STEP = 1.25;
const SCREEN_SHARE = 0.9;
/** Below this width in CSS pixels, Fit and 1:1 are in a menu; below the next one, they are alone. */
const MENU_WIDTH = 900;
const NARROW_WIDTH = 640;
/** At Fit, controls are aligned with the edges of a photo that is at least this wide. */
const ALIGNED_WIDTH = 784;
/** Retry preview and Compare lie in the corner of a photo that is large enough for them. */
const CORNER_WIDTH = 360;
const CORNER_HEIGHT = 200;
const MOST_PREVIEWS = 8;
const MOST_VIEWS = 200;
const COMPARED_SIDE = 128;

/** @type {PhotoStage | null} */
let current = null;

/** @type {any} */ (window).enhance.stage = stageView;
onChange((now) => current?.update(now));

/**
 * Mounts the stage in its element.
 * @param {HTMLElement} element
 */
export function mountStage(element) {
  if (current?.element === element && element.childElementCount > 0) return;
  current?.close();
  current = new PhotoStage(element);
  current.update(state);
}

/** What tests read of the stage. */
export function stageView() {
  return current?.describe() ?? null;
}

/**
 * Shows a place of the result in the middle of the stage, with a frame around it.
 * @param {number} x in pixels of the photo
 * @param {number} y
 */
export function showPlace(x, y) {
  current?.showPlace(x, y);
}

/**
 * Returns the rectangle of the photo, at most `side` pixels wide and high, that is in the middle of
 * the stage. If the whole photo is visible, it is the place at which the photo has opened.
 * @param {number} [side]
 * @returns {Rectangle | null}
 */
export function centreRectangle(side = COMPARED_SIDE) {
  return current?.centreRectangle(side) ?? null;
}

/** The stage in its element. */
class PhotoStage {
  /** @type {Scene | null} */
  scene = null;
  /** The view that the user has chosen. @type {View | null} */
  view = null;
  /** The view on the canvas, which follows `view` in a short movement. @type {View | null} */
  shown = null;
  /** @type {{ from: View, start: number } | null} */
  movement = null;
  /** The stage for which `view` was chosen. @type {Stage | null} */
  stage = null;
  /** The last views of the photos of this visit. @type {Map<string, { view: View, stage: Stage }>} */
  views = new Map();
  /** @type {import("./painter.js").ShownPreview[]} */
  previews = [];
  /** @type {HTMLImageElement | null} */
  liveImage = null;
  /** @type {[number, number] | null} */
  framed = null;
  /** Where the photo was last enlarged, for a change from Fit to 1:1. @type {[number, number]} */
  place = [0, 0];
  countPointers = () => 0;
  isMenuOpen = false;
  frame = 0;
  restTimer = 0;
  tilesTimer = 0;
  secondsTimer = 0;
  arranged = "";

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.closing = new AbortController();
    draw(element, stageHtml());
    const find = (/** @type {string} */ selector) =>
      /** @type {HTMLElement} */ (element.querySelector(selector));
    this.canvas = /** @type {HTMLCanvasElement} */ (find("canvas"));
    this.chip = find("#chip");
    this.tools = find(".tools");
    this.overview = find(".overview");
    this.box = find(".box");
    /** Retry preview is a component beside the stage, so its place is a property of their parent. */
    this.viewer = /** @type {HTMLElement} */ (element.closest("#viewer") ?? element);
    this.painter = new Painter(this.canvas);
    this.images = new ImageCache(() => this.noteImage());
    this.divider = new Divider(
      this.box,
      () => this.redraw(),
      () => this.countPointers() > 1,
      this.closing.signal,
    );
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
    this.listen();
  }

  close() {
    this.closing.abort();
    this.observer.disconnect();
    for (const timer of [this.restTimer, this.tilesTimer, this.secondsTimer]) clearTimeout(timer);
    cancelAnimationFrame(this.frame);
  }

  listen() {
    const actions = this.actions();
    this.countPointers = listenToPointers(this.canvas, this.divider.line, actions);
    listenToWheel(this.box, actions);
    listenToKeys(this.canvas, actions);
    listenToOverview(this.overview, actions);
    const choose = (/** @type {() => void} */ act) => () => {
      this.openMenu(false);
      act();
    };
    onPress(this.element, {
      in: () => actions.zoomStep(1),
      out: () => actions.zoomStep(-1),
      fit: choose(actions.fit),
      actual: choose(actions.actual),
      menu: () => this.openMenu(!this.isMenuOpen),
      full: () => this.toggleFullScreen(),
      compare: () => change({ isComparing: true }),
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.openMenu(false);
    });
    const { signal } = this.closing;
    const closeMenu = (/** @type {Event} */ event) => {
      if (!this.tools.contains(/** @type {Node} */ (event.target))) this.openMenu(false);
    };
    document.addEventListener("pointerdown", closeMenu, { signal });
    document.addEventListener("fullscreenchange", () => this.redraw(), { signal });
  }

  /** @returns {import("./gestures.js").Actions} */
  actions() {
    const move = (/** @type {(view: View, stage: Stage) => View} */ change, isEased = false) => {
      if (!this.view || !this.stage) return;
      this.moveTo(change(this.view, this.stage), isEased);
    };
    return {
      pan: (right, down) => move((view, stage) => viewport.panBy(view, stage, right, down)),
      panScreen: (right, down) =>
        move((view, stage) => {
          const across = right * SCREEN_SHARE * stage.width;
          return viewport.panBy(view, stage, across, down * SCREEN_SHARE * stage.height);
        }, true),
      zoom: (factor, point) =>
        move((view, stage) => viewport.zoomAt(view, stage, view.zoom * factor, point)),
      zoomStep: (direction) =>
        move(
          (view, stage) => viewport.zoomAt(view, stage, view.zoom * ZOOM_STEP ** direction),
          true,
        ),
      fit: () => this.fit(),
      actual: () => {
        const [x, y] = this.place;
        const isWhole = this.isWhole();
        move((view, stage) => {
          const from = isWhole ? { ...view, x, y } : view;
          return viewport.zoomAt(from, stage, 1);
        }, true);
      },
      toggle: (point) => {
        if (!this.isWhole()) return this.fit();
        move((view, stage) => viewport.zoomAt(view, stage, 1, point), true);
      },
      centreOn: (right, down) =>
        move((view, stage) => {
          const [width, height] = stage.photo;
          return viewport.clampView({ ...view, x: right * width, y: down * height }, stage);
        }),
      isReady: () => this.view !== null,
    };
  }

  fit() {
    if (!this.stage) return;
    this.framed = null;
    this.moveTo(viewport.fit(this.stage), true);
  }

  /** @param {number} x @param {number} y */
  showPlace(x, y) {
    if (!this.view || !this.stage || this.scene?.mode !== "result") return;
    const zoom = Math.max(1, viewport.fitZoom(this.stage));
    const view = viewport.clampView({ x, y, zoom, isFitted: false }, this.stage);
    this.framed = [x, y];
    this.moveTo(view, true);
    // At an edge of the photo, the place is not in the middle.
    const [left] = viewport.toStage(view, this.stage, x, y);
    this.divider.moveTo(left / this.stage.width);
  }

  /** @param {number} side */
  centreRectangle(side) {
    if (!this.view || !this.stage || !this.scene) return null;
    const { photo } = this.stage;
    const { focus } = this.scene;
    const centre = this.isWhole()
      ? [photo[0] * focus[0], photo[1] * focus[1]]
      : [this.view.x, this.view.y];
    return viewport.squareAround(photo, /** @type {[number, number]} */ (centre), side);
  }

  describe() {
    if (!this.view || !this.scene) return null;
    const { photo, result, mode } = this.scene;
    return {
      x: this.view.x,
      y: this.view.y,
      zoom: this.view.zoom,
      split: this.divider.split,
      mode,
      isWhole: this.isWhole(),
      isMarked: this.isMarked(),
      photo: this.images.get(overviewOf(photo).address) !== null,
      result: result !== null && this.images.get(overviewOf(result).address) !== null,
      previews: this.previews.length,
      live: this.liveImage !== null,
      images: this.images.size,
      isLoading: this.images.isLoading,
    };
  }

  isWhole() {
    return this.view !== null && this.stage !== null && viewport.isWhole(this.view, this.stage);
  }

  /** Whether too much is visible for a preview. One of a smaller result needs no network. */
  isTooLarge() {
    if (!this.view || !this.stage || this.stage.scale <= 1) return false;
    return viewport.hidesPhotoPixels(this.view, this.stage);
  }

  /** Whether the result is shown. One of earlier settings stays until there is a preview. */
  showsResult() {
    if (!this.scene?.result) return false;
    if (this.scene.mode === "result" || this.isTooLarge()) return true;
    return this.previews.at(-1)?.preview.look !== this.scene.look;
  }

  /** Whether the newest preview covers only a part of what is visible. */
  isMarked() {
    const newest = this.previews.at(-1);
    if (!newest?.isPartial || !this.view || !this.stage || this.isTooLarge()) return false;
    if (this.scene?.mode !== "photo" || this.showsResult()) return false;
    const visible = viewport.visibleRectangle(this.view, this.stage);
    return !viewport.contains(newest.preview.region, visible);
  }

  /**
   * Shows the state of the page.
   * @param {import("./state.js").State} now
   */
  update(now) {
    const scene = sceneOf(now);
    const isOther = scene?.file !== this.scene?.file;
    this.scene = scene;
    if (isOther) this.leavePhoto();
    this.chooseView();
    this.needImages();
    this.noteImage();
    if (now.view === null) this.requestView();
    this.redraw();
  }

  /** Forgets what belongs to the photo before. */
  leavePhoto() {
    this.view = null;
    this.shown = null;
    this.movement = null;
    this.previews = [];
    this.liveImage = null;
    this.framed = null;
    this.divider.split = 0.5;
    clearTimeout(this.restTimer);
    this.restTimer = 0;
  }

  /** Measures the stage, and adapts the view to it. */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.arranged = "";
    this.chooseView();
    this.paintNow();
    this.rest();
  }

  /** Opens a new photo, or adapts the view to another size of the stage or the result. */
  chooseView() {
    const { scene, canvas } = this;
    if (!scene || canvas.width === 0 || canvas.height === 0) return;
    /** @type {Stage} */
    const stage = {
      width: canvas.width,
      height: canvas.height,
      ratio: devicePixelRatio,
      photo: [scene.photo.width, scene.photo.height],
      scale: scene.scale,
    };
    const isSame = JSON.stringify(stage) === JSON.stringify(this.stage);
    if (this.view && isSame) return;
    const isNew = this.view === null;
    this.stage = stage;
    if (isNew) this.place = [scene.focus[0] * stage.photo[0], scene.focus[1] * stage.photo[1]];
    this.view = this.viewFor(scene, stage);
    this.shown = this.view;
    this.movement = null;
    this.rememberView();
    if (isNew) this.requestView();
    else this.rest();
  }

  /**
   * Returns the last view of a photo, the one before a reload of the page, or the first one.
   * @param {Scene} scene
   * @param {Stage} stage
   */
  viewFor(scene, stage) {
    const last = this.views.get(scene.file);
    if (last) return viewport.adapt(last.view, last.stage, stage);
    const isFirst = this.views.size === 0;
    if (isFirst && state.view) return viewport.viewOf(stage, state.view);
    return viewport.openingView(stage, scene.focus);
  }

  rememberView() {
    if (!this.view || !this.stage || !this.scene) return;
    if (!this.isWhole()) this.place = [this.view.x, this.view.y];
    this.views.delete(this.scene.file);
    this.views.set(this.scene.file, { view: this.view, stage: this.stage });
    const [oldest] = this.views.keys();
    if (this.views.size > MOST_VIEWS) this.views.delete(oldest);
  }

  /**
   * @param {View} view
   * @param {boolean} isEased
   */
  moveTo(view, isEased) {
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const canEase = isEased && !isStill && this.shown !== null;
    this.movement = canEase && this.shown ? { from: this.shown, start: performance.now() } : null;
    this.view = view;
    if (!this.movement) this.shown = view;
    this.rememberView();
    this.redraw();
    this.rest();
  }

  /** Requests what the view needs: tiles soon, a preview when it has not moved for a while. */
  rest() {
    clearTimeout(this.restTimer);
    this.restTimer = Number(setTimeout(() => this.requestView(), REST_MS));
    this.tilesTimer ||= Number(
      setTimeout(() => {
        this.tilesTimer = 0;
        this.needImages();
      }, TILES_MS),
    );
  }

  /** Tells the page which rectangle is visible, which decides the preview. */
  requestView() {
    clearTimeout(this.restTimer);
    this.restTimer = 0;
    if (!this.view || !this.stage) return;
    const visible = this.isTooLarge() ? null : viewport.visibleRectangle(this.view, this.stage);
    setView(visible);
  }

  /** Loads the images that the view needs. */
  needImages() {
    const { scene, view, stage } = this;
    if (!scene || !view || !stage) return;
    const { photo, result, preview, live } = scene;
    const tiles = [overviewOf(photo)];
    if (live?.address) tiles.unshift(imageTile(live.address));
    if (preview) tiles.push(imageTile(preview.before), imageTile(preview.after));
    if (result && this.showsResult()) {
      tiles.push(overviewOf(result));
      tiles.push(...neededTiles(result, result.width / photo.width, view, stage));
    }
    tiles.push(...neededTiles(photo, 1, view, stage));
    this.images.need(tiles);
  }

  /** Shows a preview or a live image as soon as it is loaded. Until then, the last one stays. */
  noteImage() {
    this.notePreview();
    const address = this.scene?.live?.address;
    const live = address && this.images.get(address);
    if (live) this.liveImage = live.image;
    if (this.scene?.mode === "photo") this.liveImage = null;
    this.redraw();
  }

  notePreview() {
    const preview = this.scene?.preview;
    if (!preview || preview.after === this.previews.at(-1)?.preview.after) return;
    const before = this.images.get(preview.before);
    const after = this.images.get(preview.after);
    if (!before || !after) return;
    const isPartial = state.view !== null && !viewport.contains(preview.region, state.view);
    const isSameLook = (/** @type {{ preview: Preview }} */ other) =>
      !other.preview.isQuick && other.preview.look === preview.look;
    const kept = preview.isQuick ? this.previews : this.previews.filter(isSameLook);
    const shown = { preview, before: before.image, after: after.image, isPartial };
    this.previews = [...kept.slice(1 - MOST_PREVIEWS), shown];
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paintNow();
    });
  }

  /** Draws everything on the stage. */
  paintNow() {
    const { scene, stage, view } = this;
    if (!scene || !stage || !view || !this.canvas.width) return;
    this.ease();
    this.painter.paint({
      scene,
      stage,
      view: this.shown ?? view,
      images: this.images,
      split: scene.mode === "live" ? Number(this.divider.isHeld) : this.divider.share,
      showsResult: this.showsResult(),
      previews: this.previews,
      isMarked: this.isMarked(),
      liveImage: this.liveImage,
      framed: this.framed,
      canFade: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    });
    if (this.painter.isFading || this.movement) this.redraw();
    this.drawControls(scene, stage, view);
  }

  /** Moves the shown view towards the chosen one: fast first, then slower. */
  ease() {
    if (!this.movement || !this.view) return;
    const share = Math.min(1, (performance.now() - this.movement.start) / EASE_MS);
    this.shown = viewport.between(this.movement.from, this.view, 1 - (1 - share) ** 3);
    if (share === 1) this.movement = null;
  }

  /**
   * @param {Scene} scene
   * @param {Stage} stage
   * @param {View} view
   */
  drawControls(scene, stage, view) {
    const width = stage.width / stage.ratio;
    const isNarrow = width < NARROW_WIDTH;
    const isMarked = this.isMarked();
    const hasMenu = width < MENU_WIDTH && !isNarrow;
    this.canvas.setAttribute("aria-label", describeStage());
    drawTools(this.tools, view, stage, { hasMenu, isOpen: this.isMenuOpen });
    drawOverview(this.overview, scene.photo, this.shown ?? view, stage);
    drawChip(this.chip, state, { isMarked, isTooLarge: this.isTooLarge(), isNarrow });
    this.countSeconds();
    const { dataset } = this.viewer;
    dataset.mode = scene.mode;
    dataset.whole = String(this.isWhole());
    dataset.narrow = String(isNarrow);
    dataset.marked = String(isMarked);
    dataset.large = String(this.isTooLarge());
    dataset.held = String(this.divider.isHeld);
    this.placeControls(scene, stage, this.shown ?? view);
  }

  /**
   * @param {Scene} scene
   * @param {Stage} stage
   * @param {View} shown
   */
  placeControls(scene, stage, shown) {
    const { photo } = scene;
    const place = viewport.placeOnStage(shown, stage, [0, 0, photo.width, photo.height]);
    const [left, top, width, height] = place.map((value) => value / stage.ratio);
    const stageWidth = stage.width / stage.ratio;
    const right = stageWidth - left - width;
    const isAligned = this.isWhole() && width > ALIGNED_WIDTH;
    const below = stage.height / stage.ratio - top - height;
    const hasCorner = width > CORNER_WIDTH && height > CORNER_HEIGHT;
    const properties = {
      "--above": Math.max(0, top),
      "--below": Math.max(0, below),
      "--beside": isAligned ? Math.max(0, left - viewport.MARGIN) : 0,
      "--corner-top": hasCorner ? Math.max(0, top) : 0,
      "--corner-right": hasCorner ? Math.max(0, right) : 0,
      ...this.markedLine(stage, shown),
    };
    for (const [name, value] of Object.entries(properties)) setLength(this.viewer, name, value);
    this.arrangeDivider(stage);
  }

  /**
   * Returns where the line of the divider crosses the marked area, in which it is not faint.
   * @param {Stage} stage
   * @param {View} shown
   */
  markedLine(stage, shown) {
    const newest = this.previews.at(-1);
    if (!newest || !this.isMarked()) return { "--strong-top": 0, "--strong-height": 0 };
    const place = viewport.placeOnStage(shown, stage, newest.preview.region);
    const [left, top, width, height] = place.map((value) => value / stage.ratio);
    const line = (this.divider.share * stage.width) / stage.ratio;
    const isCrossed = line >= left && line <= left + width;
    return { "--strong-top": top, "--strong-height": isCrossed ? height : 0 };
  }

  /** @param {Stage} stage */
  arrangeDivider(stage) {
    const { split, isHeld } = this.divider;
    const chip = chipOf(state, { isMarked: false, isTooLarge: false, isNarrow: false });
    const parts = [split, isHeld, stage.width, stage.height, this.isWhole(), chip.name];
    const key = JSON.stringify([...parts, this.chip.textContent, this.viewer.dataset.mode]);
    if (key === this.arranged) return;
    this.arranged = key;
    this.divider.arrange([this.chip, this.tools, this.overview]);
    const compare = /** @type {HTMLElement} */ (this.element.querySelector(".compare"));
    setLength(this.viewer, "--compare-width", compare.offsetWidth);
  }

  /** Draws the chip again each second while it shows seconds. */
  countSeconds() {
    if (!isTimed(state)) return;
    this.secondsTimer ||= Number(
      setTimeout(() => {
        this.secondsTimer = 0;
        this.redraw();
      }, SECOND_MS),
    );
  }

  /** @param {boolean} isOpen */
  openMenu(isOpen) {
    if (isOpen === this.isMenuOpen) return;
    this.isMenuOpen = isOpen;
    this.redraw();
  }

  toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.viewer.requestFullscreen();
  }
}

/** The elements of the stage. Their contents change later. */
function stageHtml() {
  return html`<div class="box">
    <canvas tabindex="0" role="img"></canvas>
    ${dividerHtml()}
    <div id="chip" class="glass" role="status" data-own></div>
    <button
      type="button"
      class="compare glass"
      data-act="compare"
      title="${word("compare_presets")}"
    >
      ${icon("grid")}<span>${word("compare_short")}</span>
    </button>
    <div class="overview" aria-hidden="true" hidden><img alt="" draggable="false" /><i></i></div>
    <div class="tools glass" role="group" aria-label="${word("zoom")}" data-own></div>
  </div>`;
}

function describeStage() {
  return matchMedia("(pointer: coarse)").matches ? word("stage_touch") : word("stage");
}

/**
 * An image that is not a part of a source, as a tile.
 * @param {string} address
 * @returns {import("./tiles.js").Tile}
 */
function imageTile(address) {
  return { address, area: [0, 0, 1, 1], step: 1 };
}

/**
 * @param {HTMLElement} element
 * @param {string} name of a custom property
 * @param {number} pixels
 */
function setLength(element, name, pixels) {
  const value = `${Math.round(pixels * 10) / 10}px`;
  if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
}
