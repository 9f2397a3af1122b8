// @ts-check
// The native controls of Gradio. The state decides what they show, and one event sets those that
// show something else.
import { afterDrawing } from "./dom.js";
import { onChange, set, state } from "./store.js";
import { currentPlan, valueOf } from "./state.js";
import { constants, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

const UNCHANGED = { __type__: "update" };

/** What each control shows, as JSON, by its name. */
const shown = new Map();

/**
 * Remembers what the user has set, and changes the state.
 * @param {string} name
 * @param {any} value
 */
export function changeControl(name, value) {
  shown.set(name, JSON.stringify({ ...appearanceOf(state, name), value }));
  set(name, value);
}

/**
 * Returns what Gradio has to change at the controls of these names.
 * @param {string[]} names
 */
export function controlUpdates(names) {
  return names.map((name) => {
    const wanted = appearanceOf(state, name);
    if (!isToChange(name, wanted)) return UNCHANGED;
    shown.set(name, JSON.stringify(wanted));
    return { ...wanted, ...UNCHANGED };
  });
}

/**
 * Sets the controls after changes of the state. Returns a function that ends this.
 * @param {(event: string) => void} trigger
 */
export function followState(trigger) {
  return onChange((state) => {
    const names = [...shown.keys()];
    const isApplied = names.length > 0;
    if (!isApplied || names.some((name) => isToChange(name, appearanceOf(state, name)))) {
      trigger("apply");
    }
  });
}

/**
 * @param {string} name
 * @param {{ value?: any }} wanted
 */
function isToChange(name, wanted) {
  if (!shown.has(name)) return true;
  return wanted.value !== undefined && JSON.stringify(wanted) !== shown.get(name);
}

/**
 * Returns what a control shows, and whether the user can change it.
 * @param {State} state
 * @param {string} name
 * @returns {{ value?: any, interactive?: boolean, info?: string, open?: boolean }}
 */
function appearanceOf(state, name) {
  if (name.endsWith("-fold")) return { open: false }; // Only at the start, because it has no value.
  const value = shownValue(state, name);
  if (name === "denoise") return { value, ...denoiseOf(state) };
  const isTuning = (constants.ranges[name]?.neutral ?? null) !== null;
  if (!isTuning) return { value };
  return { value, interactive: shownValue(state, "tuning") !== false };
}

/** @param {State} state */
function denoiseOf(state) {
  const isFixed = Boolean(presetInfo(state, effectivePreset(state))?.denoise_is_fixed);
  const info = isFixed ? word("denoise_fixed") : word("denoise_info");
  return { interactive: !isFixed, info };
}

/**
 * Returns the value of a control. Until the plan of another preset has arrived, it is that with
 * which the preset starts.
 * @param {State} state
 * @param {string} name
 */
function shownValue(state, name) {
  const value = valueOf(state, name);
  const plan = currentPlan(state);
  const preset = effectivePreset(state);
  const isOfPreset = name in (plan?.settings ?? {}) && !(name in state.changed);
  if (!isOfPreset || plan?.settings.preset === preset) return value;
  return presetInfo(state, preset)?.settings[name] ?? value;
}

/**
 * Returns the preset that is used: the chosen one, or that which Auto has selected.
 * @param {State} state
 */
export function effectivePreset(state) {
  if (state.preset !== "auto") return state.preset;
  return currentPlan(state)?.auto.preset ?? "auto";
}

/**
 * Returns what /presets has answered about a preset.
 * @param {State} state
 * @param {string} name
 */
export function presetInfo(state, name) {
  return state.presets.find((preset) => preset.name === name) ?? null;
}

/**
 * Names the controls of the panel for keyboards and screen readers, also those that Gradio adds when a
 * section is opened: the radio buttons of a control are no group, because Gradio gives a button another
 * name when it is chosen, and the inputs of a slider have English names.
 */
export function watchNames() {
  onChange(nameControls);
  document.addEventListener("focusin", nameControls);
  document.addEventListener("keydown", nameControls, true); // Arrow keys move within a group.
  document.addEventListener("click", () => requestAnimationFrame(nameControls));
}

/** The keys of a menu. Gradio opens its list with any other key too, such as Tab when the focus leaves. */
const MENU_KEYS = ["ArrowUp", "ArrowDown", "Home", "End", "Enter", "Escape", " "];

/** Watches the keys of Gradio's menus. */
export function watchMenus() {
  document.addEventListener("keydown", keepMenu, true);
}

/** @param {KeyboardEvent} event */
async function keepMenu(event) {
  const { key, target } = event;
  if (!(target instanceof HTMLElement) || target.role !== "combobox") return;
  if (!MENU_KEYS.includes(key)) event.stopPropagation();
  if (key !== "Enter") return;
  await afterDrawing(); // With a choice, Gradio drops the focus.
  if (document.activeElement === document.body) focusControl(target);
}

/**
 * Moves the focus to a control. The event of the focus would open the list of a menu.
 * @param {HTMLElement} control
 */
export function focusControl(control) {
  const stop = (/** @type {Event} */ event) => event.stopPropagation();
  if (control.role === "combobox") document.addEventListener("focus", stop, true);
  control.focus();
  document.removeEventListener("focus", stop, true);
}

function nameControls() {
  for (const input of document.querySelectorAll("#panel .block input")) {
    const block = /** @type {Element} */ (input.closest(".block"));
    const type = input.getAttribute("type") ?? "";
    if (type === "radio") groupRadio(input, block);
    if (type === "range" || type === "number") labelInput(input, block);
  }
}

/** @param {Element} radio @param {Element} group */
function groupRadio(radio, group) {
  if (radio.getAttribute("name") === group.id) return;
  radio.setAttribute("name", group.id);
  const label = group.querySelector("[data-testid=block-info]")?.textContent?.trim();
  if (label) group.setAttribute("aria-label", label);
}

/** @param {Element} input @param {Element} block */
function labelInput(input, block) {
  const label = block.querySelector("[data-testid=block-info]")?.textContent?.trim();
  if (label && input.getAttribute("aria-label") !== label) input.setAttribute("aria-label", label);
}
