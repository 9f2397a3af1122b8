// For screen readers and keyboards: announcements, and the focus when its element disappears.
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => document.querySelectorAll(selector);

  // A live region announces states when they change, and progress at every tenth of it.
  const region = Object.assign(document.createElement("div"), { id: "announcements", className: "visually-hidden" });
  region.setAttribute("role", "status");
  const announced = new Map();
  const announce = (place, state, words) => {
    if (announced.get(place) === state) return;
    const isNews = announced.has(place) || ["run", "cells"].includes(place);
    announced.set(place, state);
    if (isNews && words) region.textContent = words;
  };
  const announceStates = () => {
    if (!region.isConnected) document.body.append(region);
    for (const place of ["#chip .chip", "#result-chip .chip"]) {
      const chip = one(place);
      if (chip) announce(place, chip.dataset.state, chip.textContent);
    }
    const cells = one("#comparison .cells")?.dataset.announcement ?? "";
    announce("cells", cells, cells);
    const end = one("#progress :is(.finished, .cancelled), #batch-progress .note");
    const [bar, words] = [one(".run:not(.comparing) progress"), one(".run:not(.comparing) p")?.textContent];
    if (bar) announce("run", bar.hasAttribute("value") ? `at ${Math.floor(bar.value / 10)}` : words, words);
    else announce("run", end?.textContent ?? "", end?.textContent);
  };

  // If an update removes the focused element, the element that replaces it gets the focus: by area of the page.
  const FIELDS = ":is(#long_side, #megapixels, #dpi)";
  const REPLACEMENTS = {
    "#retry": "#retry",
    "#reset": "#tuning-sheet > button",
    "#tips": "#tips .tip-action, #panel:not(:has(.tip-action)) #preset input:checked",
    "#size-problem": `#section-size ${FIELDS} input, #section-size:has(#size [value=scale]:checked) #sizes input:checked`,
    "#preset-problem": "#preset input:checked",
    "#progress": "#enhance",
    "#comparison": "#preset input:checked",
    "#acts": "#cancel, #download, #enhance",
    "#batch-acts": "#batch-cancel, #batch-download, #batch-enhance",
  };
  let replacement = null;
  document.addEventListener("focusin", ({ target }) => {
    const [act, line] = [target.closest("#history-list [data-act]"), target.closest("[data-entry]")];
    replacement = REPLACEMENTS[Object.keys(REPLACEMENTS).find((place) => target.closest(place))] ?? null;
    const cell = target.closest(".cell");
    if (target.closest("#head nav a")) replacement = "#head nav a";
    if (cell) replacement = `.cell[data-preset="${cell.dataset.preset}"], ${replacement}`;
    const file = target.closest(".file");
    if (file) replacement = `.file[data-file="${file.dataset.file}"] .pick, .file.selected .pick`;
    if (act) replacement = `[data-entry="${line.dataset.entry}"] > .acts [data-act=${act.dataset.act}]`;
  });
  document.addEventListener("focusout", ({ target }) => {
    setTimeout(() => { if (target.isConnected && !target.disabled && document.activeElement === document.body) replacement = null; });
  });
  const restoreFocus = () => {
    if (!replacement || document.activeElement !== document.body) return;
    const places = [replacement, ...(replacement.startsWith("[data-entry") ? ["#history-list [data-act]", "#history > button"] : [])];
    const parts = places.flatMap((place) => [...all(place)]);
    parts.find((part) => !part.disabled && part.checkVisibility())?.focus({ preventScroll: true });
  };

  const LEFT = "enhance-language";
  document.addEventListener("click", ({ target }) => {
    const link = target.closest?.("#head nav a");
    if (link) try { sessionStorage.setItem(LEFT, link.lang); } catch { /* Without storage, the focus starts at the top. */ }
  });
  // The link of the current language is hidden, which is the former one until Gradio has set the new one.
  const focusLanguageLink = () => {
    let language = null;
    try { language = sessionStorage.getItem(LEFT); } catch { return; }
    const link = language && one(`#head nav a:not([lang="${language}"])`);
    if (!link?.checkVisibility()) return;
    sessionStorage.removeItem(LEFT);
    link.focus({ preventScroll: true });
  };

  new MutationObserver(() => {
    announceStates();
    restoreFocus();
    focusLanguageLink();
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["name"] });
})();
