// The list of recent results: its key in the browser and its buttons; and the check for a restarted server.
(() => {
  const one = (selector) => document.querySelector(selector);

  // The key of the list. Without storage there is no list.
  const key = () => {
    try {
      const stored = localStorage.getItem("enhance-key");
      if (/^[0-9a-f]{32}$/.test(stored ?? "")) return stored;
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

  // The buttons of the list. Remove asks for confirmation in place.
  const EVENTS = { open: "select", go_on: "retry", rest: "submit", files: "expand", remove: "delete", dismiss: "clear" };
  const resetButton = (button) => {
    if (button.dataset.sure) button.textContent = button.dataset.sure;
    delete button.dataset.sure;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(":is(#history-list, #notice) [data-act]");
    for (const other of document.querySelectorAll("#history-list [data-sure]")) if (other !== button) resetButton(other);
    if (!button) return;
    const act = button.dataset.act;
    if (act === "remove" && !button.dataset.sure) {
      button.dataset.sure = button.textContent;
      button.textContent = button.dataset.ask;
      return;
    }
    const send = button.closest("#notice") ? window.enhanceNoticeEvent : window.enhanceHistoryEvent;
    send?.(EVENTS[act] ?? "download", { act, entry: button.closest("[data-entry]").dataset.entry, key: key() });
  });

  // The notice about a run that no open tab shows. It is shown on a new page, and updated while the run continues.
  const lookForRun = async () => {
    const [name, tabs] = [key(), await window.enhanceTabs()];
    if (name) window.enhanceNoticeEvent?.("tick", { act: "notice", key: name, tabs });
  };
  window.enhanceOpened = () => { document.body.classList.add("opened"); lookForRun(); findInterrupted(); };
  setInterval(() => { if (one("#notice [data-state=running]")) lookForRun(); }, 3000);

  // Show times in the browser's time zone.
  const setText = (place, text) => { if (place && place.textContent !== text) place.textContent = text; };
  new MutationObserver(() => {
    for (const time of document.querySelectorAll(":is(#history-list, #notice) time")) {
      const date = new Date(time.dateTime);
      if (!isNaN(date)) setText(time, date.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" }));
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

// A restarted server has no session of this page. An empty page is reloaded, any other shows a message.
  const [CHECK_MS, PAUSE_MS] = [15000, 2000];
  const showAlert = (id, text, label, act) => {
    const note = Object.assign(document.createElement("div"), { id, className: "page-alert", role: "alert" });
    const button = Object.assign(document.createElement("button"), { textContent: window.enhanceTranslate(label), onclick: act });
    note.append(window.enhanceTranslate(text), button);
    document.body.append(note);
  };

  // An interrupted upload is sent again when the connection is restored. Gradio reloads the page then. The browser therefore
  // stores the names of files that are being uploaded and, once the connection is lost, the files.
  const [UPLOADING, RETRY_MS, HOUR_MS] = ["enhance-uploading", 1000, 3600000];
  let [uploading, isLost, retrying] = [{ names: [], files: [], isMany: false }, false, 0];
  const stored = (act) => new Promise((done, failed) => {
    const opening = indexedDB.open("enhance");
    opening.onupgradeneeded = () => opening.result.createObjectStore("uploads");
    opening.onerror = () => failed(opening.error);
    opening.onsuccess = () => {
      const [database, transaction] = [opening.result, opening.result.transaction("uploads", "readwrite")];
      const request = act(transaction.objectStore("uploads"));
      transaction.oncomplete = () => { database.close(); done(request.result); };
      transaction.onabort = () => { database.close(); failed(transaction.error); };
    };
  });
  const keepFiles = () => stored((files) => files.put({ ...uploading, time: Date.now() }, uploading.id)).catch(() => {});
  window.enhanceUploading = async (files) => {
    const { id, isKept } = uploading, isMany = one("#tab-many-button")?.getAttribute("aria-selected") === "true";
    closeAlert();
    uploading = { id: id ?? window.enhanceFresh(), names: files.map((file) => file.name), files, isMany, isKept: isKept || isLost };
    try {
      sessionStorage.setItem(UPLOADING, JSON.stringify({ ...uploading, files: [] }));
    } catch { /* Without storage, a reload loses the message. */ }
    if (files.length && isLost) await keepFiles();
    if (!files.length && isKept) stored((store) => store.delete(id)).catch(() => {});
    return uploading.isKept;
  };
  window.enhanceLost = () => {
    isLost = true;
    if (!uploading.names.length) return;
    uploading.isKept = true;
    keepFiles();
    if (one("#upload-interrupted")) return;
    showAlert("upload-interrupted", "upload_interrupted", "cancel", () => window.enhanceUploading([]));
    retrying = setTimeout(retry, RETRY_MS);
  };
  const closeAlert = () => {
    clearTimeout(retrying);
    one("#upload-interrupted")?.remove();
  };
  const retry = async () => {
    const answer = await fetch("gradio_api/app_id").catch(() => null), { names, files, isMany } = uploading;
    if (!one("#upload-interrupted")) return;
    if (!answer?.ok) return void (retrying = setTimeout(retry, RETRY_MS));
    if (names.length && files.length) window.enhanceUpload(files, isMany);
  };
  const findInterrupted = async () => {
    try { uploading = { ...uploading, ...JSON.parse(sessionStorage.getItem(UPLOADING)) }; } catch { return; }
    const text = `${one("#facts")?.textContent} ${one("#batch-cards")?.textContent}`, { id, names, isMany } = uploading;
    const kept = await stored((files) => {
      files.openCursor().onsuccess = ({ target: { result: cursor } }) => { // of tabs that were closed
        if (cursor && cursor.value.time < Date.now() - HOUR_MS) cursor.delete();
        cursor?.continue();
      };
      return files.get(id ?? "");
    }).catch(() => null);
    if (names.every((name) => text.includes(name))) return window.enhanceUploading([]);
    if (kept) return window.enhanceUpload(kept.files, isMany);
    showAlert("upload-interrupted", "upload_lost", "close", () => window.enhanceUploading([]));
  };
  let [checked, later] = [0, null];
  const check = async () => {
    if (document.hidden || !here() || one("#server-changed")) return;
    clearTimeout(later);
    if (Date.now() - checked < PAUSE_MS) return void (later = setTimeout(check, PAUSE_MS));
    checked = Date.now();
    const answer = await fetch("gradio_api/app_id").then((one) => one.json()).catch(() => null);
    if (!answer || String(answer.app_id) === here()) return;
    if (!one("[data-photo]") && !one("#changed .chip") && !one("#batch-cards li")) return void location.reload();
    showAlert("server-changed", "server_changed", "reload", () => location.reload());
  };
  setInterval(check, CHECK_MS);
  for (const act of ["visibilitychange", "online", "focus", "click", "keyup"]) window.addEventListener(act, check, true);
})();
