// The stage: the photo, the preview and the result on a canvas, with zoom, pan and the before/after divider; and the
// comparison of presets. Positions are in pixels of the photo, and at zoom 1 a pixel of the result is one device pixel.
(() => {
  const one = (selector) => document.querySelector(selector);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const [LARGEST_ZOOM, IDLE_MS, RETRY_MS, MARGIN, BAR, STEP] = [4, 250, 2000, 16, 76, 1.25];
  const [MAX_IMAGES, GRID, FRAME, WIDE] = [16, 64, 16, 784];
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const ICONS = {
    out: "M6 12h12", in: "M6 12h12M12 6v12", full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", divider: "m9 7-5 5 5 5M15 7l5 5-5 5",
  };
  const icon = (name) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;

  // The server sends data as JSON in attributes of hidden elements.
  const parsed = new Map();
  const read = (name) => {
    const text = one(`[data-${name}]`)?.getAttribute(`data-${name}`) ?? null;
    const last = parsed.get(name);
    if (last?.text === text) return last.value;
    const value = text && JSON.parse(text);
    parsed.set(name, { text, value });
    return value;
  };

  let [photo, result, preview, live] = [null, null, null, null];
  // Regions of the photo, both sides of previews, and regions of the result. An image has a position `at` in pixels, of
  // which `unit` are one pixel of the photo.
  const emptyLayers = () => ({ photo: [], before: [], after: [], result: [] });
  let layers = emptyLayers();
  let [x, y, zoom, fitted, split, isNew, framed] = [0, 0, 1, true, 0.5, false, null];
  let [showsBefore, requests, retried, previewKey, viewAddress, shownState, timer, frame] = [false, new Set(), new Set(), "", "", "", 0, 0];
  let [box, canvas, context] = [null, null, null];

  const scaleOf = () => (result && mode() === "result" ? result.size[0] : sizeWanted()[0]) / photo.size[0];
  const sizeWanted = () => one("#facts [data-result-size]")?.dataset.resultSize.split(",").map(Number) ?? photo.size;
  const mode = () => {
    if (!photo) return "empty";
    if (live) return "live";
    return result && one("#result-chip .chip[data-state=matches]") ? "result" : "preview";
  };
  const perPixel = () => zoom * scaleOf(); // Device pixels per photo pixel.
  const canvasSize = () => [canvas.width, canvas.height];
  const fitZoom = () => {
    const ratio = devicePixelRatio, [width, height] = canvasSize(), scale = scaleOf();
    const fits = Math.min((width - 2 * MARGIN * ratio) / (photo.size[0] * scale), (height - (MARGIN + BAR) * ratio) / (photo.size[1] * scale));
    return clamp(fits, 0.001, LARGEST_ZOOM);
  };
  const isZoomedOut = () => perPixel() < 0.999; // The screen shows fewer pixels than the photo has, so a preview would not be visible.
  const isComparing = () => Boolean(one("#comparison .cells"));
  const isWhole = () => zoom <= fitZoom() * 1.001;
  // Keep the photo on the stage. A side that is shorter than the stage is centred, and a longer one fills it.
  const clampView = () => {
    const [width, height] = canvasSize(), p = perPixel(), shiftUp = isWhole() ? ((BAR - MARGIN) / 2) * devicePixelRatio : 0;
    const clampSide = (at, side, length, shift) => {
      const half = length / 2 / p;
      return side * p <= length ? side / 2 + shift / p : clamp(at, half, side - half);
    };
    x = clampSide(x, photo.size[0], width, 0);
    y = clampSide(y, photo.size[1], height, shiftUp);
  };
  const visible = () => {
    const [width, height] = canvasSize(), p = perPixel();
    return [x - width / 2 / p, y - height / 2 / p, x + width / 2 / p, y + height / 2 / p];
  };

  // The background of transparent images.
  let pattern = null;
  const checkerboard = () => {
    if (pattern) return pattern;
    const tile = Object.assign(document.createElement("canvas"), { width: 32, height: 32 }), part = tile.getContext("2d");
    part.fillStyle = "#fff";
    part.fillRect(0, 0, 32, 32);
    part.fillStyle = "#d9d9d9";
    part.fillRect(0, 0, 16, 16);
    part.fillRect(16, 16, 16, 16);
    return (pattern = context.createPattern(tile, "repeat"));
  };

  // Draw all images that are loaded. Coarse ones come first, so that sharper ones cover them.
  const drawImages = (images) => {
    const [width, height] = canvasSize(), p = perPixel();
    const [left, top] = [Math.round(width / 2 - x * p), Math.round(height / 2 - y * p)];
    for (const { image, at, unit } of images) {
      if (!image.complete || !image.naturalWidth) continue;
      const k = p / unit, [start, end] = [[at[0] * k, at[1] * k], [(at[0] + at[2]) * k, (at[1] + at[3]) * k]].map((one) => one.map(Math.round));
      const area = [left + start[0], top + start[1], end[0] - start[0], end[1] - start[1]];
      if (photo.alpha) {
        context.fillStyle = checkerboard();
        context.fillRect(...area);
      }
      context.imageSmoothingEnabled = !(k * at[2] / image.naturalWidth > 1 && zoom > 1.001 && unit > 1.001);
      context.drawImage(image, ...area);
    }
  };
  const draw = () => {
    frame = 0;
    if (!photo || !canvas.width) return;
    clampView();
    const [width, height] = canvasSize(), now = mode();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    const base = [{ image: photo.image, at: [0, 0, ...photo.size], unit: 1 }, ...layers.photo];
    const before = now === "preview" ? [...base, ...layers.before] : base;
    let after = [...base, ...layers.after];
    if (now === "result") after = [{ image: result.image, at: [0, 0, ...result.size], unit: scaleOf() }, ...layers.result];
    if (now === "live") after = [{ image: live, at: [0, 0, ...photo.size], unit: 1 }];
    const share = showsBefore ? 1 : now === "live" ? 0 : split;
    const edge = Math.round(clamp(share * width, 0, width));
    for (const [images, start, end] of [[before, 0, edge], [after, edge, width]]) {
      if (end <= start) continue;
      context.save();
      context.beginPath();
      context.rect(start, 0, end - start, height);
      context.clip();
      drawImages(images);
      context.restore();
    }
    if (now === "live") drawEdge(live.dataset);
    if (now === "result" && framed) drawFrame();
    const whole = isWhole();
    box.classList.toggle("whole", whole);
    box.classList.toggle("shows-before", showsBefore);
    box.style.setProperty("--split", `${100 * share}%`);
    const above = height / 2 - y * perPixel(), sides = { above, below: height - above - photo.size[1] * perPixel() };
    for (const [side, length] of Object.entries(sides)) box.style.setProperty(`--${side}`, `${Math.max(0, length) / devicePixelRatio}px`);
    const shown = photo.size[0] * perPixel() / devicePixelRatio; // The controls are aligned with the edges of a photo that is wide enough for them.
    one("#stage").style.setProperty("--beside", `${whole && shown > WIDE ? Math.max(MARGIN, (canvas.clientWidth - shown) / 2) : MARGIN}px`);
    showTools(now, whole);
    arrangeDivider();
  };
  // Raise the knob of the divider above a control that it would overlap. Hide tags that overlap a control or an edge.
  const arrangeDivider = () => {
    const areas = [one("#stage-state"), ...box.querySelectorAll(".overview, .tools")].map((control) => control.getBoundingClientRect());
    const overlap = (part) => {
      const { left, right, top, bottom } = part.getBoundingClientRect();
      const area = areas.find((area) => area.left < right && area.right > left && area.top < bottom && area.bottom > top);
      return area ? bottom - area.top + MARGIN / 2 : 0;
    };
    box.style.removeProperty("--raise");
    box.style.setProperty("--raise", `${overlap(box.querySelector(".knob"))}px`);
    const stage = box.getBoundingClientRect();
    for (const tag of box.querySelectorAll(".tag")) {
      const { left, right } = tag.getBoundingClientRect();
      tag.style.visibility = overlap(tag) || left < stage.left || right > stage.right ? "hidden" : "";
    }
  };
  // During a run, the edge of the part that is computed.
  const drawEdge = ({ edge, share }) => {
    const [width, height] = canvasSize(), p = perPixel(), thickness = Math.round(2 * devicePixelRatio);
    const [left, top] = [Math.round(width / 2 - x * p), Math.round(height / 2 - y * p)], [across, down] = photo.size.map((side) => Math.round(side * p));
    context.fillStyle = getComputedStyle(box).getPropertyValue("--edge");
    if (edge === "x") context.fillRect(left + Math.round(across * share), top, thickness, down);
    else context.fillRect(left, top + Math.round(down * share), across, thickness);
  };
  // The frame around the area with the lowest fidelity.
  const drawFrame = () => {
    const [width, height] = canvasSize(), p = perPixel(), side = Math.max(2 * FRAME * p, 48 * devicePixelRatio);
    const [left, top] = [width / 2 + (framed[0] - x) * p, height / 2 + (framed[1] - y) * p].map((middle) => Math.round(middle - side / 2));
    for (const [colour, thickness] of [["#191d1c", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness * devicePixelRatio;
      context.strokeRect(left, top, side, side);
    }
  };
  const redraw = () => { if (!frame) frame = requestAnimationFrame(draw); };

  // The controls over the canvas.
  const build = () => {
    if (box?.isConnected) return;
    box = one("#viewer .viewer");
    if (!box) return;
    const translate = window.enhanceTranslate, button = (act, label, content) => `<button type="button" data-act="${act}" aria-label="${label}">${content}</button>`;
    box.innerHTML = `<canvas tabindex="0" role="img"></canvas><div class="line"></div><span class="tag before"></span><span class="tag after"></span>
      <span class="chip zoom-hint">${translate("zoom_for_preview")}</span><span class="chip running live">${translate("enhancing")}</span>
      <div class="knob" role="slider" tabindex="0" aria-valuemin="0" aria-valuemax="100">${icon("divider")}</div>
      <div class="overview"><img alt="" draggable="false"><i></i></div>
      <div class="tools glass" role="group">${button("out", translate("zoom_out"), icon("out"))}<output></output>${button("in", translate("zoom_in"), icon("in"))}<s></s>${
        button("fit", translate("zoom_fit"), translate("zoom_fit"))}${button("actual", translate("zoom_actual"), "1:1")}<s></s>${button("full", translate("fullscreen"), icon("full"))}</div>`;
    canvas = box.querySelector("canvas");
    context = canvas.getContext("2d");
    canvas.setAttribute("aria-label", translate(matchMedia("(pointer: coarse)").matches ? "stage_touch" : "stage"));
    box.querySelector(".tools").setAttribute("aria-label", translate("zoom"));
    box.querySelector(".knob").setAttribute("aria-label", translate("handle"));
    for (const side of ["before", "after"]) box.querySelector(`.tag.${side}`).textContent = translate(side);
    new ResizeObserver(([entry]) => {
      const ratio = devicePixelRatio, { width, height } = entry.contentRect;
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      box.classList.toggle("narrow", width < WIDE); // The tags of the divider need the space.
      if (!photo) return;
      if (viewAddress !== photo.address) resetView();
      else if (fitted) zoom = fitZoom();
      updateView();
    }).observe(canvas);
    listen();
  };
  const showTools = (now, whole) => {
    const text = `${Math.round(100 * zoom) || (100 * zoom).toPrecision(1)}%`, output = box.querySelector("output");
    if (output.textContent !== text) output.textContent = text;
    const isFit = Math.abs(zoom / fitZoom() - 1) < 0.001;
    box.querySelector("[data-act=fit]").setAttribute("aria-pressed", String(isFit));
    box.querySelector("[data-act=actual]").setAttribute("aria-pressed", String(!isFit && Math.abs(zoom - 1) < 1e-6));
    box.querySelector(".knob").setAttribute("aria-valuenow", String(Math.round(100 * split)));
    box.dataset.mode = now;
    const [stage, inset] = [one("#stage"), box.querySelector(".overview")];
    stage.dataset.mode = now;
    stage.classList.toggle("whole", whole);
    stage.classList.toggle("zoomed-out", isZoomedOut());
    inset.hidden = whole;
    if (whole) return;
    const small = inset.querySelector("img"), [left, top, right, bottom] = visible();
    if (small.getAttribute("src") !== photo.overview) small.src = photo.overview;
    const [across, down] = photo.size.map((side) => (at) => `${100 * clamp(at / side, 0, 1)}%`);
    Object.assign(inset.querySelector("i").style, { left: across(left), top: down(top), width: across(Math.min(right, photo.size[0]) - Math.max(left, 0)), height: down(Math.min(bottom, photo.size[1]) - Math.max(top, 0)) });
  };

  // When the view has not moved for a while, or at once for a new photo, request the visible area at the resolution of
  // the screen, and its preview.
  const updateView = () => {
    redraw();
    clearTimeout(timer);
    timer = setTimeout(loadView, isNew ? 0 : IDLE_MS);
  };
  const loadView = () => {
    if (!photo || !canvas.width || mode() === "live") return;
    isNew = false;
    clampView();
    const scale = mode() === "result" ? scaleOf() : 0;
    fetchRegion(photo, "photo", 1, perPixel());
    if (scale) fetchRegion(result, "result", scale, zoom);
    const view = visible().map(Math.round), key = `${photo.address} ${view}`;
    if (key === previewKey || isZoomedOut() || isComparing()) return; // A new preview would close the comparison.
    previewKey = key;
    // A new photo can come with new values of controls, which arrive later: the request needs them.
    window.enhanceSettled([]).then(() => { if (key === previewKey) window.enhanceStage("select", { index: view, value: null }); });
  };
  const fetchRegion = (source, layer, unit, density) => {
    const step = 2 ** Math.max(0, Math.floor(Math.log2(1 / density) + 0.01)), grid = GRID * step, [width, height] = source.size;
    if (!isDrawn(source) || step * source.image.naturalWidth >= width) return; // The overview has this resolution.
    const [left, top, right, bottom] = visible().map((at) => at * unit);
    const start = [left, top].map((at) => clamp(Math.floor(at / grid) * grid, 0, Infinity));
    const end = [[right, width], [bottom, height]].map(([at, side]) => Math.min(Math.ceil(at / grid) * grid, side));
    const at = [...start, end[0] - start[0], end[1] - start[1]];
    if (at[2] <= 0 || at[3] <= 0) return;
    const covers = ({ at: [l, t, w, h], step: other, owner }) => owner === source.address && other <= step && l <= at[0] && t <= at[1] && l + w >= at[0] + at[2] && t + h >= at[1] + at[3];
    if (layers[layer].some(covers)) return;
    const address = `${source.address}?left=${at[0]}&top=${at[1]}&width=${at[2]}&height=${at[3]}&step=${step}`;
    if (requests.has(address)) return;
    requests.add(address);
    load(address).then((image) => add(layer, { image, at, unit, step, owner: source.address })).catch(() => retryOnce(address)).finally(() => requests.delete(address));
  };
  const retryOnce = (address) => {
    if (!retried.has(address)) setTimeout(updateView, RETRY_MS);
    retried.add(address);
  };
  const load = (address) => new Promise((done, failed) => {
    const image = new Image();
    image.src = address;
    image.decode().then(() => done(image), failed); // Else the next frame would wait for the decoder.
  });
  const add = (layer, entry) => {
    if (entry.owner !== (layer === "result" ? result : photo)?.address) return;
    layers[layer] = [...layers[layer].slice(-MAX_IMAGES), entry].sort((a, b) => b.step - a.step); // Coarse images first.
    redraw();
  };

  // Show the data that the server sent.
  const update = () => {
    build();
    if (!box) return;
    const newPhoto = read("photo"), [newResult, newPreview] = ["result", "preview"].map((name) => {
      const value = read(name); // The element can still be that of the photo before.
      return value && newPhoto?.version === value.photo ? value : null;
    });
    if (newPhoto?.overview !== photo?.overview) { // Also if the same file was chosen again.
      [photo, result, preview, live, previewKey] = [newPhoto && { ...newPhoto, image: new Image() }, null, null, null, ""];
      [layers, isNew] = [emptyLayers(), Boolean(photo)];
      one("#stage").dataset.mode = mode();
      if (photo) {
        photo.image.onload = updateView;
        resetView();
        photo.image.src = photo.overview;
      }
    }
    if (!photo) return;
    if (newResult?.address !== result?.address) {
      result = newResult && { ...newResult, image: new Image() };
      layers.result = [];
      if (result) {
        result.image.onload = updateView;
        result.image.src = result.overview;
        [fitted, framed] = [true, null]; // The whole result is shown first.
      }
    }
    if (newPreview && newPreview.after !== preview?.after) {
      preview = newPreview;
      showPreview(preview, photo.address);
    }
    const liveImage = one("#live img");
    if (Boolean(liveImage) !== Boolean(live)) {
      if (liveImage) { fitted = true; zoom = fitZoom(); } // The whole result is shown during a run.
      previewKey = "";
      updateView();
    }
    live = liveImage;
    if (live && !live.complete) live.onload = redraw;
    const state = `${mode()} ${sizeWanted()} ${isComparing()}`;
    if (shownState !== state) {
      shownState = state;
      if (viewAddress !== photo.address) resetView();
      else if (fitted && canvas.width) zoom = fitZoom();
      updateView();
    }
    redraw();
  };
  const resetView = () => { // Show the most detailed part of a new photo at 1:1, or a small photo at up to twice its size.
    if (!photo || !canvas.width) return;
    [x, y] = photo.size.map((side, axis) => side * photo.focus[axis]);
    zoom = clamp(Math.floor(fitZoom()), 1, 2);
    [fitted, split, viewAddress] = [false, 0.5, photo.address];
  };
  const showPreview = async (data, owner, isRetry = false) => {
    const images = await Promise.all([load(data.before), load(data.after)]).catch(() => null);
    if (!images && !isRetry) setTimeout(showPreview, RETRY_MS, data, owner, true);
    if (!images || data !== preview || photo?.address !== owner) return;
    const { quick, signature, window: at } = data, unit = data.size[0] / photo.size[0];
    const isCurrent = (one) => quick || (!one.quick && one.signature === signature);
    for (const [index, layer] of ["before", "after"].entries()) {
      layers[layer] = layers[layer].filter(isCurrent);
      add(layer, { image: images[index], at, unit, step: 1, owner, signature, quick });
    }
  };

  // Zoom with a fixed point of the canvas in device pixels, by default its centre.
  const zoomTo = (value, at = [canvas.width / 2, canvas.height / 2]) => {
    const [px, py] = [x + (at[0] - canvas.width / 2) / perPixel(), y + (at[1] - canvas.height / 2) / perPixel()];
    const fit = fitZoom();
    zoom = clamp(value, Math.min(fit, 1), LARGEST_ZOOM);
    if (Math.abs(Math.log(zoom)) < 0.02) zoom = 1;
    fitted = zoom <= fit * 1.001;
    [x, y] = [px - (at[0] - canvas.width / 2) / perPixel(), py - (at[1] - canvas.height / 2) / perPixel()];
    updateView();
  };
  const fit = () => { framed = null; zoomTo(fitZoom()); fitted = true; };
  const toggle = (at) => (isWhole() ? zoomTo(1, at) : fit());
  const pan = (across, down) => {
    x -= across / perPixel();
    y -= down / perPixel();
    updateView();
  };
  document.addEventListener("click", (event) => {
    const place = event.target.closest?.("[data-place]")?.dataset.place;
    if (!place || mode() !== "result") return;
    framed = [x, y] = place.split(",").map(Number);
    zoomTo(Math.max(1, fitZoom()));
    clampView(); // At an edge of the photo, the place is not in the middle.
    setSplit(0.5 + (framed[0] - x) * perPixel() / canvas.width);
  });
  const setSplit = (share) => { split = clamp(share, 0, 1); redraw(); };
  const actions = {
    in: () => zoomTo(zoom * STEP), out: () => zoomTo(zoom / STEP), fit, actual: () => zoomTo(1),
    full: () => (document.fullscreenElement ? document.exitFullscreen() : one("#stage").requestFullscreen?.()),
  };

  const listen = () => {
    const points = new Map(), knob = box.querySelector(".knob"), inset = box.querySelector(".overview");
    const position = (event) => {
      const rect = canvas.getBoundingClientRect();
      return [(event.clientX - rect.left) * devicePixelRatio, (event.clientY - rect.top) * devicePixelRatio];
    };
    box.addEventListener("click", (event) => actions[event.target.closest("[data-act]")?.dataset.act]?.());
    canvas.addEventListener("wheel", (event) => {
      if (!photo) return;
      event.preventDefault();
      zoomTo(zoom * 2 ** (-event.deltaY * (event.deltaMode ? 20 : 1) / 400), position(event));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => photo && toggle(position(event)));
    canvas.addEventListener("pointerdown", (event) => {
      if (!photo || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      points.set(event.pointerId, position(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const old = points.get(event.pointerId);
      if (!old) return;
      const now = position(event), other = [...points].find(([id]) => id !== event.pointerId)?.[1];
      points.set(event.pointerId, now);
      if (!other) return pan(now[0] - old[0], now[1] - old[1]);
      const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]), middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
      zoomTo(zoom * distance(now, other) / Math.max(1, distance(old, other)), middle(old));
      pan(...middle(now).map((at, axis) => at - middle(old)[axis]));
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, ({ pointerId }) => points.delete(pointerId));

    const dragSplit = (event) => setSplit(position(event)[0] / canvas.width);
    for (const part of [knob, box.querySelector(".line")]) {
      part.addEventListener("pointerdown", (event) => {
        part.setPointerCapture(event.pointerId);
        part.addEventListener("pointermove", dragSplit);
        event.preventDefault();
        knob.focus();
      });
      for (const end of ["pointerup", "pointercancel"]) part.addEventListener(end, () => part.removeEventListener("pointermove", dragSplit));
    }
    knob.addEventListener("keydown", ({ key }) => {
      const steps = { ArrowLeft: split - 0.02, ArrowRight: split + 0.02, Home: 0, End: 1 };
      if (key in steps) setSplit(steps[key]);
    });

    const centre = (event) => {
      const rect = inset.getBoundingClientRect();
      [x, y] = photo.size.map((side, axis) => side * (axis ? (event.clientY - rect.top) / rect.height : (event.clientX - rect.left) / rect.width));
      updateView();
    };
    inset.addEventListener("pointerdown", (event) => {
      inset.setPointerCapture(event.pointerId);
      inset.addEventListener("pointermove", centre);
      centre(event);
    });
    for (const end of ["pointerup", "pointercancel"]) inset.addEventListener(end, () => inset.removeEventListener("pointermove", centre));

    canvas.addEventListener("keydown", (event) => {
      if (!photo || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = (axis) => (event.shiftKey ? 0.9 * canvasSize()[axis] : 64 * devicePixelRatio);
      const keys = { "+": actions.in, "=": actions.in, "-": actions.out, "0": fit, "1": actions.actual };
      if (event.key in ARROWS) pan(-ARROWS[event.key][0] * step(0), -ARROWS[event.key][1] * step(1));
      else if (event.key in keys) keys[event.key]();
      else return;
      event.preventDefault();
    });
    for (const [type, value] of [["keydown", true], ["keyup", false]]) {
      document.addEventListener(type, ({ key, target }) => {
        if (key.toLowerCase() !== "b" || !target.closest?.("#stage")) return;
        showsBefore = value;
        redraw();
      });
    }
    addEventListener("blur", () => { showsBefore = false; redraw(); });
  };

  // The comparison of presets: a click selects a preset, arrow keys move the focus, Escape closes the comparison.
  const centreOf = (cell) => { const at = cell.getBoundingClientRect(); return [at.left + at.width / 2, at.top + at.height / 2]; };
  const neighbour = (cell, cells, [right, down]) => {
    const [across, along] = centreOf(cell);
    if (right) return cells[cells.indexOf(cell) + right];
    const far = (other) => { const [left, top] = centreOf(other); return Math.abs(top - along) * 4 + Math.abs(left - across); };
    return cells.filter((other) => (centreOf(other)[1] - along) * down > 9).sort((a, b) => far(a) - far(b))[0];
  };
  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.("button.cell");
    if (cell) window.enhanceCells("select", { index: cell.dataset.preset, value: null });
  });
  document.addEventListener("keydown", (event) => {
    if (!isComparing()) return;
    const [cell, closeButton] = [event.target.closest?.("button.cell"), one("#compare-presets")];
    if (event.key === "Escape" && event.target.closest?.("#stage")) { closeButton.focus(); closeButton.click(); }
    if (!cell || !(event.key in ARROWS)) return;
    event.preventDefault();
    neighbour(cell, [...document.querySelectorAll("button.cell")], ARROWS[event.key])?.focus();
  });

  const isDrawn = (source) => Boolean(source?.image.naturalWidth);
  // What the stage shows in the middle, or the most detailed point of a photo that it shows whole.
  window.enhanceCentre = () => {
    if (!photo || !canvas?.width) return null;
    return isWhole() ? photo.size.map((side, axis) => side * photo.focus[axis]) : [x, y];
  };
  window.enhanceView = () => ({ x, y, zoom, split, mode: mode(), photo: isDrawn(photo), result: isDrawn(result), layers: Object.fromEntries(Object.entries(layers).map(([name, list]) => [name, list.length])) });
  new MutationObserver(update).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["data-state", "src"] });
})();
