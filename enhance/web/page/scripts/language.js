// @ts-check
// Runs in the head of the page, before Gradio's front end, which takes the language of its texts
// from `navigator.language` and its theme from the address. Both are those of the link, or of the
// last visit.
{
  const address = new URL(location.href);

  /** @param {string} name */
  const read = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  };
  /** @param {string} name @param {string} value */
  const store = (name, value) => {
    try {
      localStorage.setItem(name, value);
    } catch {
      // The next visit has the language of the browser.
    }
  };

  const linked = address.searchParams.get("lang");
  if (linked) store("enhance-lang", linked);
  const wanted = linked || read("enhance-lang") || navigator.language || "en";
  const language = /^zh(?!-TW)/i.test(wanted) ? "zh-CN" : wanted;
  if (language !== navigator.language) {
    Object.defineProperty(navigator, "language", { get: () => language });
  }
  /** @type {any} */ (window).enhanceLanguage = language;
  document.documentElement.lang = language;

  const theme = read("enhance-theme");
  if (theme && !address.searchParams.has("__theme")) {
    address.searchParams.set("__theme", theme);
    history.replaceState(null, "", address);
  }
}
