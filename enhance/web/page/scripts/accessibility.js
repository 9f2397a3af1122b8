// @ts-check
// What the native controls of Gradio lack for keyboards and screen readers: the radio buttons of a
// control are no group, and the inputs of a slider have English names.
import { onChange } from "./store.js";

/** Names the controls of the panel, also those that Gradio adds when a section is opened. */
export function watchControls() {
  onChange(nameControls);
  document.addEventListener("focusin", nameControls);
  document.addEventListener("click", () => requestAnimationFrame(nameControls));
}

function nameControls() {
  for (const input of document.querySelectorAll("#panel .block input")) {
    const block = /** @type {Element} */ (input.closest(".block"));
    const type = input.getAttribute("type") ?? "";
    if (type === "radio" && !input.hasAttribute("name")) input.setAttribute("name", block.id);
    if (type === "range" || type === "number") labelInput(input, block);
  }
}

/** @param {Element} input @param {Element} block */
function labelInput(input, block) {
  const label = block.querySelector("[data-testid=block-info]")?.textContent?.trim();
  if (label && input.getAttribute("aria-label") !== label) input.setAttribute("aria-label", label);
}
