// Runs before Gradio's front end starts, which asks navigator.language alone: the link's language, else the last one.
(() => {
  const linked = new URLSearchParams(location.search).get("lang");
  let kept = null;
  const keep = (one) => { try { localStorage.setItem("enhance-lang", one); } catch {} };
  try { kept = localStorage.getItem("enhance-lang"); } catch {}
  if (linked) keep(linked);
  if (!linked && kept && kept !== navigator.language) {
    const url = new URL(location.href);
    url.searchParams.set("lang", kept);
    return void location.replace(url);
  }
  const asked = linked || navigator.language || "en";
  const language = /^zh(?!-TW)/i.test(asked) ? "zh-CN" : asked;
  if (language !== navigator.language) Object.defineProperty(navigator, "language", { get: () => language });
  let first = null;
  new MutationObserver(() => {
    const now = document.documentElement.lang;
    if (first === null || now === first) { first = first ?? now; return; }
    const url = new URL(location.href);
    url.searchParams.set("lang", now);
    history.replaceState(null, "", url);
    keep(now);
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
})();
