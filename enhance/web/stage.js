// The stage: comparisons with keyboard control, zoom and pan; the comparison of presets; the region on the photo.
(() => {
  const SIDES = ["before", "after"];
  const STEPS = [0.125, 0.25, 0.5, 1, 2, 4];
  const zooms = new Map();

  // The size of a comparison: zoom 1 is 1:1 in device pixels. It starts at 1, or smaller to fit.
  const fit = (slider) => {
    const image = slider.querySelector("img");
    const box = slider.querySelector(".image-container");
    const pane = slider.closest("[id^=pane-]");
    if (!image?.naturalWidth || !box || !pane?.clientWidth) return;
    const [width, height] = [image.naturalWidth / devicePixelRatio, image.naturalHeight / devicePixelRatio];
    const room = matchMedia("(max-width: 900px)").matches ? innerHeight * 0.68 : pane.clientHeight;
    const fitting = Math.min(1, pane.clientWidth / width, room / height);
    const zoom = zooms.get(slider.id) ?? fitting;
    box.style.width = `${width * zoom}px`;
    box.style.height = `${height * zoom}px`;
    slider.classList.toggle("magnified", zoom > 1);
    slider.classList.toggle("little", width * zoom < 150 || height * zoom < 70);
    slider.dataset.zoom = String(zoom);
    showZoom();
  };
  const shown = () => {
    const view = document.querySelector("#view input:checked")?.value ?? "preview";
    return document.querySelector({ preview: "#preview", whole: "#compare", close: "#closely" }[view]);
  };
  let seen = null;
  const showZoom = () => {
    const [tools, slider] = [document.querySelector("#zoom .zoom"), shown()];
    if (slider !== seen) requestAnimationFrame(refit);
    seen = slider;
    if (!tools) return;
    if (!tools.firstChild) {
      const button = (how, sign) => `<button type="button" data-zoom="${how}">${sign}</button>`;
      tools.innerHTML = `${button("fit", "")}${button("out", "−")}<output></output>${button("in", "+")}`;
    }
    tools.style.visibility = slider?.querySelector("img") ? "visible" : "hidden";
    tools.setAttribute("aria-label", window.enhanceSay("zoom"));
    const percent = `${Math.round(100 * Number(slider?.dataset.zoom ?? 1))}%`;
    if (tools.querySelector("output").textContent !== percent) tools.querySelector("output").textContent = percent;
    for (const button of tools.querySelectorAll("button")) {
      const words = window.enhanceSay(`zoom_${button.dataset.zoom}`);
      if (button.dataset.zoom === "fit" && button.textContent !== words) button.textContent = words;
      button.setAttribute("aria-label", words);
    }
  };
  const change = (slider, how) => {
    const now = Number(slider.dataset.zoom);
    const next = how === "in" ? STEPS.find((step) => step > now * 1.01) : STEPS.findLast((step) => step < now * 0.99);
    if (how === "fit") zooms.delete(slider.id);
    else if (next) zooms.set(slider.id, next);
    fit(slider);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-zoom][type=button]");
    if (button && shown()) change(shown(), button.dataset.zoom);
  });
  document.addEventListener("wheel", (event) => {
    const slider = event.target.closest?.("[id^=pane-]")?.querySelector(".compare");
    if (!slider || !event.ctrlKey) return;
    event.preventDefault();
    change(slider, event.deltaY < 0 ? "in" : "out");
  }, { passive: false });
  document.addEventListener("change", (event) => { if (event.target.closest?.("#view")) showZoom(); });
  const refit = () => { for (const slider of document.querySelectorAll(".compare")) fit(slider); };
  addEventListener("resize", refit);

  // Drag an image that is larger than its pane.
  document.addEventListener("pointerdown", (event) => {
    const pane = event.target.closest?.("[id^=pane-]");
    if (!pane || event.pointerType !== "mouse" || event.target.closest("[data-testid=slider], button")) return;
    const [x, y] = [event.clientX + pane.scrollLeft, event.clientY + pane.scrollTop];
    const move = (at) => pane.scrollTo(x - at.clientX, y - at.clientY);
    const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    event.preventDefault();
  });

  document.addEventListener("load", (event) => {
    const image = event.target;
    const slider = image instanceof HTMLImageElement && image.closest(".compare");
    if (!slider) return;
    const side = SIDES[image.classList.contains("fixed") ? 1 : 0];
    image.alt = window.enhanceSay(side);
    slider.setAttribute(`data-${side}`, image.alt);
    fit(slider);
  }, true);

  const drag = (handle, step) => {
    const box = handle.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const send = (target, type, at) =>
      target.dispatchEvent(new MouseEvent(type, { bubbles: true, view: window, clientX: at, clientY: y }));
    send(handle, "mousedown", x);
    send(window, "mousemove", x + step);
    send(window, "mouseup", x + step);
  };
  const KEYS = { ArrowLeft: -12, ArrowRight: 12, PageUp: 60, PageDown: -60, Home: -4000, End: 4000 };
  const addKeyboard = (handle) => {
    handle.dataset.keys = "yes";
    handle.tabIndex = 0;
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-label", window.enhanceSay("handle"));
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", "100");
    const updateValue = () => {
      const frame = handle.parentElement.getBoundingClientRect();
      const at = handle.getBoundingClientRect();
      const share = frame.width ? (at.left + at.width / 2 - frame.left) / frame.width : 0.5;
      handle.setAttribute("aria-valuenow", String(Math.round(100 * Math.min(1, Math.max(0, share)))));
    };
    handle.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      drag(handle, KEYS[event.key]);
      requestAnimationFrame(updateValue);
    });
    updateValue();
  };

  window.enhanceMoved = (x, y) => window.enhancePhoto("select", { index: [x, y], value: null });
  window.enhancePinned = (x, y) => window.enhancePhoto("input", { index: [x, y] });

  // Move the region by dragging, by the arrow keys or by a click on the photo.
  const numbers = (text) => text.split(",").map(Number);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const place = (photo, x, y) => {
    const [width, height] = numbers(photo.dataset.size);
    const square = photo.querySelector(".square");
    const [across, down] = [parseFloat(square.style.width) / 100, parseFloat(square.style.height) / 100];
    const centre = [clamp(x, (width * across) / 2, width * (1 - across / 2)), clamp(y, (height * down) / 2, height * (1 - down / 2))];
    square.style.left = `${100 * (centre[0] / width - across / 2)}%`;
    square.style.top = `${100 * (centre[1] / height - down / 2)}%`;
    return centre;
  };
  document.addEventListener("pointerdown", (event) => {
    const photo = event.target.closest?.(".photo");
    if (!photo || event.button !== 0) return;
    event.preventDefault();
    const [width, height] = numbers(photo.dataset.size);
    const square = photo.querySelector(".square");
    const frame = photo.getBoundingClientRect();
    const at = (to) => [((to.clientX - frame.left) / frame.width) * width, ((to.clientY - frame.top) / frame.height) * height];
    const held = event.target === square ? numbers(square.dataset.at) : null;
    const [grabbed, begun] = [at(event), held ?? at(event)];
    const [left, top] = [square.style.left, square.style.top];
    let last = held ? begun : place(photo, ...begun);
    const move = (to) => {
      const now = at(to);
      last = place(photo, begun[0] + now[0] - grabbed[0], begun[1] + now[1] - grabbed[1]);
    };
    const end = (to) => {
      for (const [type, does] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]]) removeEventListener(type, does);
      if (to.type === "pointercancel") return void Object.assign(square.style, { left, top }); // The page scrolls.
      square.focus({ preventScroll: true });
      if (!held || Math.hypot(last[0] - held[0], last[1] - held[1]) >= 1) window.enhanceMoved(...last);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  });
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  // The comparison of presets: a click selects one, arrow keys move between them, Escape closes it.
  const centreOf = (cell) => { const at = cell.getBoundingClientRect(); return [at.left + at.width / 2, at.top + at.height / 2]; };
  const neighbour = (cell, cells, [right, down]) => {
    const [x, y] = centreOf(cell);
    if (right) return cells[cells.indexOf(cell) + right];
    const far = (other) => { const [across, along] = centreOf(other); return Math.abs(along - y) * 4 + Math.abs(across - x); };
    const beyond = cells.filter((other) => (centreOf(other)[1] - y) * down > 9);
    return beyond.sort((one, other) => far(one) - far(other))[0];
  };
  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.("button.cell");
    if (cell) window.enhanceCells("select", { index: cell.dataset.preset, value: null });
  });
  document.addEventListener("keydown", (event) => {
    if (!document.querySelector("#comparison .cells")) return;
    const [cell, closes] = [event.target.closest?.("button.cell"), document.querySelector("#compare-presets")];
    if (event.key === "Escape" && event.target.closest?.("#stage")) { closes.focus(); closes.click(); }
    if (!cell || !(event.key in ARROWS)) return;
    event.preventDefault();
    neighbour(cell, [...document.querySelectorAll("button.cell")], ARROWS[event.key])?.focus();
  });

  let waiting = 0;
  document.addEventListener("keydown", (event) => {
    const square = event.target.closest?.(".square");
    if (!square || !(event.key in ARROWS)) return;
    event.preventDefault();
    const photo = square.closest(".photo");
    const step = event.shiftKey ? 1 : Math.max(1, (numbers(photo.dataset.size)[0] * parseFloat(square.style.width)) / 800);
    const [x, y] = numbers(square.dataset.at);
    const [right, down] = ARROWS[event.key];
    const centre = place(photo, x + right * step, y + down * step);
    square.dataset.at = centre.join(",");
    clearTimeout(waiting);
    waiting = setTimeout(() => window.enhanceMoved(...centre), 250);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".places button");
    if (!button) return;
    (button.classList.contains("pin") ? window.enhancePinned : window.enhanceMoved)(...numbers(button.dataset.at));
  });

  new MutationObserver(() => {
    for (const handle of document.querySelectorAll(".compare [data-testid=slider]:not([data-keys])")) addKeyboard(handle);
    showZoom();
  }).observe(document.body, { childList: true, subtree: true });
})();
