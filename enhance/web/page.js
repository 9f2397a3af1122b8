// Dropped and pasted files, links, presets, late responses, and scrolling to the next step.
(() => {
  const one = (selector) => document.querySelector(selector);
  // A tab keeps its name when it is reloaded. A duplicated tab gets a name of its own.
  const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  window.enhanceFresh = fresh;
  let tab = null;
  window.enhanceTab = async () => {
    if (tab) return tab;
    let name = null;
    try { name = sessionStorage.getItem("enhance-tab"); } catch { return (tab = fresh()); }
    const tabs = new BroadcastChannel("enhance-tabs");
    if (name) {
      const isUsed = await new Promise((done) => {
        tabs.onmessage = ({ data }) => { if (data.used === name) done(true); };
        tabs.postMessage({ asked: name });
        setTimeout(done, 120, false);
      });
      if (isUsed) name = null;
    }
    tab = name ?? fresh();
    tabs.onmessage = ({ data }) => { if (data.asked === tab) tabs.postMessage({ used: tab }); };
    sessionStorage.setItem("enhance-tab", tab);
    return tab;
  };

  // Pass files to the open tab: a photo to Single, any number to Batch. Several files open Batch.
  const upload = async (files) => {
    if (!files.length) return;
    const tab = one("#tab-many-button"), isBatchOpen = () => tab.getAttribute("aria-selected") === "true";
    if (files.length > 1 && !isBatchOpen()) tab.click();
    while (files.length > 1 && !isBatchOpen()) await new Promise((done) => setTimeout(done, 50));
    const many = isBatchOpen();
    // During an upload, Gradio has no input or another one, whose uploads fail as soon as the earlier one is answered.
    const input = `#${many ? "batch-files" : "upload"} .upload-container:not(.icon-mode) input`;
    while (!one(input)) await new Promise((done) => setTimeout(done, 50));
    const carrier = new DataTransfer();
    for (const file of files) carrier.items.add(file);
    one(input).files = carrier.files;
    one(input).dispatchEvent(new Event("change", { bubbles: true }));
    if (!many) document.body.classList.add("uploading");
  };

  // Gradio can replace its own input before a file is selected.
  const picker = Object.assign(document.createElement("input"), { type: "file", hidden: true });
  // The file `replaced` of the batch is removed once others are selected in its place.
  const pickFiles = (replaced) => {
    picker.onchange = () => {
      upload([...picker.files]);
      picker.value = "";
      if (replaced) window.enhanceCards("delete", { index: replaced, value: null });
    };
    picker.multiple = one("#tab-many-button").getAttribute("aria-selected") === "true";
    document.body.append(picker);
    picker.click();
  };

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    upload(files);
  });

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const isDropArea = (event) => event.target.closest?.(".upload-container:not(.icon-mode)");
  for (const type of ["dragenter", "dragover"]) {
    document.addEventListener(type, (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (isDropArea(event) && files.length < 2) return;
    event.stopPropagation(); // Gradio's drop area for one photo would ignore the others.
    upload(files);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#replace, #batch-add")) pickFiles();
    if (event.target.closest?.(".theme")) window.enhanceTheme(document.body.classList.toggle("dark") ? "dark" : "light");
    const [file, chosen] = [event.target.closest?.(".file"), event.target.closest?.(".file .pick")];
    if (event.target.closest?.(".file .remove")) window.enhanceCards("delete", { index: file.dataset.file, value: null });
    const repair = event.target.closest?.(".file .repair");
    if (repair?.dataset.act === "replace") pickFiles(file.dataset.file);
    else if (repair) window.enhanceCards(repair.dataset.act, { index: file.dataset.file, value: null });
    if (chosen) {
      for (const other of document.querySelectorAll(".file")) {
        other.classList.toggle("selected", other === file);
        if (other === file) chosen.setAttribute("aria-current", "true");
        else other.querySelector(".pick").removeAttribute("aria-current");
      }
      window.enhanceCards("select", { index: file.dataset.file, value: null });
    }
    const solution = JSON.parse(event.target.closest?.("[data-values]")?.dataset.values ?? "null");
    if (solution?.size) chooseSize(solution);
    else for (const name in solution) one(`#${name} input[value="${solution[name]}"]`).click();
    if (solution) window.enhanceTips("select", { index: 0, value: null });
  });

  // Arrow keys move between the files of the batch and select them.
  document.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], here = event.target.closest?.(".file .pick");
    if (!step || !here) return;
    event.preventDefault();
    const files = [...document.querySelectorAll(".file .pick")], next = files[files.indexOf(here) + step];
    next?.focus();
    next?.click();
  });

  // A link has only the selected control of the output size.
  window.enhanceCopyLink = async (names, values, sizes, prints) => {
    const url = new URL(location.href);
    url.search = "";
    const byName = Object.fromEntries(names.map((name, place) => [name, values[place]]));
    const isOf = (name) => {
      if (prints.includes(name)) return byName.size === "paper" && byName[name] !== null && (name === "dpi" || byName.paper === "own");
      return name !== "size" && (!sizes.includes(name) || name === byName.size);
    };
    for (const name of names.filter(isOf)) url.searchParams.set(name, byName[name]);
    url.searchParams.set("lang", document.documentElement.lang);
    try {
      await navigator.clipboard.writeText(url.href);
    } catch {
      const text = document.createElement("textarea");
      text.value = url.href;
      document.body.append(text);
      text.select();
      document.execCommand("copy");
      text.remove();
    }
    return values;
  };

  window.enhanceLogout = () => fetch("logout", { method: "POST" }).finally(() => location.reload());

  // A report or a file of another format is created first, then its hidden download button is clicked.
  window.enhanceFetch = (problems) => { if (!one(`${problems} .problem`)) one("#report-file")?.click(); };

  // Scroll to the next step and focus it, unless another part of the page has the focus.
  const next = {
    image: () => (one("[data-photo]") ? ["#head", "#viewer canvas"] : ["#choose", "#upload button"]),
    chooser: () => ["#choose", "#upload button"],
    end: () => ["#stage", one("#progress .finished") ? "#download" : "#enhance"],
  };
  window.enhanceFocusStep = (what, tab) => {
    const idle = () => document.activeElement === document.body || document.activeElement?.closest("#bar, #choose, #history");
    if (tab) one(`#tab-${tab}-button`)?.click();
    let tries = 100;
    const scrollWhenReady = () => {
      const [place, control] = next[what]();
      const [target, focusTarget] = [one(place), one(control)];
      const ready = target && focusTarget?.checkVisibility({ visibilityProperty: true }) && !focusTarget.disabled;
      if (!ready && --tries) return void setTimeout(scrollWhenReady, 50);
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (what !== "end" || one("#progress .finished")) {
        target?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest" });
      }
      if (idle()) focusTarget?.focus({ preventScroll: true, focusVisible: false });
    };
    scrollWhenReady();
  };

  // A response can arrive after the user has changed a control that it sets. The control keeps the user's value.
  // Changes are numbered: the last of each control, the last before each response's request, and the last that was sent.
  const [lastChange, changeAtRequest, sentChange] = [new Map(), new Map(), new Map()];
  let [changeCount, unanswered] = [0, 0];
  for (const type of ["input", "change"]) {
    document.addEventListener(type, ({ target }) => {
      const control = target.closest?.("#panel .block[id]")?.id;
      if (control) lastChange.set(control, ++changeCount);
    }, true);
  }
  window.enhanceAsks = (answer, controls) => {
    for (const control of controls) sentChange.set(control, lastChange.get(control));
    changeAtRequest.set(answer, Math.max(0, ...controls.map((control) => lastChange.get(control) ?? 0)) || changeCount);
    unanswered++;
  };
  window.enhanceAnswered = () => unanswered--;
  window.enhanceFailed = () => {
    unanswered--;
    // Gradio drops events that waited for this response.
    for (const [control, number] of lastChange) sentChange.set(control, number);
  };
  // Wait for the responses to all changes, so that the next request has their values.
  window.enhanceSettled = async (asks) => {
    const settled = () => !unanswered && asks.every((control) => lastChange.get(control) === sentChange.get(control));
    while (!settled()) await new Promise((done) => setTimeout(done, 20));
  };
  window.enhanceTakes = (answer, controls, values) => controls.map((control) => {
    const late = lastChange.get(control) > changeAtRequest.get(answer);
    return late || !(control in (values ?? {})) ? { __type__: "update" } : values[control];
  });
  // Set a preset's sliders at once. They count as changed with the preset, so that earlier responses do not set them.
  // Gradio can call this again for the same choice, after a slider was moved: that slider keeps its value.
  window.enhancePreset = (preset, controls, tuned, isReset) => {
    const own = JSON.parse(one(`#about figure[data-preset="${CSS.escape(preset)}"]`)?.dataset.sliders ?? "null");
    if (!own) return controls.map(() => ({ __type__: "update" }));
    const chosen = isReset ? changeCount : lastChange.get("preset") ?? changeCount;
    return controls.map((name) => {
      if (lastChange.get(name) > chosen) return { __type__: "update" };
      lastChange.set(name, chosen);
      return { __type__: "update", value: own[name], ...(tuned.includes(name) ? { interactive: own.tuning } : {}) };
    });
  };

  // The common output sizes. The other size controls are shown for Custom, or if the size is not a common one.
  // The page sets all controls of the size itself, so that the requests of later choices contain the new size.
  const common = Object.entries(window.enhanceSizes.common);
  let isCustom = false;
  const chooseSize = (values, isOwn = false) => {
    isCustom = isOwn;
    for (const [name, value] of Object.entries(values)) window.enhanceSet(name, value);
    updateSizes();
    window.enhanceSizeEvent("select", { index: 0, value: null });
  };
  const updateSizes = () => {
    const place = one("#sizes .sizes"), control = one("#size input:checked")?.value;
    if (!place || !control) return;
    if (!place.firstChild) {
      const radio = (name) => `<label><input type="radio" name="sizes" value="${name}"><span>${window.enhanceTranslate(`size_${name}`)}</span></label>`;
      place.innerHTML = `<legend>${window.enhanceTranslate("size")}</legend><div class="wrap">${[...common.map(([name]) => name), "custom"].map(radio).join("")}</div>`;
      place.addEventListener("change", ({ target }) => {
        const isPrint = one("#size input[value=paper]").checked; // Print is one of the common sizes.
        chooseSize(window.enhanceSizes.common[target.value] ?? (isPrint ? { size: "scale" } : {}), target.value === "custom");
      });
    }
    const value = { scale: one("#scale input:checked")?.value, long_side: one("#long_side input")?.value }[control];
    const found = common.find(([, size]) => size.size === control && (size[control] === undefined || Number(value) === size[control]));
    const chosen = isCustom || !found ? "custom" : found[0];
    const input = place.querySelector(`input[value="${chosen}"]`);
    if (!input.checked) input.checked = true;
    for (const label of place.querySelectorAll("label")) label.classList.toggle("selected", label.firstChild === input);
    for (const [name, { scale }] of common) {
      place.querySelector(`[value="${name}"]`).parentElement.hidden = Boolean(scale) && !one(`#scale [value="${scale}"]`);
    }
    one("#panel").classList.toggle("custom-size", chosen === "custom");
  };
  const photoSize = () => JSON.parse(one("[data-photo]")?.dataset.photo ?? "{}").size ?? [800, 600];

  // A newly selected control starts with the current size. A custom print size starts with the last named one.
  const SCALES = {
    scale: (value) => value,
    long_side: (value, width, height) => value / Math.max(width, height),
    megapixels: (value, width, height) => Math.sqrt((1e6 * value) / (width * height)),
  };
  document.addEventListener("input", ({ target }) => {
    const control = target.closest?.("#section-size .block[id]:not(#sizes)")?.id;
    if (!control) return;
    const before = one(`#${control} label.selected input`)?.value; // Gradio marks the new choice later.
    const { papers } = window.enhanceSizes, [width, height] = photoSize();
    if (control === "size" && before in SCALES) {
      const largest = Number([...document.querySelectorAll("#scale input")].at(-1).value);
      const value = Number(one(`#${before} :is([type=number], :checked)`).value);
      const scale = Math.min(SCALES[before](value, width, height) || largest, largest), area = (scale ** 2 * width * height) / 1e6;
      window.enhanceSet("long_side", Math.floor(scale * Math.max(width, height) + 1e-6));
      window.enhanceSet("megapixels", Math.floor(100 * area + 1e-6) / 100 || area);
    }
    if (control === "paper" && target.value in papers) {
      ["print_width", "print_height"].forEach((name, place) => window.enhanceSet(name, papers[target.value][place]));
    }
    updateSizes();
  }, true);

  // The bar has the progress of the batch's current file. The files are only redrawn when a state changes.
  const showShare = () => {
    const [share, place] = [one("#batch-progress [data-of-file]")?.dataset.ofFile, one(".file .state.running")];
    if (share && place && place.textContent !== share) place.textContent = share;
  };

  // Show the progress in the title of the browser tab.
  const showTitle = () => {
    const share = one("#progress progress[value], #batch-progress progress[value]")?.value;
    const title = document.title.replace(/^\d+% · /, ""), text = share === undefined ? title : `${Math.floor(share)}% · ${title}`;
    if (document.title !== text) document.title = text;
  };

  // Both tabs show the same parts of the page, with the photo of the open tab.
  let isBatch = false;
  const showTab = () => {
    const now = one("#tab-many-button")?.getAttribute("aria-selected") === "true";
    if (now === isBatch || !window.enhanceCards) return;
    isBatch = now;
    one("#bench").parentElement.classList.toggle("many", now);
    // Gradio sends a deferred event with the data of the one before it. So the tab is read when the event is sent.
    window.enhanceCards("expand", { get index() { return isBatch ? "many" : "one"; }, value: null });
  };

  let shownPhoto = "";
  new MutationObserver(() => {
    showTab();
    showTitle();
    updateSizes();
    showShare();
    const photo = one("[data-photo]")?.dataset.photo ?? "";
    if (photo !== shownPhoto || one("#upload-problem .problem, #preview-problem .problem")) document.body.classList.remove("uploading");
    shownPhoto = photo;
  }).observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["aria-selected"] });
})();
