// What the browser keeps of a visit: the key of its list of results; and what it does when the server is another one.
(() => {
  const one = (selector) => document.querySelector(selector);

  // The key tells whose list it is; where nothing can be kept there is none.
  const key = () => {
    try {
      const kept = localStorage.getItem("enhance-key");
      if (/^[0-9a-f]{32}$/.test(kept ?? "")) return kept;
      const fresh = window.enhanceFresh();
      localStorage.setItem("enhance-key", fresh);
      return fresh;
    } catch {
      return "";
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
  window.enhanceBrowser = async (...parts) => [await window.enhanceTab(), key(), serverBefore(), ...parts.slice(3)];

  // A button of the list. What cannot be undone is asked once more, in its place.
  const EVENTS = { open: "select", go_on: "retry", rest: "submit", files: "expand", remove: "delete" };
  const calm = (button) => {
    if (button.dataset.sure) button.textContent = button.dataset.sure;
    delete button.dataset.sure;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#history-list [data-act]");
    for (const other of document.querySelectorAll("#history-list [data-sure]")) if (other !== button) calm(other);
    if (!button) return;
    const act = button.dataset.act;
    if (act === "remove" && !button.dataset.sure) {
      button.dataset.sure = button.textContent;
      button.textContent = button.dataset.ask;
      return;
    }
    window.enhanceListed?.(EVENTS[act] ?? "download", { act, entry: button.closest("[data-entry]").dataset.entry });
  });

  // Times are the server's until the browser says them in its own zone.
  const say = (place, text) => { if (place && place.textContent !== text) place.textContent = text; };
  new MutationObserver(() => {
    for (const time of document.querySelectorAll("#history-list time")) {
      const date = new Date(time.dateTime);
      if (!isNaN(date)) say(time, date.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" }));
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  // Another server knows nothing of this page: with no picture it is loaded anew, else it says so at the next touch.
  const [EVERY, RESTS] = [15000, 2000];
  let [looked, later] = [0, null];
  const look = async () => {
    if (document.hidden || !here() || one("#server-changed")) return;
    clearTimeout(later);
    if (Date.now() - looked < RESTS) return void (later = setTimeout(look, RESTS));
    looked = Date.now();
    const answer = await fetch("gradio_api/app_id").then((one) => one.json()).catch(() => null);
    if (!answer || String(answer.app_id) === here()) return;
    if (!one("#photo img") && !one("#changed .chip") && !one("#batch-cards li")) return void location.reload();
    const note = document.createElement("div");
    note.id = "server-changed";
    note.role = "alert";
    const button = document.createElement("button");
    button.textContent = window.enhanceSay("load_anew");
    button.onclick = () => location.reload();
    note.append(window.enhanceSay("server_changed"), button);
    document.body.append(note);
  };
  setInterval(look, EVERY);
  for (const act of ["visibilitychange", "online", "focus", "click", "keyup"]) window.addEventListener(act, look, true);
})();
