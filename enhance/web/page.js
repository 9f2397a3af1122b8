// Files that are dropped or pasted anywhere, links, presets and where the page looks next: what Gradio's parts leave out.
(() => {
  const one = (selector) => document.querySelector(selector);
  window.enhanceSay = (key) => window.enhanceWords[document.documentElement.lang.startsWith("zh") ? "zh-CN" : "en"][key];

  // The server closes Gradio's stream of answers once it has sent them all. Gradio would lose the answer to a request
  // that it sends before it reads of that: as long as an answer is due, the stream continues with another response.
  // Gradio then aborts the stream. If the server has not ended it by then, it drops all that is due to the page: each
  // response is read to its end.
  const send = window.fetch.bind(window);
  const [due, early] = [new Set(), new Set()];
  let [sending, order] = [0, 0];
  const join = async (address, options) => {
    const headers = new Headers(options?.headers ?? address.headers);
    order = Math.max(order + 1, Date.now());
    headers.set("x-enhance-order", order);
    sending++;
    try {
      const response = await send(address, { ...options, headers });
      const event = response.ok && (await response.clone().json()).event_id;
      if (event && !early.delete(event)) due.add(event);
      return response;
    } finally { sending--; }
  };
  const pump = async (request, response, output) => {
    let [text, more] = ["", false];
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const messages = (text + part.value).split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const { msg, event_id: event } = JSON.parse(message.replace(/^data: /, ""));
        if (msg === "process_completed" && !due.delete(event)) early.add(event);
        more = msg === "close_stream" && sending + due.size > 0;
        if (!more) await output.write(`${message}\n\n`);
      }
    }
    if (!more) return output.close();
    const next = await send(request);
    return next.ok ? pump(request, next, output) : Promise.reject(next.status);
  };
  window.fetch = async (...given) => {
    const path = new URL(given[0].url ?? given[0], location.href).pathname;
    if (path.endsWith("/queue/join")) return join(...given);
    if (!path.endsWith("/queue/data")) return send(...given);
    const request = new Request(new Request(...given), { signal: null }), response = await send(request);
    if (!response.ok) return response;
    const stream = new TextEncoderStream(), output = stream.writable.getWriter();
    pump(request, response, output).catch((error) => output.abort(error).catch(() => {}));
    return new Response(stream.readable, response);
  };

  // A tab keeps its name when the page is loaded anew; one that was duplicated gets a name of its own.
  const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  window.enhanceFresh = fresh;
  let tab = null;
  window.enhanceTab = async () => {
    if (tab) return tab;
    let name = null;
    try { name = sessionStorage.getItem("enhance-tab"); } catch { return (tab = fresh()); }
    const tabs = new BroadcastChannel("enhance-tabs");
    if (name) {
      const taken = await new Promise((done) => {
        tabs.onmessage = ({ data }) => { if (data.taken === name) done(true); };
        tabs.postMessage({ asked: name });
        setTimeout(done, 120, false);
      });
      if (taken) name = null;
    }
    tab = name ?? fresh();
    tabs.onmessage = ({ data }) => { if (data.asked === tab) tabs.postMessage({ taken: tab }); };
    sessionStorage.setItem("enhance-tab", tab);
    return tab;
  };

  // One list of files for the tab that is open: the picture of the first, all pictures of the second.
  const give = (files) => {
    const many = one("#tab-many-button")?.getAttribute("aria-selected") === "true";
    const input = one(many ? "#batch-files input[type=file]" : "#upload input[type=file]");
    if (!input || !files.length) return;
    const carrier = new DataTransfer();
    for (const file of many ? files : files.slice(0, 1)) carrier.items.add(file);
    input.files = carrier.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    if (!many) document.body.classList.add("uploading");
  };

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    give(files);
  });

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const ownPlace = (event) => event.target.closest?.("#upload, #batch-files");
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
    if (!ownPlace(event)) give([...event.dataTransfer.files]);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#replace")) one("#upload input[type=file]")?.click();
    const removed = event.target.closest?.(".file .remove");
    if (removed) window.enhanceCards("select", { index: removed.dataset.file, value: null });
    const taken = event.target.closest?.("[data-take]");
    if (taken) window.enhanceTips("select", { index: taken.dataset.take, value: null });
  });

  // A link has one way to say the size.
  window.enhanceCopyLink = async (names, values, sizes) => {
    const url = new URL(location.href);
    url.search = "";
    const told = Object.fromEntries(names.map((name, place) => [name, values[place]]));
    for (const name of names) {
      if (name !== "size" && (!sizes.includes(name) || name === told.size)) url.searchParams.set(name, told[name]);
    }
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

  // The report, or a file of another format, is made first, then its hidden download button is pressed.
  window.enhanceFetchFile = () => { if (!one("#taken .problem")) one("#report-file")?.click(); };
  window.enhanceFetchReport = () => {
    if (!one("#report-problem .problem")) one("#report-file")?.click();
  };

  // On a phone the tuning is a sheet over the page: opened below what it tunes, closed by Escape or a touch beside it.
  const sheet = () => matchMedia("(max-width: 900px)").matches && one("#tuning-sheet:has(> .open)");
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#tuning-sheet > button");
    if (button) requestAnimationFrame(() => { if (sheet()) one("#left:has(.photo) #stage")?.scrollIntoView({ block: "start" }); });
    else if (sheet() && !sheet().contains(event.target)) sheet().querySelector(":scope > button").click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !sheet()) return;
    const button = sheet().querySelector(":scope > button");
    button.click();
    button.focus();
  });

  // Where the person goes on, unless they are busy elsewhere on the page.
  const next = {
    picture: () => (one("#photo .square") ? ["#head", "#photo .square"] : ["#choose", "#upload button"]),
    chooser: () => ["#choose", "#upload button"],
    batch: () => ["#head", "#batch-cancel"],
    end: () => ["#stage", one("#progress .finished") ? "#download" : "#enhance"],
  };
  window.enhanceLookAt = (what, tab) => {
    const idle = () => document.activeElement === document.body || document.activeElement?.closest("#bar, #choose, #history");
    if (tab) one(`#tab-${tab}-button`)?.click();
    let tries = 100;
    const look = () => {
      const [place, control] = next[what]();
      const [seen, reached] = [one(place), one(control)];
      const ready = seen && reached?.checkVisibility({ visibilityProperty: true }) && !reached.disabled;
      if (!ready && --tries) return void setTimeout(look, 50);
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (what !== "end" || one("#progress .finished")) {
        seen?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest" });
      }
      if (idle()) reached?.focus({ preventScroll: true });
    };
    look();
  };

  // An answer may come after the person has touched what it sets: that stays as they have it.
  const [touched, asked, asking] = [new Map(), new Map(), new Map()];
  let [touches, unanswered] = [0, 0];
  for (const type of ["input", "change"]) {
    document.addEventListener(type, ({ target }) => {
      const control = target.closest?.("#rail .block[id]")?.id;
      if (control) touched.set(control, ++touches);
    }, true);
  }
  window.enhanceAsks = (answer, control) => {
    asked.set(answer, touched.get(control) ?? touches);
    asking.set(control, touched.get(control));
    unanswered++;
  };
  window.enhanceAnswered = () => unanswered--;
  window.enhanceFailed = () => {
    unanswered--;
    for (const [control, touch] of touched) asking.set(control, touch); // Gradio drops a touch that waited for this answer
  };
  // What is sent next has the values that are shown once the answers to all touches are there.
  window.enhanceSettled = async (asks) => {
    const settled = () => !unanswered && asks.every((control) => touched.get(control) === asking.get(control));
    while (!settled()) await new Promise((done) => setTimeout(done, 20));
  };
  window.enhanceTakes = (answer, controls, values) => controls.map((control) => {
    const late = touched.get(control) > asked.get(answer);
    return late || !(control in (values ?? {})) ? { __type__: "update" } : values[control];
  });
  // A preset's sliders are set at once, and count as touched with it: an earlier answer of the server does not set them.
  // Gradio can call this again for the same choice, after the user has moved a slider: that slider keeps its value.
  window.enhancePreset = (preset, controls, tuned, isReset) => {
    const own = JSON.parse(one(`#about figure[data-preset="${CSS.escape(preset)}"]`)?.dataset.sliders ?? "null");
    if (!own) return controls.map(() => ({ __type__: "update" }));
    const chosen = isReset ? touches : touched.get("preset") ?? touches;
    return controls.map((name) => {
      if (touched.get(name) > chosen) return { __type__: "update" };
      touched.set(name, chosen);
      return { __type__: "update", value: own[name], ...(tuned.includes(name) ? { interactive: own.tuning } : {}) };
    });
  };
  window.enhanceOpened = () => document.body.classList.add("opened");

  // What a preset is for is shown for the one that is pointed at, else for the chosen one.
  let [pointed, last] = [null, null];
  const showAbout = () => {
    const chosen = one("#preset input:checked")?.value;
    if (chosen !== last) one("#preset label.selected")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    last = chosen;
    for (const figure of document.querySelectorAll("#about figure")) {
      const name = figure.dataset.preset;
      const input = one(`#preset input[value="${name}"]`);
      figure.id = `about-${name}`;
      figure.hidden = name !== (pointed ?? chosen);
      if (!input) continue;
      input.setAttribute("aria-describedby", figure.id);
      const here = figure.dataset.here === "true";
      if (input.disabled === here) input.disabled = !here;
      const [label, group] = [input.closest("label"), figure.dataset.group];
      label.classList.toggle("away", !here);
      label.classList.toggle("own", Boolean(group));
      if (group && label.parentElement.dataset.group !== group) label.parentElement.dataset.group = group;
    }
  };
  const point = (event) => {
    const label = event.target.closest?.("#preset label");
    const name = label?.querySelector("input")?.value ?? null;
    if (name !== pointed) { pointed = name; showAbout(); }
  };
  document.addEventListener("mouseover", point);
  document.addEventListener("change", (event) => {
    if (event.target.closest?.("#preset")) { pointed = null; showAbout(); }
  });

  // Gradio's list of files shows a name as it came; marks that turn the order of its letters would make it another.
  const straighten = (name) => {
    const text = name.firstChild;
    const straight = text?.data.replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
    if (text && straight !== text.data) text.data = straight;
  };

  // How far the file at work is comes with the bar's progress; the cards are made anew only where a file's state changes.
  const showShare = () => {
    const [share, place] = [one("#batch-progress [data-of-file]")?.dataset.ofFile, one(".file .state.running")];
    if (share && place && place.textContent !== share) place.textContent = share;
  };

  let picture = "";
  new MutationObserver(() => {
    for (const name of document.querySelectorAll(".file-preview .stem, .file-preview .ext")) straighten(name);
    showAbout();
    showShare();
    const now = one("#photo img")?.getAttribute("src") ?? "";
    if (now !== picture || one("#upload-problem .problem, #preview-problem .problem")) document.body.classList.remove("uploading");
    picture = now;
  }).observe(document.body, { childList: true, characterData: true, subtree: true });
})();
