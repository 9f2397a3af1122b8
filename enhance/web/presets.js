// The list of presets: a line with the name and the time of each. The selected one also has its description.
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const VISIBLE = 3;
  const put = (element, key, value) => { if (element[key] !== value) element[key] = value; };
  const part = (parent, tag, className) => {
    const known = parent.querySelector(`:scope > .${className}`);
    return known ?? parent.appendChild(Object.assign(document.createElement(tag), { className }));
  };
  // A line does not end between a number and its unit, nor before a quotation mark.
  const joinUnits = (text) => text.replace(/(\d) (?=\p{L})/gu, "$1\u00a0").replace(/(\p{sc=Han}) (?=\d)/gu, "$1\u00a0").replace(/(?<=\p{sc=Han})“/gu, "\u2060“");

  let isAll = false;
  const drawMore = (wrap, count) => {
    const button = part(wrap, "button", "others");
    button.type = "button";
    button.onclick = () => { isAll = !isAll; draw(); };
    put(button, "textContent", isAll ? window.enhanceTranslate("fewer_presets") : window.enhanceTranslate("more_presets").replace("{n}", count));
    button.setAttribute("aria-expanded", String(isAll));
  };

  let parsed = null;
  let parsedText = null;
  const read = () => {
    const text = one("#preset-times [data-presets]")?.dataset.presets ?? null;
    if (text !== parsedText) parsed = text && JSON.parse(text);
    parsedText = text;
    return parsed;
  };
  const draw = () => {
    const wrap = one("#preset .wrap:has(label)");
    const autoInput = one("#preset input[value=auto]");
    if (!wrap || !autoInput) return;
    const data = read();
    const chosen = one("#preset input:checked")?.value;
    const focused = document.activeElement?.closest("#preset label.unavailable");
    const figures = new Map(all("#about figure").map((figure) => [figure.dataset.preset, figure]));
    const batch = JSON.parse(one(".many [data-batch-auto]")?.dataset.batchAuto ?? "{}").text;
    let place = 0;
    let hidden = 0;
    for (const input of all("#preset input")) {
      const label = input.closest("label");
      const figure = figures.get(input.value);
      const group = figure?.dataset.group;
      const isAuto = input === autoInput;
      const isInstalled = figure?.dataset.installed !== "false";
      const isDescribed = input.value === chosen || label === focused;
      const description = figure?.textContent.trim() ?? "";
      label.classList.toggle("own", Boolean(group));
      if (group && wrap.dataset.group !== group) wrap.dataset.group = group;
      label.classList.toggle("unavailable", !isInstalled);
      label.classList.toggle("choice", data?.auto === input.value);
      // Not `disabled`: keyboards and screen readers reach it and its reason.
      input.setAttribute("aria-disabled", String(!isInstalled));
      if (figure) {
        figure.id = `about-${input.value}`;
        input.setAttribute("aria-describedby", figure.id);
        put(label, "title", description);
      }
      let time = data?.times[input.value] ?? "";
      let about = description;
      if (isAuto) {
        put(label.querySelector(":scope > span"), "textContent", window.enhanceTranslate(one(".many") ? "auto_for_each" : "preset_auto"));
        time = input.value === chosen ? "" : data?.summary ?? "";
        about = batch || data?.reason || "";
      }
      if (!isInstalled) time = window.enhanceTranslate("not_installed_short");
      put(part(label, "small", "time"), "textContent", time);
      put(part(label, "small", "about"), "textContent", isDescribed ? joinUnits(about) : "");
      // Screen readers read Auto's reason with its name, and other descriptions after it.
      part(label, "small", "about").ariaHidden = String(!isAuto);
      if (isAuto || group) continue;
      const isMore = place >= VISIBLE && ![chosen, data?.auto].includes(input.value);
      place += 1;
      hidden += isMore;
      label.classList.toggle("more", isMore && !isAll);
    }
    drawMore(wrap, hidden);
  };
  // A preset that is not installed can have the focus, but cannot be selected.
  document.addEventListener("click", (event) => {
    const label = event.target.closest?.("#preset label.unavailable");
    if (!label) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    label.querySelector("input").focus();
  }, true);
  for (const type of ["focusin", "focusout", "change"]) {
    document.addEventListener(type, (event) => { if (event.target.closest?.("#preset")) requestAnimationFrame(draw); });
  }
  new MutationObserver(draw).observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["data-presets"] });
})();
