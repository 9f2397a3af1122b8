// Paste a picture, copy a link, and handles that the keyboard moves: what Gradio's own parts leave out.
(() => {
  const chooser = () => document.querySelector("#upload input[type=file]");

  const choose = (file) => {
    const box = chooser();
    if (!box) return false;
    const carrier = new DataTransfer();
    carrier.items.add(file);
    box.files = carrier.files;
    box.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };

  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (!file) return;
    event.preventDefault();
    if (choose(file)) return;
    document.querySelector("#upload button[aria-label]")?.click();
    let tries = 20;
    const again = setInterval(() => { if (choose(file) || --tries === 0) clearInterval(again); }, 100);
  });

  window.enhanceCopyLink = async (preset) => {
    const url = new URL(location.href);
    url.search = "";
    url.searchParams.set("preset", preset);
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
    return preset;
  };

  window.enhanceLogout = () => fetch("logout", { method: "POST" }).finally(() => location.reload());

  // The report is made first, then its hidden download button is pressed.
  window.enhanceFetchReport = () => {
    if (!document.querySelector("#report-problem .problem")) document.querySelector("#report-file")?.click();
  };

  window.enhanceShowResult = () => {
    if (!document.querySelector("#progress .finished")) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.querySelector("#result")?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  };

  const move = (handle, step) => {
    const box = handle.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const send = (target, type, at) =>
      target.dispatchEvent(new MouseEvent(type, { bubbles: true, view: window, clientX: at, clientY: y }));
    send(handle, "mousedown", x);
    send(window, "mousemove", x + step);
    send(window, "mouseup", x + step);
  };

  const keys = { ArrowLeft: -12, ArrowRight: 12, PageUp: 60, PageDown: -60, Home: -4000, End: 4000 };
  const equip = (handle) => {
    handle.dataset.keys = "yes";
    handle.tabIndex = 0;
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", "100");
    const tell = () => {
      const frame = handle.parentElement.getBoundingClientRect();
      const at = handle.getBoundingClientRect();
      const share = frame.width ? (at.left + at.width / 2 - frame.left) / frame.width : 0.5;
      handle.setAttribute("aria-valuenow", String(Math.round(100 * Math.min(1, Math.max(0, share)))));
    };
    handle.addEventListener("keydown", (event) => {
      if (!(event.key in keys)) return;
      event.preventDefault();
      move(handle, keys[event.key]);
      requestAnimationFrame(tell);
    });
    tell();
  };

  const words = () => window.enhanceWords[document.documentElement.lang.startsWith("zh") ? "zh-CN" : "en"];
  // Pixel for pixel means that the browser must not enlarge: the frame is never wider than the picture in it.
  document.addEventListener("load", (event) => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement) || !image.matches(".compare img")) return;
    const side = image.classList.contains("fixed") ? 1 : 0;
    image.alt = words()[side];
    if (!image.closest(".exact")) return;
    image.closest(".image-container").style.maxWidth = `${image.naturalWidth}px`;
  }, true);

  // Gradio's list of files shows a name as it came; marks that turn the order of its letters would make it another.
  const straighten = (name) => {
    const text = name.firstChild;
    const straight = text?.data.replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
    if (text && straight !== text.data) text.data = straight;
  };

  new MutationObserver(() => {
    for (const handle of document.querySelectorAll(".compare [data-testid=slider]:not([data-keys])")) equip(handle);
    for (const name of document.querySelectorAll(".file-preview .stem, .file-preview .ext")) straighten(name);
  }).observe(document.body, { childList: true, subtree: true });
})();
