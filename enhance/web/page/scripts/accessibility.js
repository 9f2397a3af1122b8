// @ts-check
// What the native controls of Gradio lack for keyboards and screen readers: the radio buttons of a
// control are no group, because Gradio gives a button another name when it is chosen, and the inputs
// of a slider have English names.
import { onChange } from "./store.js";

/** Names the controls of the panel, also those that Gradio adds when a section is opened. */
export function watchControls() {
  onChange(nameControls);
  document.addEventListener("focusin", nameControls);
  document.addEventListener("keydown", nameControls, true); // Arrow keys move within a group.
  document.addEventListener("click", () => requestAnimationFrame(nameControls));
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
