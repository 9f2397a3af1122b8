// The presets: Auto with its reason, and cards that show a small part of the photo before and after each preset.
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const [SIDE, REST_MS, IN_SIGHT] = [48, 1000, 3];
  const put = (element, key, value) => { if (element && element[key] !== value) element[key] = value; };
  const TICK = '<svg viewBox="0 0 24 24"><path d="m5 12.5 4.5 4.5L19 7.5"/></svg>';

  // The part of the photo that the cards show: `before` is an address, `after` has addresses by preset.
  let [shown, timer, image, isAll] = [null, 0, null, false];
  const placeNow = () => {
    const view = window.enhanceCentre();
    if (!view) return null;
    const sides = view.size.map((side) => Math.min(SIDE, side));
    const [left, top] = view.at.map((at, axis) => Math.min(Math.max(Math.round(at - sides[axis] / 2), 0), view.size[axis] - sides[axis]));
    return { photo: view.address, region: `left=${left}&top=${top}&width=${sides[0]}&height=${sides[1]}&step=1` };
  };
  const show = () => {
    const place = placeNow();
    if (place?.photo === shown?.photo && place?.region === shown?.region) return;
    shown = place && { ...place, before: `${place.photo}?${place.region}`, after: new Map() };
    if (image) image.src = ""; // Cancels the request for the earlier area.
    image = null;
    draw();
  };
  // A new photo is shown at once, a new area when the view has not moved for a while.
  window.enhanceMoved = () => {
    clearTimeout(timer);
    if (window.enhanceCentre()?.address !== shown?.photo) show();
    else timer = setTimeout(show, REST_MS);
  };
  // The results are requested one by one after the preview: quick presets first, and only visible cards.
  const awaitsPreview = () => one("#stage[data-mode=preview]:not(.zoomed-out) #chip .chip:is(.none, .running, .quick)");
  const requestNext = (cards, seconds) => {
    if (image || !shown || awaitsPreview()) return;
    const time = ({ name }) => seconds?.[name] ?? Infinity;
    const [next] = cards.filter((card) => card.isInstalled && !shown.after.has(card.name) && card.label.checkVisibility()).sort((a, b) => time(a) - time(b));
    if (!next) return;
    const [place, request] = [shown, (image = new Image())];
    const end = (address) => {
      if (image !== request) return;
      image = null;
      place.after.set(next.name, address);
      draw();
    };
    request.onload = () => end(request.src);
    request.onerror = () => end(""); // Slow presets have none.
    request.src = `${shown.photo.replace("/photo/", "/card/")}?${shown.region}&preset=${encodeURIComponent(next.name)}`;
  };

  const add = (parent, tag, className, html = "", before = null) => {
    const part = Object.assign(document.createElement(tag), { className, innerHTML: html });
    parent.insertBefore(part, before);
    return part;
  };
  const part = (parent, selector, build) => parent.querySelector(`:scope > ${selector}`) ?? build();
  const source = (picture, address) => {
    if ((picture.getAttribute("src") ?? "") === address) return;
    if (address) picture.src = address;
    else picture.removeAttribute("src");
  };
  const drawCard = ({ label, name, isInstalled }, data) => {
    const picture = part(label, ".picture", () => add(label, "span", "picture", `<img alt=""><i><img alt=""></i><b></b><s>${TICK}</s>`, label.querySelector("span")));
    picture.setAttribute("aria-hidden", "true"); // The text of Auto names its choice, and the name of the preset is below.
    const [before, after] = picture.querySelectorAll("img"), address = shown?.after.get(name) ?? "";
    source(before, shown?.before ?? "");
    source(after, address);
    picture.classList.toggle("both", Boolean(address));
    put(picture.querySelector("b"), "textContent", data?.auto === name ? window.enhanceTranslate("preset_auto") : "");
    const time = isInstalled ? data?.times[name] ?? "" : window.enhanceTranslate("not_installed_short");
    put(part(label, "small", () => add(label, "small", "")), "textContent", time);
  };
  const drawHeading = (wrap, autoLabel) => {
    const row = part(wrap, ".by-eye", () => {
      const row = add(wrap, "div", "by-eye", '<span></span><button type="button" class="others"></button>', autoLabel.nextSibling);
      row.lastChild.onclick = () => { isAll = !isAll; draw(); };
      return row;
    });
    put(row.firstChild, "textContent", window.enhanceTranslate(one(".many") ? "choose_for_all" : "choose_by_eye"));
    put(row.lastChild, "textContent", window.enhanceTranslate(isAll ? "fewer_presets" : "more"));
    row.lastChild.setAttribute("aria-expanded", String(isAll));
  };

  let [parsed, text] = [null, null];
  const read = () => {
    const now = one("#cards [data-cards]")?.dataset.cards ?? null;
    if (now !== text) [text, parsed] = [now, now && JSON.parse(now)];
    return parsed;
  };
  const draw = () => {
    const wrap = one("#preset .wrap:has(label)"), autoInput = one("#preset input[value=auto]"), data = read();
    if (!wrap || !autoInput) return;
    const autoLabel = autoInput.closest("label"), chosen = one("#preset input:checked")?.value;
    drawHeading(wrap, autoLabel);
    put(autoLabel.querySelector(":scope > span"), "textContent", window.enhanceTranslate(one(".many") ? "auto_for_each" : "preset_auto"));
    const about = part(autoLabel, "small", () => add(autoLabel, "small", ""));
    const batch = JSON.parse(one(".many [data-batch-auto]")?.dataset.batchAuto ?? "{}").text;
    // A line does not end between a number and its unit, nor before a quotation mark.
    const words = ((chosen === "auto" ? batch || data?.reason : data?.summary) ?? "").replace(/(\d) (?=\p{L})/gu, "$1\u00a0").replace(/(\p{sc=Han}) (?=\d)/gu, "$1\u00a0").replace(/(?<=\p{sc=Han})“/gu, "\u2060“");
    put(about, "textContent", words);
    const figures = new Map(all("#about figure").map((figure) => [figure.dataset.preset, figure]));
    const cards = all("#preset input").filter((input) => input !== autoInput).map((input) => {
      const figure = figures.get(input.value), label = input.closest("label"), group = figure?.dataset.group;
      const isInstalled = figure?.dataset.installed !== "false";
      label.classList.toggle("own", Boolean(group));
      if (group && wrap.dataset.group !== group) wrap.dataset.group = group;
      label.classList.toggle("unavailable", !isInstalled);
      // Not `disabled`: keyboards and screen readers reach it and its reason.
      input.setAttribute("aria-disabled", String(!isInstalled));
      return { input, label, name: input.value, isInstalled };
    });
    for (const [name, figure] of figures) {
      const input = one(`#preset input[value="${CSS.escape(name)}"]`);
      figure.id = `about-${name}`;
      figure.hidden = name !== (document.activeElement?.closest("#preset label.unavailable")?.querySelector("input").value ?? chosen);
      input?.setAttribute("aria-describedby", figure.id);
      if (input) put(input.closest("label"), "title", figure.textContent.trim());
    }
    wrap.classList.toggle("pictured", Boolean(shown));
    const presets = cards.filter(({ label }) => !label.classList.contains("own"));
    for (const [place, card] of presets.entries()) card.label.classList.toggle("more", place >= IN_SIGHT && !isAll && ![chosen, data?.auto].includes(card.name));
    for (const card of cards) drawCard(card, data);
    requestNext(cards, data?.seconds);
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
  new MutationObserver(draw).observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["data-cards"] });
})();
