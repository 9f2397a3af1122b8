// @ts-check
// The language and the theme of the page. language.js applies them when the page is opened.

/**
 * Shows the page in another language. A reload keeps its state.
 * @param {string} language
 */
export function switchLanguage(language) {
  setParameter("lang", language);
  location.reload();
}

/** Changes between the light and the dark theme. */
export function switchTheme() {
  const theme = document.body.classList.toggle("dark") ? "dark" : "light";
  setParameter("__theme", theme);
  try {
    localStorage.setItem("enhance-theme", theme);
  } catch {
    // The next visit has the theme of the system.
  }
}

/** @param {string} name @param {string} value */
function setParameter(name, value) {
  const address = new URL(location.href);
  address.searchParams.set(name, value);
  history.replaceState(null, "", address);
}
