// Changes to Gradio's front end, each with what breaks without it. gradio_changes.py has those to the server.
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => document.querySelectorAll(selector);
  const primary = (language) => language.toLowerCase().split("-")[0];
  window.enhanceTranslate = (key) => {
    const now = primary(document.documentElement.lang), languages = Object.keys(window.enhanceWords);
    return window.enhanceWords[languages.find((one) => primary(one) === now) ?? languages[0]][key];
  };
  const translate = window.enhanceTranslate;

  // The server closes the stream of results when it has sent them all. If the page has sent another request by then,
  // Gradio loses its result: so the stream continues with another response while a result is expected. Gradio also
  // aborts the stream early, and the server then drops all results for the page: so each response is read to its end.
  const send = window.fetch.bind(window);
  const [expected, early] = [new Set(), new Set()];
  let [sending, order] = [0, 0];
  const join = async (address, options) => {
    const headers = new Headers(options?.headers ?? address.headers);
    order = Math.max(order + 1, Date.now());
    headers.set("x-enhance-order", order);
    headers.set("x-enhance-key", window.enhanceKey());
    sending++;
    try {
      const response = await send(address, { ...options, headers });
      const event = response.ok && (await response.clone().json()).event_id;
      if (event && !early.delete(event)) expected.add(event);
      return response;
    } finally { sending--; }
  };
  const pump = async (request, response, output) => {
    let [text, more] = ["", false];
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const messages = (text + part.value).split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const { msg, event_id: event } = JSON.parse(message.replace(/^data: /, ""));
        // Gradio would redraw the page for its positions in the queue, which the page does not show.
        if (msg === "estimation" || msg === "process_starts") continue;
        if (msg === "process_completed" && !expected.delete(event)) early.add(event);
        more = msg === "close_stream" && sending + expected.size > 0;
        if (!more) await output.write(`${message}\n\n`);
      }
    }
    if (!more) return output.close();
    const next = await send(request);
    if (!next.ok) throw new Error(`HTTP ${next.status}`);
    return pump(request, next, output);
  };
  // Without this, the documentation of the API shows parameters that only earlier clients send.
  const withoutDeprecated = async (response) => {
    if (!response.ok) return response;
    const info = await response.json();
    for (const endpoint of Object.values(info.named_endpoints)) {
      endpoint.parameters = endpoint.parameters.filter(({ type }) => !type.deprecated);
    }
    return new Response(JSON.stringify(info), response);
  };

  window.fetch = async (...given) => {
    const path = new URL(given[0].url ?? given[0], location.href).pathname;
    if (path.endsWith("/queue/join")) return join(...given);
    if (path.endsWith("/info")) return send(...given).then(withoutDeprecated);
    if (!path.endsWith("/queue/data")) return send(...given);
    const request = new Request(new Request(...given), { signal: null }), response = await send(request);
    if (!response.ok) return response;
    const stream = new TextEncoderStream(), output = stream.writable.getWriter();
    // Gradio stops reading when it gets the end, before this writes it: that error is no lost connection.
    pump(request, response, output).catch((error) => output.abort(error).catch(() => {}));
    return new Response(stream.readable, response);
  };

  // Set a radio button or a number in the page. Gradio reads the value at this event and sends a request at another one,
  // which is not triggered here. Without this, controls that are set together would send a request each.
  window.enhanceSet = (name, value) => {
    const radio = one(`#${name} [type=radio][value="${value}"]`), input = radio ?? one(`#${name} [type=number]`);
    if (radio) radio.checked = true;
    else if (input) input.value = value;
    input?.dispatchEvent(new Event(radio ? "change" : "input"));
  };

  // Without this, parts of Gradio have no label or an English one, and radio buttons of different controls are one group.
  const name = (element, words, attribute = "aria-label") => {
    if (element.getAttribute(attribute) !== words) element.setAttribute(attribute, words);
  };

  const NAMES = [
    ["#upload .upload-container, #upload input[type=file]", "upload"],
    ["#batch-files .upload-container, #batch-files input[type=file]", "batch_files"],
    [".overflow-menu > button", "more_tabs"],
    [".theme", "theme"],
    ["footer", "about_this_page"],
    [".toast-close", "close"],
  ];
  const nameParts = () => {
    for (const [parts, key] of NAMES) for (const part of all(parts)) name(part, translate(key));
    for (const part of all("[title='common.upload']")) name(part, part.ariaLabel, "title");
    if (one("#link")) name(one("#link"), translate("copy_link"), "title");
    for (const radio of all(".block input[type=radio]")) name(radio, radio.closest(".block").id, "name");
    for (const part of all("[aria-label='Empty value']")) part.removeAttribute("aria-label");
    for (const image of all("#examples .gallery-item img")) {
      const words = translate(`example_${/([a-z]+)\.jpg$/.exec(image.src)?.[1]}`);
      name(image, words ?? "", "alt");
      if (words) name(image.closest("button"), words);
    }
    for (const input of all(".block input[type=range], .block input[type=number]")) {
      const words = input.closest(".block").querySelector("[data-testid=block-info]")?.textContent.trim();
      if (words) name(input, words);
    }
  };

  // Without this, errors of requests are shown as JSON, and Gradio's own messages are English.
  const messageOf = (text) => {
    const rejected = /^HTTP \d+: (.*)$/s.exec(text);
    if (rejected) {
      try { return JSON.parse(rejected[1]).error ?? translate("upload_failed"); } catch { return translate("upload_failed"); }
    }
    if (/^Connection (errored out|to the server was lost)/.test(text)) return translate("connection_lost");
    return /^File\(s\) exceed/.test(text) ? translate("too_large") : null;
  };
  const TITLES = { Error: "note_failed", Info: "note_info", Warning: "note_warning" };
  const translateToasts = () => {
    for (const part of all("[data-testid=toast-text]")) {
      const words = messageOf(part.textContent.trim());
      if (words && words !== part.textContent) part.textContent = words;
    }
    for (const { firstChild: title } of all(".toast-title")) {
      const key = TITLES[title?.data?.trim()], words = `${key && translate(key)} `;
      if (key && title.data !== words) title.data = words; // Setting the same text again would trigger the observer forever.
    }
    if (one(".toast-body.error")) document.body.classList.remove("uploading");
  };

  // Gradio's list of files shows names with marks that reverse the text after them. Without this,
  // an .exe file can look like a .jpg file.
  const straighten = (name) => {
    const text = name.firstChild;
    const straight = text?.data.replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
    if (text && straight !== text.data) text.data = straight;
  };

  new MutationObserver(() => {
    nameParts();
    translateToasts();
    for (const name of all(".file-preview .stem, .file-preview .ext")) straighten(name);
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["name"] });
})();
