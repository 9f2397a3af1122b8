// @ts-check
// The stage: the photo with its preview, the progress of a run or the result, which the user pans,
// zooms and compares with the photo before.

import { drawChip, isTimed } from "./chip.js";
import { Divider, dividerHtml } from "./divider.js";
import { draw, html, onPress } from "./dom.js";
import { listenToKeys, listenToOverview, listenToPointers, listenToWheel } from "./gestures.js";
import { Painter } from "./painter.js";
import { PhotoView } from "./photo_view.js";
import { placeControls, placeLine } from "./placement.js";
import { sceneOf } from "./scene.js";
import { ShownImages } from "./shown_images.js";
import { onChange, setRegion, state } from "./store.js";
import { overviewOf } from "./tiles.js";
import { drawOverview, drawTools } from "./tools.js";
import * as viewport from "./viewport.js";
import { word } from "./words.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./state.js").Rectangle} Rectangle
 */

/** A preview is requested this long after the last movement. */
const REST_MS = 250;
/** While the photo moves, tiles are requested at most this often. */
const TILES_MS = 100;
const SECOND_MS = 1000;
const ZOOM_STEP = 1.25;
const SCREEN_SHARE = 0.9;
/** Below this width in CSS pixels, Fit and 1:1 are in a menu; below the next one, they are alone. */
const MENU_WIDTH = 900;
const NARROW_WIDTH = 640;
const COMPARED_SIDE = 128;

/** @type {PhotoStage | null} */
let mounted = null;

/** @type {any} */ (window).enhance.stage = stageView;
onChange((now) => mounted?.update(now));

/**
 * Mounts the stage in its element.
 * @param {HTMLElement} element
 */
export function mountStage(element) {
  const stage = new PhotoStage(element);
  mounted = stage;
  stage.update(state);
  return () => stage.close();
}

/** What tests read of the stage. */
function stageView() {
  return mounted?.describe() ?? null;
}

/**
 * Shows a place of the result in the middle of the stage, with a frame around it.
 * @param {number} x in pixels of the photo
 * @param {number} y
 */
export function showPlace(x, y) {
  mounted?.showPlace(x, y);
}

/**
 * Returns the rectangle of the photo, at most `side` pixels wide and high, that is in the middle of
 * the stage. If the whole photo is visible, it is the place at which the photo has opened.
 * @param {number} [side]
 * @returns {Rectangle | null}
 */
export function centreRectangle(side = COMPARED_SIDE) {
  return mounted?.centreRectangle(side) ?? null;
}

/** The stage in its element. */
class PhotoStage {
  /** @type {Scene | null} */
  scene = null;
  /** A point of the photo with a frame around it. @type {[number, number] | null} */
  framed = null;
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
    this.box = find(".box");
    this.canvas = /** @type {HTMLCanvasElement} */ (find("canvas"));
    this.chip = find("#chip");
    this.tools = find(".tools");
    this.overview = find(".overview");
    /** Retry preview is a component beside the stage, so its place is a property of their parent. */
    this.viewer = /** @type {HTMLElement} */ (element.closest("#viewer") ?? element);
    this.photoView = new PhotoView();
    this.painter = new Painter(this.canvas);
    this.images = new ShownImages(() => this.takeImages());
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
    this.listenToButtons(actions);
    const { signal } = this.closing;
    const closeMenu = (/** @type {Event} */ event) => {
      if (!this.tools.contains(/** @type {Node} */ (event.target))) this.openMenu(false);
    };
    document.addEventListener("pointerdown", closeMenu, { signal });
    document.addEventListener("fullscreenchange", () => this.redraw(), { signal });
    // Another screen can have other device pixels in the same size.
    addEventListener("resize", () => this.resize(), { signal });
  }

  /** @param {import("./gestures.js").Actions} actions */
  listenToButtons(actions) {
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
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.openMenu(false);
    });
  }

  /** @returns {import("./gestures.js").Actions} */
  actions() {
    const move = (/** @type {(view: View, stage: Stage) => View} */ next, isEased = false) => {
      const { current } = this.photoView;
      if (current) this.moveTo(next(current.view, current.stage), isEased);
    };
    return {
      pan: (right, down) => move((view, stage) => viewport.panBy(view, stage, right, down)),
      panScreen: (right, down) =>
        move((view, stage) => panByScreen(view, stage, right, down), true),
      zoom: (factor, point) =>
        move((view, stage) => viewport.zoomAt(view, stage, view.zoom * factor, point)),
      zoomStep: (direction) => {
        const factor = ZOOM_STEP ** direction;
        move((view, stage) => viewport.zoomAt(view, stage, view.zoom * factor), true);
      },
      fit: () => this.fit(),
      actual: () => this.showActual(),
      toggle: (point) => {
        if (!this.photoView.isWhole) return this.fit();
        move((view, stage) => viewport.zoomAt(view, stage, 1, point), true);
      },
      centreOn: (right, down) =>
        move((view, stage) => {
          const [width, height] = stage.photo;
          return viewport.clampView({ ...view, x: right * width, y: down * height }, stage);
        }),
      isReady: () => this.photoView.current !== null,
    };
  }

  fit() {
    const { current } = this.photoView;
    if (!current) return;
    this.framed = null;
    this.moveTo(viewport.fit(current.stage), true);
  }

  /** Shows 1:1 in the middle, from Fit at the place that was visible before. */
  showActual() {
    const { current, isWhole } = this.photoView;
    if (!current) return;
    const [x, y] = current.place;
    const from = isWhole ? { ...current.view, x, y } : current.view;
    this.moveTo(viewport.zoomAt(from, current.stage, 1), true);
  }

  /** @param {number} x @param {number} y */
  showPlace(x, y) {
    const { current } = this.photoView;
    if (!current || this.scene?.mode !== "result") return;
    const { stage } = current;
    const zoom = Math.max(1, viewport.fitZoom(stage));
    const view = viewport.clampView({ x, y, zoom, isFitted: false }, stage);
    this.framed = [x, y];
    this.moveTo(view, true);
    // At an edge of the photo, the place is not in the middle.
    const [left] = viewport.toStage(view, stage, x, y);
    this.divider.moveTo(left / stage.width);
  }

  /** @param {number} side */
  centreRectangle(side) {
    const { current, isWhole } = this.photoView;
    if (!current || !this.scene) return null;
    const { photo } = current.stage;
    const { focus } = this.scene;
    const { x, y } = current.view;
    const centre = isWhole ? [photo[0] * focus[0], photo[1] * focus[1]] : [x, y];
    return viewport.squareAround(photo, /** @type {[number, number]} */ (centre), side);
  }

  describe() {
    const { current, isWhole } = this.photoView;
    if (!current || !this.scene) return null;
    const { photo, result, mode } = this.scene;
    const { cache, previews, live } = this.images;
    const { x, y, zoom } = current.view;
    return {
      x,
      y,
      zoom,
      split: this.divider.split,
      mode,
      isWhole,
      isMarked: this.isMarked(),
      photo: cache.get(overviewOf(photo).address) !== null,
      result: result !== null && cache.get(overviewOf(result).address) !== null,
      previews: previews.length,
      live: live !== null,
      images: cache.size,
      isLoading: cache.isLoading,
    };
  }

  /** Whether the result is shown. One of earlier settings stays until there is a preview. */
  showsResult() {
    if (!this.scene?.result) return false;
    if (this.scene.mode === "result" || this.photoView.isTooLarge) return true;
    return this.images.newest?.preview.pixels !== this.scene.pixels;
  }

  /** Whether the newest preview covers only a part of what is visible. */
  isMarked() {
    const { visible, isTooLarge } = this.photoView;
    const { newest } = this.images;
    if (!newest?.isPartial || !visible || isTooLarge) return false;
    if (this.scene?.mode !== "photo" || this.showsResult()) return false;
    return !viewport.contains(newest.preview.region, visible);
  }

  /**
   * Shows the state of the page.
   * @param {import("./state.js").State} now
   */
  update(now) {
    const scene = sceneOf(now);
    const isOther = scene?.file !== this.scene?.file;
    const isDone = !isOther && this.scene?.mode === "live" && scene?.mode === "result";
    this.scene = scene;
    if (isOther) this.leavePhoto();
    if (isDone && !isMotionReduced()) this.divider.sweep();
    this.chooseView();
    this.needImages();
    this.takeImages();
    if (now.region === null) this.requestPreview();
  }

  /** Forgets what belongs to the photo before. */
  leavePhoto() {
    this.photoView.leave();
    this.images.leave();
    this.framed = null;
    this.divider.split = 0.5;
    clearTimeout(this.restTimer);
  }

  /** Measures the stage, and adapts the view to it. */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.arranged = "";
    this.chooseView();
    this.paintNow();
  }

  /** Opens a new photo, or adapts the view to another size of the stage or the result. */
  chooseView() {
    const { scene, canvas } = this;
    if (!scene || canvas.width === 0 || canvas.height === 0) return;
    const { file, photo, focus, scale } = scene;
    const isNew = this.photoView.current === null;
    /** @type {Stage} */
    const stage = {
      width: canvas.width,
      height: canvas.height,
      ratio: devicePixelRatio,
      photo: [photo.width, photo.height],
      scale,
    };
    const isChanged = this.photoView.show(file, stage, { focus, rectangle: state.region });
    if (isNew) this.requestPreview();
    else if (isChanged) this.rest();
  }

  /**
   * @param {View} view
   * @param {boolean} isEased
   */
  moveTo(view, isEased) {
    this.photoView.moveTo(view, isEased && !isMotionReduced());
    this.redraw();
    this.rest();
  }

  /** Requests what the view needs: tiles soon, a preview when it has not moved for a while. */
  rest() {
    clearTimeout(this.restTimer);
    this.restTimer = Number(setTimeout(() => this.requestPreview(), REST_MS));
    this.tilesTimer ||= Number(
      setTimeout(() => {
        this.tilesTimer = 0;
        this.needImages();
      }, TILES_MS),
    );
  }

  /** Sets the visible rectangle in the state, which decides the preview. */
  requestPreview() {
    clearTimeout(this.restTimer);
    const { visible, isTooLarge } = this.photoView;
    if (visible) setRegion(isTooLarge ? null : visible);
  }

  /** Loads the images that the view needs. */
  needImages() {
    const { current } = this.photoView;
    if (!this.scene || !current) return;
    this.images.need(this.scene, current.view, current.stage, this.showsResult());
  }

  /** Shows the images that are loaded. */
  takeImages() {
    if (this.scene) this.images.take(this.scene, state.region);
    this.redraw();
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paintNow();
    });
  }

  /** Draws everything on the stage. */
  paintNow() {
    const { scene } = this;
    const { current } = this.photoView;
    if (!scene || !current || !this.canvas.width) return;
    const isMoving = this.photoView.ease();
    const { cache, previews, live } = this.images;
    this.painter.paint({
      scene,
      stage: current.stage,
      view: current.shown,
      images: cache,
      split: scene.mode === "live" ? Number(this.divider.isHeld) : this.divider.share,
      showsResult: this.showsResult(),
      previews,
      isMarked: this.isMarked(),
      liveImage: live,
      framed: this.framed,
      canFade: !isMotionReduced(),
    });
    if (this.painter.isFading || isMoving || this.divider.isSweeping) this.redraw();
    this.drawControls(scene, current);
  }

  /**
   * @param {Scene} scene
   * @param {import("./photo_view.js").Current} current
   */
  drawControls(scene, { view, shown, stage }) {
    const width = stage.width / stage.ratio;
    const isNarrow = width < NARROW_WIDTH;
    const isMarked = this.isMarked();
    const { isWhole, isTooLarge } = this.photoView;
    this.canvas.setAttribute("aria-label", describeStage());
    const hasMenu = width < MENU_WIDTH && !isNarrow;
    drawTools(this.tools, view, stage, { hasMenu, isOpen: this.isMenuOpen });
    drawOverview(this.overview, scene.photo, shown, stage);
    drawChip(this.chip, state, { isMarked, isTooLarge, isNarrow });
    this.countSeconds();
    const { dataset } = this.viewer;
    dataset.mode = scene.mode;
    dataset.whole = String(isWhole);
    dataset.narrow = String(isNarrow);
    dataset.marked = String(isMarked);
    dataset.large = String(isTooLarge);
    dataset.held = String(this.divider.isHeld);
    placeControls(this.viewer, shown, stage, isWhole);
    const { newest } = this.images;
    if (newest) placeLine(this.viewer, shown, stage, newest.preview.region, this.divider.share);
    this.arrangeDivider(stage);
  }

  /** @param {Stage} stage */
  arrangeDivider(stage) {
    const parts = [this.divider.share, stage.width, stage.height, this.photoView.isWhole];
    const { dataset, style } = this.viewer;
    const places = [this.chip.textContent, dataset.mode, style.getPropertyValue("--beside")];
    const key = JSON.stringify([...parts, ...places]);
    if (key === this.arranged) return; // Measuring elements takes time.
    this.arranged = key;
    this.divider.arrange([this.chip, this.tools, this.overview]);
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

/**
 * @param {View} view
 * @param {Stage} stage
 * @param {number} right
 * @param {number} down
 */
function panByScreen(view, stage, right, down) {
  const across = right * SCREEN_SHARE * stage.width;
  return viewport.panBy(view, stage, across, down * SCREEN_SHARE * stage.height);
}

function isMotionReduced() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** The elements of the stage. Their contents change later. */
function stageHtml() {
  return html`<div class="box">
    <canvas width="0" height="0" tabindex="0" role="img"></canvas>
    ${dividerHtml()}
    <div id="chip" class="glass" role="status" data-own></div>
    <div class="overview" aria-hidden="true" hidden><img alt="" draggable="false" /><i></i></div>
    <div class="tools glass" role="group" aria-label="${word("zoom")}" data-own></div>
  </div>`;
}

function describeStage() {
  return matchMedia("(pointer: coarse)").matches ? word("stage_touch") : word("stage");
}
