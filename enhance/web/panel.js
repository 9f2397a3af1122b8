// The panel: the state of Tuning in its row, and the settings, folded to one line each while there is a result.
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (selector, root = document) => root.querySelector(selector)?.textContent.trim() ?? "";
  const selected = (control) => text(`#${control} label.selected > span:not(.picture)`);
  const number = (control) => one(`#${control} input`)?.value ?? "";
  const size = () => {
    const control = one("#size input:checked")?.value;
    if (control === "paper") {
      const isOwn = one("#paper input:checked")?.value === "own";
      return `${isOwn ? `${number("print_width")} × ${number("print_height")} ${selected("unit")}` : selected("paper")}, ${number("dpi")} dpi`;
    }
    if (!one("#panel.custom-size")) return text("#sizes label.selected");
    return control === "scale" ? selected(control) : `${text(`#${control} [data-testid=block-info]`)} ${number(control)}`;
  };
  const preset = () => {
    const auto = text("#preset label:has(.picture b:not(:empty)) > span:not(.picture)");
    return one("#preset input[value=auto]:checked") && auto ? `${selected("preset")}: ${auto}` : selected("preset");
  };
  const SECTIONS = {
    size: { title: "size", state: size }, preset: { title: "preset", state: preset },
    format: { title: "format_metadata", state: () => `${selected("format")}, ${selected("metadata")}` },
  };
  const put = (element, key, value) => { if (element && element[key] !== value) element[key] = value; };

  const updateFold = (name) => {
    const section = one(`#section-${name}`), fold = section?.querySelector(".fold");
    if (!fold) return;
    if (!fold.firstChild) {
      fold.innerHTML = "<span></span><small></small>";
      fold.onclick = () => { section.classList.toggle("open"); updateFold(name); };
    }
    put(fold.firstChild, "textContent", window.enhanceTranslate(SECTIONS[name].title));
    put(fold.lastChild, "textContent", SECTIONS[name].state());
    fold.setAttribute("aria-expanded", String(section.classList.contains("open")));
  };
  let shown = "";
  const update = () => {
    const row = one("#tuning-sheet > button");
    if (row && !row.querySelector("small")) row.firstElementChild.after(document.createElement("small"));
    put(row?.querySelector("small"), "textContent", text("#changed"));
    // A new result folds the settings again. In Batch, they belong to all files.
    const result = one(".many") ? "" : one("[data-result]")?.dataset.result ?? "";
    if (result !== shown) for (const section of all("#panel .section")) section.classList.remove("open");
    shown = result;
    one("#panel")?.classList.toggle("folded", Boolean(result));
    for (const name in SECTIONS) updateFold(name);
  };
  document.addEventListener("change", (event) => { if (event.target.closest?.("#panel")) requestAnimationFrame(update); });
  new MutationObserver(update).observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["data-result"] });
})();
