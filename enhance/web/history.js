// The browser's key; the buttons of the list of recent results; and the check for a restarted server.
(() => {
  const one = (selector) => document.querySelector(selector);

  // Everything that is made with this key belongs to the browser. Without storage, it belongs to the open page.
  let ofPage = "";
  window.enhanceKey = () => {
    try {
      const stored = localStorage.getItem("enhance-key");
      if (/^[0-9a-f]{32}$/.test(stored ?? "")) return stored;
      const fresh = window.enhanceFresh();
      localStorage.setItem("enhance-key", fresh);
      return fresh;
    } catch {
      return (ofPage ||= window.enhanceFresh());
    }
  };
  const here = () => String(window.gradio_config?.app_id ?? "");
  const serverBefore = () => {
    try {
      const before = sessionStorage.getItem("enhance-server");
      sessionStorage.setItem("enhance-server", here());
      return before && before !== here() ? before : "";
    } catch {
      return "";
    }
  };
  window.enhanceBrowser = async (...parts) => [await window.enhanceTab(), serverBefore(), ...parts.slice(2)];

  // The buttons of the list. Remove asks for confirmation in place.
  const EVENTS = { open: "select", files: "expand", remove: "delete" };
  const resetButton = (button) => {
    if (button.dataset.sure) button.textContent = button.dataset.sure;
    delete button.dataset.sure;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#history-list [data-act]");
    for (const other of document.querySelectorAll("#history-list [data-sure]")) if (other !== button) resetButton(other);
    if (!button) return;
    const act = button.dataset.act;
    if (act === "remove" && !button.dataset.sure) {
      button.dataset.sure = button.textContent;
      button.textContent = button.dataset.ask;
      return;
    }
    if (act === "open") closeList();
    window.enhanceHistoryEvent?.(EVENTS[act] ?? "download", { act, entry: button.closest("[data-entry]").dataset.entry });
  });

  // On a large screen, the list is over the stage. A press outside it, Escape, or opening a result closes it.
  const large = matchMedia("(min-width: 901px)");
  const closeList = () => {
    const button = large.matches ? one("#history > button.open") : null;
    button?.click();
    return button;
  };
  document.addEventListener("pointerdown", ({ target }) => { if (!target.closest?.("#history")) closeList(); });
  document.addEventListener("keydown", ({ key, target }) => {
    if (key === "Escape" && target.closest?.("#history")) closeList()?.focus();
  });

  window.enhanceOpened = () => document.body.classList.add("opened");

  // Show times in the browser's time zone.
  const setText = (place, text) => { if (place && place.textContent !== text) place.textContent = text; };
  new MutationObserver(() => {
    for (const time of document.querySelectorAll("#history-list time")) {
      const date = new Date(time.dateTime);
      if (!isNaN(date)) setText(time, date.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" }));
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  // A restarted server has no session of this page. An empty page is reloaded, any other shows a message.
  const [CHECK_MS, PAUSE_MS] = [15000, 2000];
  let [checked, later] = [0, null];
  const check = async () => {
    if (document.hidden || !here() || one("#server-changed")) return;
    clearTimeout(later);
    if (Date.now() - checked < PAUSE_MS) return void (later = setTimeout(check, PAUSE_MS));
    checked = Date.now();
    const answer = await fetch("gradio_api/app_id").then((one) => one.json()).catch(() => null);
    if (!answer || String(answer.app_id) === here()) return;
    if (!one("[data-photo]") && !one("#changed .chip") && !one("#batch-cards li")) return void location.reload();
    const [note, button] = [document.createElement("div"), document.createElement("button")];
    Object.assign(note, { id: "server-changed", className: "page-alert", role: "alert" });
    Object.assign(button, { textContent: window.enhanceTranslate("reload"), onclick: () => location.reload() });
    note.append(window.enhanceTranslate("server_changed"), button);
    document.body.append(note);
  };
  setInterval(check, CHECK_MS);
  for (const act of ["visibilitychange", "online", "focus", "click", "keyup"]) window.addEventListener(act, check, true);
})();
