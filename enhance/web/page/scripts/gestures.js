// @ts-check
// Pointers, wheel and keys on the stage.

/**
 * What gestures do. Distances and points are in device pixels of the stage.
 * @typedef {{
 *   pan: (right: number, down: number) => void,
 *   panScreen: (right: number, down: number) => void,
 *   zoom: (factor: number, point?: [number, number]) => void,
 *   zoomStep: (direction: 1 | -1) => void,
 *   fit: () => void,
 *   actual: () => void,
 *   toggle: (point: [number, number]) => void,
 *   centreOn: (right: number, down: number) => void,
 *   isReady: () => boolean,
 * }} Actions
 */

/** Pixels of the wheel that double the zoom. With Control, the browser sends a pinch as a wheel. */
const WHEEL_PIXELS = 400;
const PINCH_PIXELS = 100;
const LINE_PIXELS = 20;
const ARROW_PIXELS = 64;

const ARROWS = {
  ArrowLeft: [1, 0],
  ArrowRight: [-1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

/**
 * Returns where an event is on an element, in device pixels.
 * @param {MouseEvent} event
 * @param {Element} element
 * @returns {[number, number]}
 */
function pointOf(event, element) {
  const { left, top } = element.getBoundingClientRect();
  return [(event.clientX - left) * devicePixelRatio, (event.clientY - top) * devicePixelRatio];
}

/**
 * Calls `move` while a pointer that was pressed on the element moves.
 * @param {HTMLElement} element
 * @param {(event: PointerEvent) => void} move
 * @param {(event: PointerEvent) => void} [begin]
 */
export function onDrag(element, move, begin) {
  let pressed = -1;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = event.pointerId;
    element.setPointerCapture(pressed);
    begin?.(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (event.pointerId === pressed) move(event);
  });
  const end = () => {
    pressed = -1;
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
}

/**
 * One pointer pans the photo, two zoom it, also if one of them is on the line of the divider.
 * Returns the number of pointers that are pressed.
 * @param {HTMLElement} canvas
 * @param {HTMLElement} line
 * @param {Actions} actions
 */
export function listenToPointers(canvas, line, actions) {
  /** @type {Map<number, [number, number]>} */
  const points = new Map();
  const press = (/** @type {PointerEvent} */ event) => {
    if (!actions.isReady() || event.button !== 0) return;
    /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
    points.set(event.pointerId, pointOf(event, canvas));
  };
  const move = (/** @type {PointerEvent} */ event) => {
    const before = points.get(event.pointerId);
    if (!before) return;
    const now = pointOf(event, canvas);
    const other = [...points].find(([id]) => id !== event.pointerId)?.[1];
    points.set(event.pointerId, now);
    if (other) pinch(before, now, other, actions);
    else if (event.currentTarget === canvas) actions.pan(now[0] - before[0], now[1] - before[1]);
  };
  const end = (/** @type {PointerEvent} */ event) => points.delete(event.pointerId);
  for (const part of [canvas, line]) {
    part.addEventListener("pointerdown", press);
    part.addEventListener("pointermove", move);
    part.addEventListener("pointerup", end);
    part.addEventListener("pointercancel", end);
  }
  canvas.addEventListener("dblclick", (event) => {
    if (actions.isReady()) actions.toggle(pointOf(event, canvas));
  });
  return () => points.size;
}

/**
 * One of two fingers has moved: their middle pans, their distance zooms.
 * @param {[number, number]} before
 * @param {[number, number]} now
 * @param {[number, number]} other
 * @param {Actions} actions
 */
function pinch(before, now, other, actions) {
  const middleBefore = middleOf(before, other);
  const middleNow = middleOf(now, other);
  const distance = Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
  const wanted = Math.hypot(now[0] - other[0], now[1] - other[1]);
  actions.zoom(wanted / distance, middleBefore);
  actions.pan(middleNow[0] - middleBefore[0], middleNow[1] - middleBefore[1]);
}

/**
 * @param {[number, number]} one
 * @param {[number, number]} other
 * @returns {[number, number]}
 */
function middleOf(one, other) {
  return [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
}

/**
 * @param {HTMLElement} stage
 * @param {Actions} actions
 */
export function listenToWheel(stage, actions) {
  const turn = (/** @type {WheelEvent} */ event) => {
    if (!actions.isReady()) return;
    event.preventDefault();
    const isLines = event.deltaMode !== WheelEvent.DOM_DELTA_PIXEL;
    const pixels = event.deltaY * (isLines ? LINE_PIXELS : 1);
    const doubling = event.ctrlKey ? PINCH_PIXELS : WHEEL_PIXELS;
    actions.zoom(2 ** (-pixels / doubling), pointOf(event, stage));
  };
  stage.addEventListener("wheel", turn, { passive: false });
}

/**
 * @param {HTMLElement} canvas
 * @param {Actions} actions
 */
export function listenToKeys(canvas, actions) {
  const keys = {
    "+": () => actions.zoomStep(1),
    "=": () => actions.zoomStep(1),
    "-": () => actions.zoomStep(-1),
    0: actions.fit,
    1: actions.actual,
  };
  canvas.addEventListener("keydown", (event) => {
    if (!actions.isReady() || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) panByKey(arrow, event.shiftKey, actions);
    else if (event.key in keys) keys[event.key]();
    else return;
    event.preventDefault();
  });
}

/**
 * @param {[number, number]} arrow
 * @param {boolean} isScreen
 * @param {Actions} actions
 */
function panByKey([right, down], isScreen, actions) {
  if (isScreen) return actions.panScreen(right, down);
  const length = ARROW_PIXELS * devicePixelRatio;
  actions.pan(right * length, down * length);
}

/**
 * Pressing or dragging on the overview moves the visible part there.
 * @param {HTMLElement} overview
 * @param {Actions} actions
 */
export function listenToOverview(overview, actions) {
  const centre = (/** @type {PointerEvent} */ event) => {
    const { left, top, width, height } = overview.getBoundingClientRect();
    actions.centreOn((event.clientX - left) / width, (event.clientY - top) / height);
  };
  onDrag(overview, centre, centre);
}

/**
 * Calls `hold` with true while the key B is held, unless it is typed into a field.
 * @param {(isHeld: boolean) => void} hold
 * @param {AbortSignal} signal ends this
 */
export function listenToHold(hold, signal) {
  const isOther = (/** @type {KeyboardEvent} */ event) => {
    const target = /** @type {Element} */ (event.target);
    const isTyped = target.closest?.("input:not([type=range], [type=radio]), textarea, select");
    const isShortcut = event.ctrlKey || event.metaKey || event.altKey;
    return isTyped || isShortcut || event.key.toLowerCase() !== "b";
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (!isOther(event) && !event.repeat) hold(true);
  };
  const release = (/** @type {KeyboardEvent} */ event) => {
    if (event.key.toLowerCase() === "b") hold(false);
  };
  document.addEventListener("keydown", press, { signal });
  document.addEventListener("keyup", release, { signal });
  addEventListener("blur", () => hold(false), { signal });
}
