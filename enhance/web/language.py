"""Which language a visitor reads: the link's, else the last one, else what the browser asks for; and failures in it."""

from __future__ import annotations

import logging

import gradio as gr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import EnhanceError, is_memory_short
from ..settings import RANGES, SIZES
from ..texts import DEFAULT_LANGUAGE, LANGUAGES, PixelCount, catalogue, name_of, say, sentences_in, spoken
from .page_files import Limits

log = logging.getLogger(__name__)

_SIZES = {"long_side": ("long_side_of", "pixels"), "megapixels": ("megapixels_of", "number")}
"""What says a size of this kind, and the place of its number in that."""


def language_of(request: gr.Request | None) -> str:
    """One of LANGUAGES for this request."""
    if request is None:
        return DEFAULT_LANGUAGE
    return language_asked(
        (request.query_params or {}).get("lang") or (request.headers or {}).get("accept-language") or ""
    )


def language_asked(asked: str) -> str:
    """The first of LANGUAGES in a list of wishes like that of Accept-Language."""
    wishes = (spoken(wish.split(";")[0]) for wish in asked.split(","))
    return next((language for language in wishes if language), DEFAULT_LANGUAGE)


def reason(language: str, error: Exception, what: str) -> str:
    """Why something failed, for the person; `what` failed goes to the log where nobody foresaw the error."""
    if isinstance(error, EnhanceError):
        return error.sentence(language)
    if is_memory_short(error):
        return say(language, "memory_out")
    log.error(what, exc_info=error)
    return say(language, "unexpected")


def on_page(language: str, error: EnhanceError, paper: str = "") -> str:
    """The sentence of an error in the words of the page's controls; `paper` is that of a print that gives the size."""
    key, values = error.key, error.values
    if key in ("size_large", "size_small") and (way := _SIZES.get(values["setting"])):
        phrase, place = way
        limit = values["largest" if key == "size_large" else "smallest"]
        wanted, bound = (say(language, phrase, **{place: number}) for number in (values["value"], limit))
        if paper:
            wanted = f"{say(language, 'size_paper')} {name_of(language, 'paper', paper)} ({wanted})"
        sizes = {"wanted": wanted[0].upper() + wanted[1:], "width": values["width"], "height": values["height"]}
        return say(language, "too_large_here" if key == "size_large" else "too_small_here", bound=bound, **sizes)
    for field in ("setting", "name") if key in ("setting_range", "setting_whole", "control_empty") else ():
        if values.get(field) in (*SIZES, *RANGES):
            called = f"size_{values[field]}" if values[field] in _SIZES else values[field]
            values = values | {field: catalogue()[called][language]}
    return say(language, key, **values)


def page_texts(limits: Limits) -> gr.I18n:
    """The texts that the browser translates by itself, made whole where the page needs more than one at a place."""
    words = {**sentences_in("page"), **sentences_in("names")}
    texts = {
        language: _composed(language, {key: said[language] for key, said in words.items()}, limits)
        for language in LANGUAGES
    }
    return gr.I18n(**texts, zh=texts["zh-CN"])


def _composed(language: str, words: dict[str, str], limits: Limits) -> dict[str, str]:
    composed = dict(words)
    megabytes = f"{limits.bytes / 1e6:,.0f}"
    composed["upload_hint"] = say(language, "upload_hint", pixels=PixelCount(limits.pixels), megabytes=megabytes)
    composed["welcome"] = f"## {words['welcome_head']}\n{words['welcome_text']}"
    for step in ("preset", "batch"):
        composed[f"{step}_title"] = f"## {words[step]}"
    return composed


_SCRIPT = b"""<script>
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
</script>"""


class LanguageOfLinks:
    """Middleware that makes `?lang=` count: Gradio's front end asks `navigator.language` alone.

    The script has to run before the front end starts, so it goes into the head of the page as it is served. It also
    writes a language chosen in Gradio's settings back to the address, from where the server reads it.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") not in ("", scope.get("root_path", "").rstrip("/")):
            await self._app(scope, receive, send)
            return
        started: Message | None = None

        async def with_script(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = message
                return
            if started is not None:
                body = message.get("body", b"").replace(b"<head>", b"<head>" + _SCRIPT, 1)
                message = {**message, "body": body}
                await send(_resized(started, None if message.get("more_body") else len(body)))
                started = None
            await send(message)

        await self._app(scope, receive, with_script)


def _resized(start: Message, length: int | None) -> Message:
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {**start, "headers": headers}
