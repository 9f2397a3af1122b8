// The panel: the state of Tuning in its row, and the settings, folded to one line each while there is a result. On a
// phone, the panel is a sheet.
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (selector, root = document) => root.querySelector(selector)?.textContent.trim() ?? "";
  const selected = (control) => text(`#${control} label.selected > span`);
  const punctuation = (mark) => (document.documentElement.lang.startsWith("zh") ? { ",": "，", ":": "：" }[mark] : `${mark} `);
  const number = (control) => one(`#${control} input`)?.value ?? "";
  const size = () => {
    const control = one("#size input:checked")?.value;
    if (control === "paper") {
      const isOwn = one("#paper input:checked")?.value === "own";
      const sides = `${number("print_width")} × ${number("print_height")}`;
      const print = isOwn ? window.enhanceTranslate("print_sides").replace("{sides}", sides) : selected("paper");
      return `${print}${punctuation(",")}${number("dpi")} dpi`;
    }
    if (!one("#panel.custom-size")) return text("#sizes label.selected");
    return control === "scale" ? selected(control) : `${text(`#${control} [data-testid=block-info]`)} ${number(control)}`;
  };
  const preset = () => {
    const auto = text("#preset label.choice > span");
    return one("#preset input[value=auto]:checked") && auto ? `${selected("preset")}${punctuation(":")}${auto}` : selected("preset");
  };
  const SECTIONS = {
    size: { title: "size", state: size }, preset: { title: "preset", state: preset },
    facts: { title: "facts", state: () => text("#facts dd"), open: () => one("#more-facts").showPopover() },
    format: { title: "format_metadata", state: () => `${selected("format")}${punctuation(",")}${selected("metadata")}` },
  };
  const CLOSING_PX = 80;
  const put = (element, key, value) => { if (element && element[key] !== value) element[key] = value; };

  // The format and the metadata are radio buttons of Gradio, which are hidden. Menus take less room.
  const updateMenus = () => {
    const place = one("#menus .menus");
    if (!place) return;
    for (const control of ["format", "metadata"]) {
      const radios = all(`#${control} input`);
      let menu = place.querySelector(`[name=menu-${control}]`);
      if (!menu) {
        place.insertAdjacentHTML("beforeend", `<label><span></span><select name="menu-${control}"></select></label>`);
        menu = place.querySelector(`[name=menu-${control}]`);
        menu.onchange = () => one(`#${control} input[value="${menu.value}"]`).click();
      }
      put(menu.previousSibling, "textContent", window.enhanceTranslate(control));
      const words = radios.map((radio) => radio.parentElement.textContent.trim());
      if (words.join() !== [...menu.options].map((option) => option.text).join()) {
        menu.replaceChildren(...radios.map((radio, place) => new Option(words[place], radio.value)));
      }
      put(menu, "value", radios.find((radio) => radio.checked)?.value ?? "");
    }
  };

  const updateFold = (name) => {
    const section = one(`#section-${name}`), fold = section?.querySelector(".fold");
    if (!fold) return;
    if (!fold.firstChild) {
      fold.innerHTML = "<span></span><small></small>";
      fold.onclick = SECTIONS[name].open ?? (() => { section.classList.toggle("open"); updateFold(name); });
    }
    put(fold.firstChild, "textContent", window.enhanceTranslate(SECTIONS[name].title));
    put(fold.lastChild, "textContent", SECTIONS[name].state());
    fold.setAttribute("aria-expanded", String(section.classList.contains("open")));
  };

  // The size, the file and the fidelity of a result, in the bar of a phone.
  const showSummary = () => {
    const place = one("#settings p");
    if (!place) return;
    if (!place.firstChild) place.innerHTML = "<span></span><span></span>";
    put(place.firstChild, "textContent", text("#done .heading"));
    put(place.lastChild, "textContent", text("#done .brief"));
  };

  // The preset and the format of a run, below its size in the bar.
  const showPlan = () => {
    const place = one("#about-run"), words = `${preset()}${punctuation(",")}${selected("format")}`;
    if (place && place.dataset.plan !== words) place.dataset.plan = words;
  };

  // The focus stays inside the sheet. Escape, a tap outside, or dragging its upper edge down closes it.
  const phone = matchMedia("(max-width: 900px)");
  const isSheetOpen = () => Boolean(one("#panel.sheet"));
  const showSheet = (isOpen) => {
    const [panel, button] = [one("#panel"), one("#settings button")];
    panel.classList.toggle("sheet", isOpen);
    button.setAttribute("aria-expanded", String(isOpen));
    for (const part of all("#head, #tabs, #list, #stage, #history, #credits, footer")) part.inert = isOpen;
    Object.assign(panel, { role: isOpen ? "dialog" : null, ariaLabel: isOpen ? window.enhanceTranslate("settings") : null, tabIndex: -1 });
    if (isOpen) panel.scrollTop = 0;
    (isOpen ? panel : button).focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#location button")) one("#metadata input[value=no-location]").click();
    if (event.target.closest?.("#settings button")) showSheet(!isSheetOpen());
    else if (isSheetOpen() && event.target.isConnected && (!event.target.closest?.("#panel, #more-facts") || event.target.closest("[data-place]"))) showSheet(false);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && isSheetOpen() && !one(":popover-open")) showSheet(false); });
  phone.addEventListener("change", () => { if (isSheetOpen()) showSheet(false); });
  document.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest?.("#grip");
    if (!grip) return;
    const panel = one("#panel"), below = ({ clientY }) => Math.max(0, clientY - event.clientY);
    const move = (now) => { panel.style.translate = `0 ${below(now)}px`; };
    grip.setPointerCapture(event.pointerId);
    grip.addEventListener("pointermove", move);
    const end = (last) => {
      grip.removeEventListener("pointermove", move);
      panel.style.translate = "";
      if (last.type === "pointerup" && below(last) > CLOSING_PX) showSheet(false);
    };
    for (const type of ["pointerup", "pointercancel"]) grip.addEventListener(type, end, { once: true });
  });
  // The stage and the sheet end where the bar begins, whose height depends on its buttons.
  const measured = new ResizeObserver(([{ target }]) => {
    document.documentElement.style.setProperty("--bar", phone.matches && target.offsetHeight ? `${target.offsetHeight}px` : "");
  });
  let bar = null;
  const watchBar = () => {
    if (bar === one("#bar")) return;
    bar = one("#bar");
    measured.observe(bar);
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
    updateMenus();
    for (const name in SECTIONS) updateFold(name);
    one("#settings button")?.setAttribute("aria-label", window.enhanceTranslate("settings"));
    showSummary();
    showPlan();
    watchBar();
  };
  document.addEventListener("change", (event) => { if (event.target.closest?.("#panel")) requestAnimationFrame(update); });
  new MutationObserver(update).observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["data-result"] });
})();
