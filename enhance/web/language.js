// Runs before Gradio's front end, which uses navigator.language only. Sets the link's language, or the last one, and
// the last theme.
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

  // Gradio's front end takes its theme from the address, or from the system.
  window.enhanceTheme = (theme) => {
    const url = new URL(location.href);
    url.searchParams.set("__theme", theme);
    history.replaceState(null, "", url);
    try { localStorage.setItem("enhance-theme", theme); } catch {}
  };
  let theme = null;
  try { theme = localStorage.getItem("enhance-theme"); } catch {}
  if (theme && !new URLSearchParams(location.search).has("__theme")) window.enhanceTheme(theme);
})();
