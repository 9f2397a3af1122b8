// @ts-check
// The list of presets: a group of radio buttons, with the expected time of each. The chosen one
// also has a sentence: the reason of Auto, or what the preset is for.
import { presetSeconds } from "./batch_state.js";
import { draw, html, icon, onPress } from "./dom.js";
import { followState } from "./native.js";
import { noticesHtml, solve } from "./notices.js";
import { currentPlan } from "./state.js";
import { onChange, set, state } from "./store.js";
import { formatDuration, joinTexts, joinUnits, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

/** The presets that suit most photos. A button shows the others. */
const FIRST = ["precise", "fast", "gentle"];
/** A preset that is at least so many times faster than Gentle says it. */
const MUCH_FASTER = 2;

let isOpen = false;

/**
 * @param {HTMLElement} element
 * @param {(event: string) => void} trigger
 */
export function mountPresets(element, trigger) {
  element.addEventListener("change", ({ target }) => {
    if (target instanceof HTMLInputElement) choosePreset(element, target);
  });
  onPress(element, {
    solve: (button) => solve(button, "preset"),
    more: () => {
      isOpen = !isOpen;
      drawList(element, state);
    },
  });
  const endDrawing = onChange((state) => drawList(element, state));
  // The event "apply" of this component sets the native controls.
  const endFollowing = followState(trigger);
  return () => {
    endDrawing();
    endFollowing();
  };
}

/**
 * Chooses a preset. One that is not installed can have the focus, but cannot be chosen.
 * @param {HTMLElement} element
 * @param {HTMLInputElement} input
 */
function choosePreset(element, input) {
  if (input.getAttribute("aria-disabled") !== "true") {
    set("preset", input.value);
    return;
  }
  for (const other of element.querySelectorAll("input")) {
    other.checked = other.value === state.preset;
  }
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawList(element, state) {
  const presets = ordered(state);
  const shipped = presets.filter((preset) => !preset.own);
  const own = presets.filter((preset) => preset.own);
  const more = shipped.filter((preset) => isUnderMore(state, preset));
  const visible = isOpen ? shipped : shipped.filter((preset) => !more.includes(preset));
  const lines = (/** @type {any[]} */ list) => list.map((preset) => line(state, preset));
  draw(
    element,
    html`<div class="presets" role="radiogroup" aria-labelledby="preset-title">
      ${lines(visible)} ${more.length > 0 && moreButton(more.length)}
      ${own.length > 0 && html`<p class="caption own">${word("own_models")}</p>`} ${lines(own)}
    </div>`,
  );
}

/**
 * Returns the presets with Auto and the usual ones first.
 * @param {State} state
 */
function ordered(state) {
  const rank = (/** @type {any} */ { name }) => {
    if (name === "auto") return 0;
    const place = FIRST.indexOf(name);
    return place < 0 ? FIRST.length + 1 : place + 1;
  };
  return [...state.presets].sort((one, other) => rank(one) - rank(other));
}

/**
 * @param {State} state
 * @param {any} preset
 */
function isUnderMore(state, preset) {
  const visible = ["auto", ...FIRST, state.preset];
  return !visible.includes(preset.name);
}

/** @param {number} count */
function moreButton(count) {
  return html`<button
    type="button"
    class="more"
    data-key="more"
    data-act="more"
    aria-expanded="${String(isOpen)}"
  >
    ${isOpen ? word("fewer_presets") : word("more_presets", { n: count })} ${icon("down")}
  </button>`;
}

/**
 * @param {State} state
 * @param {any} preset
 */
function line(state, preset) {
  const { name } = preset;
  const isChosen = name === state.preset;
  const isMissing = !preset.available;
  const kind = [isChosen && "chosen", isMissing && "missing"].filter(Boolean).join(" ");
  return html`<label class="preset ${kind}" data-key="preset-${name}">
      <input
        type="radio"
        name="preset"
        value="${name}"
        data-preset="${name}"
        aria-describedby="about-${name}"
        aria-disabled="${String(isMissing)}"
        ${isChosen ? html`checked` : null}
      />
      <span class="name">${titleOf(state, name)}</span>
      <span class="time caption">${timeOf(state, preset)}</span>
      <span class="about" id="about-${name}">${joinUnits(aboutOf(state, preset))}</span>
    </label>
    ${isChosen && noticesHtml(state, "preset")}`;
}

/**
 * @param {State} state
 * @param {string} name
 */
function titleOf(state, name) {
  if (name === "auto" && state.tab === "batch") return word("auto_for_each");
  return nameOf("preset", name);
}

/**
 * @param {State} state
 * @param {any} preset
 */
function timeOf(state, preset) {
  const plan = currentPlan(state);
  if (!preset.available) return word("not_installed_short");
  if (preset.name !== "auto" && state.tab === "batch") return batchTime(state, preset.name);
  if (preset.name !== "auto") return plan?.presets?.[preset.name]?.text ?? "";
  return state.preset === "auto" || state.tab === "batch" ? "" : (plan?.auto.summary ?? "");
}

/**
 * @param {State} state
 * @param {string} preset
 */
function batchTime(state, preset) {
  const seconds = presetSeconds(state, preset);
  return seconds === null ? "" : formatDuration(seconds);
}

/**
 * @param {State} state
 * @param {any} preset
 */
function aboutOf(state, preset) {
  if (!preset.available) return preset.reason;
  if (preset.name === "auto") return aboutAuto(state) || preset.summary;
  const faster = preset.relative_time ? 1 / preset.relative_time : 1;
  if (faster < MUCH_FASTER) return preset.summary;
  return word("times_faster", {
    about: preset.summary,
    n: Math.round(faster),
    preset: nameOf("preset", "gentle"),
  });
}

/** @param {State} state */
function aboutAuto(state) {
  if (state.tab === "single") return currentPlan(state)?.auto.text;
  const plans = state.batch.files.map(({ path }) => state.plans[path ?? ""]).filter(Boolean);
  if (plans.length === 0) return null;
  const counts = new Map();
  let seconds = 0;
  for (const plan of plans) {
    const { preset } = plan.auto;
    counts.set(preset, (counts.get(preset) ?? 0) + 1);
    seconds += plan.presets?.[preset]?.estimated_seconds ?? 0;
  }
  const frequent = [...counts].sort(([, one], [, other]) => other - one);
  const names = frequent.map(([preset, n]) =>
    word("preset_count", { n, preset: nameOf("preset", preset) }),
  );
  return word("auto_batch", { presets: joinTexts(names), time: formatDuration(seconds) });
}
