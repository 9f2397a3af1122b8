// Runs before Gradio's front end, which uses navigator.language only. Sets the link's language, or the last one.
(() => {
  const linked = new URLSearchParams(location.search).get("lang");
  let stored = null;
  const store = (one) => { try { localStorage.setItem("enhance-lang", one); } catch {} };
  try { stored = localStorage.getItem("enhance-lang"); } catch {}
  if (linked) store(linked);
  if (!linked && stored && stored !== navigator.language) {
    const url = new URL(location.href);
    url.searchParams.set("lang", stored);
    return void location.replace(url);
  }
  const wanted = linked || navigator.language || "en";
  const language = /^zh(?!-TW)/i.test(wanted) ? "zh-CN" : wanted;
  if (language !== navigator.language) Object.defineProperty(navigator, "language", { get: () => language });
  let first = null;
  new MutationObserver(() => {
    const now = document.documentElement.lang;
    if (first === null || now === first) { first = first ?? now; return; }
    const url = new URL(location.href);
    url.searchParams.set("lang", now);
    history.replaceState(null, "", url);
    store(now);
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
})();
