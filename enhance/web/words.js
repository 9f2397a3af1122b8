// Gradio's own parts in the page's language, what is read aloud, and where the keyboard goes on when its place is gone.
(() => {
  const say = (key) => window.enhanceSay(key);
  const all = (selector) => document.querySelectorAll(selector);
  const name = (element, words, attribute = "aria-label") => {
    if (element.getAttribute(attribute) !== words) element.setAttribute(attribute, words);
  };

  const NAMES = [
    ["#upload .upload-container, #upload input[type=file]", "upload"],
    ["#batch-files .upload-container, #batch-files input[type=file], #batch-files .icon-button:has(input)", "batch_files"],
    [".overflow-menu > button", "more_tabs"],
    ["footer", "about_this_page"],
    [".toast-close", "close"],
    [".compare .icon-button-wrapper button:last-child", "fullscreen"],
  ];
  const nameParts = () => {
    for (const [parts, key] of NAMES) for (const part of all(parts)) name(part, say(key));
    for (const part of all("[title='common.upload'], .compare .icon-button-wrapper button[title]")) name(part, part.ariaLabel, "title");
    for (const radio of all(".block input[type=radio]")) name(radio, radio.closest(".block").id, "name"); // one group each
    for (const part of all("[aria-label='Empty value']")) part.removeAttribute("aria-label");
    for (const image of all("footer img")) image.alt = "";
    for (const image of all("#examples .gallery-item img")) {
      const words = say(`example_${/([a-z]+)\.jpg$/.exec(image.src)?.[1]}`);
      name(image, words ?? "", "alt");
      if (words) name(image.closest("button"), words);
    }
    for (const input of all(".block input[type=range], .block input[type=number]")) {
      const words = input.closest(".block").querySelector("[data-testid=block-info]")?.textContent.trim();
      if (words) name(input, words);
    }
  };

  // A refusal of the server comes as JSON with its sentence, already in the reader's language.
  const sentence = (text) => {
    const refused = /^HTTP \d+: (.*)$/s.exec(text);
    if (refused) {
      try { return JSON.parse(refused[1]).error ?? say("upload_failed"); } catch { return say("upload_failed"); }
    }
    if (/^Connection (errored out|to the server was lost)/.test(text)) return say("connection_lost");
    return /^File\(s\) exceed/.test(text) ? say("too_large") : null;
  };
  const TITLES = { Error: "note_failed", Info: "note_info", Warning: "note_warning" };
  const translateToasts = () => {
    for (const part of all("[data-testid=toast-text]")) {
      const words = sentence(part.textContent.trim());
      if (words && words !== part.textContent) part.textContent = words;
    }
    for (const { firstChild: title } of all(".toast-title")) {
      const key = TITLES[title?.data?.trim()];
      const titled = key && `${say(key)} `;
      if (key && title.data !== titled) title.data = titled; // setting the same text would trigger the observer again
    }
    if (one(".toast-body.error")) document.body.classList.remove("uploading");
  };

  // One polite voice: a state when it changes, and of what is under way every tenth part.
  const one = (selector) => document.querySelector(selector);
  const voice = Object.assign(document.createElement("div"), { id: "voice", className: "voice" });
  voice.setAttribute("role", "status");
  const heard = new Map();
  const speak = (place, state, words) => {
    if (heard.get(place) === state) return;
    const news = heard.has(place) || ["run", "cells"].includes(place);
    heard.set(place, state);
    if (news && words) voice.textContent = words;
  };
  const listen = () => {
    if (!voice.isConnected) document.body.append(voice);
    for (const place of ["#chip .chip", "#result-chip .chip"]) {
      const chip = one(place);
      if (chip) speak(place, chip.dataset.state, chip.textContent);
    }
    const cells = one("#comparison .cells")?.dataset.said ?? "";
    speak("cells", cells, cells);
    const end = one("#progress :is(.finished, .cancelled), #batch-progress .note");
    const [bar, words] = [one(".run:not(.comparing) progress"), one(".run:not(.comparing) p")?.textContent];
    if (bar) speak("run", bar.hasAttribute("value") ? `at ${Math.floor(bar.value / 10)}` : words, words);
    else speak("run", end?.textContent ?? "", end?.textContent);
  };

  // The part that had the focus may be put away or made anew: the focus then goes to what stands in its place.
  const HOMES = {
    "#retry": "#retry",
    "#reset": "#preset input:checked",
    "#tips": "#tips .take, #rail:not(:has(.take)) #preset input:checked",
    "#comparison": "#preset input:checked",
    "#acts": "#cancel, #download, #enhance",
    ".places": "#photo .pin, #photo .place[aria-pressed=true]",
    ".square": "#photo .square",
    "#head a[lang=en]": "#head a[lang=en]",
    "#head a[lang=zh-CN]": "#head a[lang=zh-CN]",
  };
  let home = null;
  document.addEventListener("focusin", ({ target }) => {
    const [act, line] = [target.closest("#history-list [data-act]"), target.closest("[data-entry]")];
    home = HOMES[Object.keys(HOMES).find((place) => target.closest(place))] ?? null;
    const cell = target.closest(".cell");
    if (cell) home = `.cell[data-preset="${cell.dataset.preset}"], ${home}`;
    if (act) home = `[data-entry="${line.dataset.entry}"] > .acts [data-act=${act.dataset.act}]`;
  });
  document.addEventListener("focusout", ({ target }) => {
    setTimeout(() => { if (target.isConnected && !target.disabled && document.activeElement === document.body) home = null; });
  });
  const bringBack = () => {
    if (!home || document.activeElement !== document.body) return;
    const places = [home, ...(home.startsWith("[data-entry") ? ["#history-list [data-act]", "#history > button"] : [])];
    const parts = places.flatMap((place) => [...all(place)]);
    parts.find((part) => !part.disabled && part.checkVisibility())?.focus({ preventScroll: true });
  };

  const LEFT = "enhance-language";
  document.addEventListener("click", ({ target }) => {
    const link = target.closest?.("#head nav a");
    if (link) try { sessionStorage.setItem(LEFT, link.lang); } catch { /* the focus begins at the top then */ }
  });
  const comeBack = () => {
    let language = null;
    try { language = sessionStorage.getItem(LEFT); } catch { return; }
    const link = language && one(`#head nav a[lang="${language}"]`);
    if (!link) return;
    sessionStorage.removeItem(LEFT);
    link.focus({ preventScroll: true });
  };

  new MutationObserver(() => {
    nameParts();
    translateToasts();
    listen();
    bringBack();
    comeBack();
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["name"] });
})();
