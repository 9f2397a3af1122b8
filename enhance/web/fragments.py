"""Small pieces of HTML with a visitor's facts in them, escaped and in their language."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape as _escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from ..batch import Batch, Item
from ..info import settings_in
from ..output.resample import scaled_size
from ..picture import Facts
from ..settings import Settings
from ..texts import say, say_measured, say_time, source_in_words, straight


def escape(text: str) -> str:
    """The text as it may stand in HTML: a name in it can neither become a tag nor turn what stands after it around."""
    return _escape(straight(text))


def problem(sentence: str) -> str:
    """Why something cannot be done, where the person looks."""
    return f'<p class="problem" role="alert">{escape(sentence)}</p>' if sentence else ""


def finished(sentence: str) -> str:
    """That a run has ended well; the page then brings the result into view."""
    return f'<p class="note finished" role="status">{escape(sentence)}</p>'


def note(sentence: str) -> str:
    return f'<p class="note" role="status">{escape(sentence)}</p>' if sentence else ""


def hint(sentence: str) -> str:
    """Something that may help, and is left to the person."""
    return f'<p class="hint tip" role="note">{escape(sentence)}</p>'


def preset_example(language: str, name: str) -> str:
    """Before and after of a small picture by this preset; nothing where there is no such picture."""
    path = Path(__file__).parent / "examples" / "presets" / f"{name}.jpg"
    if not path.exists():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    words = escape(say(language, "preset_example"))
    return f'<figure><img alt="{words}" src="data:image/jpeg;base64,{data}"><figcaption>{words}</figcaption></figure>'


def chip(language: str, state: str) -> str:
    """Whether the preview shown is that of the controls: none, matches, outdated, running or failed."""
    return _chip(state, say(language, f"chip_{state}"))


def result_chip(language: str, current: bool) -> str:
    """Whether the result shown is that of the controls."""
    return (
        _chip("matches", say(language, "result_current")) if current else _chip("outdated", say(language, "result_old"))
    )


def _chip(state: str, text: str) -> str:
    return f'<span class="chip {state}" data-state="{state}" role="status">{escape(text)}</span>'


def facts_of_upload(language: str, facts: Facts, settings: Settings) -> str:
    """What the file's header says, and the size of what will come of it."""
    height, width = scaled_size(facts.height, facts.width, settings.scale)
    depth = "bits_alpha" if facts.has_alpha else "bits"
    turned = "upright" if facts.orientation == 1 else "turned"
    form = facts.format
    if facts.frames > 1:
        form = say(language, "frames", format=form, frames=facts.frames)
    return _rows(
        language,
        {
            "fact_name": facts.name,
            "fact_size": _size(language, facts.width, facts.height),
            "fact_format": form,
            "fact_depth": say(language, depth, bits=facts.bits),
            "fact_orientation": say(language, turned, orientation=facts.orientation),
            "fact_profile": facts.profile or say(language, "no_profile"),
            "fact_disk": _bytes(facts.bytes),
            "fact_result": _size(language, width, height),
        },
        "cards",
    )


def estimate(language: str, seconds: float | None) -> str:
    """How long the whole run takes here; None while that is being measured."""
    about = say(language, "measuring") if seconds is None else say(language, "about", time=say_time(language, seconds))
    return _rows(language, {"fact_estimate": about}, "line")


def progress(language: str, text: str, share: float | None, picture: str | None) -> str:
    """The state of a run in words, as a bar, and the picture as far as it has come."""
    bar = f'<progress max="100" value="{100 * share:.1f}"></progress>' if share is not None else "<progress></progress>"
    image = f'<img class="live" alt="{escape(say(language, "live"))}" src="{picture}">' if picture else ""
    return f'<div class="run" aria-live="polite"><p>{escape(text)}</p>{bar}{image}</div>'


def in_page(pixels: np.ndarray) -> str:
    """A small picture as a `data:` address, for what is shown for a moment and never stored."""
    data = io.BytesIO()
    Image.fromarray(pixels[..., :3]).save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def facts_of_result(language: str, info: dict[str, Any]) -> str:
    """How a result was made, from the `info` of its run."""
    seconds = {name: say_measured(language, value) for name, value in info["seconds"].items()}
    source, output, model = info["input"], info["output"], info["model"]
    rows = {
        "row_input": " · ".join([source["name"], _size_of(language, source), _bytes(source["bytes"])]),
        "row_output": " · ".join([_size_of(language, output), _bytes(output["bytes"])]),
        "row_time": say(language, "row_times", **seconds),
    }
    if info["megapixels_per_second"]:
        rows["row_speed"] = say(language, "row_speed_of", speed=f"{info['megapixels_per_second']:.3g}")
    rows["row_device"] = say(language, "row_device_of", device=info["device"], precision=info["precision"])
    if info["peak_memory_mb"]:
        rows["row_memory"] = f"{info['peak_memory_mb']:,.0f} MB"
    agreement = info["agreement_db"]
    rows["row_agreement"] = (
        say(language, "row_agreement_none")
        if agreement is None
        else say(language, "row_agreement_of", db=f"{agreement:.1f}")
    )
    rows["row_settings"] = settings_in(info).in_words(language)
    rows["row_model"] = say(language, "row_model_of", name=model["name"], sha256=model["sha256"])
    rows["row_source"] = source_in_words(language, model["source"])
    rows["row_signature"] = info["signature"]
    rows["row_task"] = info["task_id"]
    return _rows(language, rows, "table")


def batch_table(language: str, batch: Batch, loose: Mapping[Item, Path] | None = None) -> str:
    """The files of a batch with their state, size and time; why one failed stands below its name.

    `loose` are finished files that can be had by themselves.
    """
    head = "".join(f"<th>{escape(say(language, f'column_{name}'))}</th>" for name in ("file", "state", "size", "time"))
    rows = "".join(_batch_row(language, item, (loose or {}).get(item)) for item in batch.items)
    return f'<table class="batch"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _batch_row(language: str, item: Item, file: Path | None) -> str:
    why = item.error.sentence(language) if item.error else ""
    reason = f'<p class="reason">{escape(why)}</p>' if why else ""
    size = time = ""
    if item.info:
        output = item.info["output"]
        size, time = (
            _size(language, output["width"], output["height"]),
            say_measured(language, item.info["seconds"]["total"]),
        )
    state = f'<span class="state {item.state}">{escape(say(language, f"state_{item.state}"))}</span>'
    name = f"{escape(item.name)}{reason}"
    if file is not None:
        address = quote(f"gradio_api/file={file.as_posix()}")
        name += f' <a href="{escape(address)}" download="{escape(file.name)}">{escape(say(language, "download"))}</a>'
    cells = "".join(f"<td>{cell}</td>" for cell in (name, state, size, time))
    return f'<tr data-state="{item.state}">{cells}</tr>'


def _rows(language: str, values: dict[str, str], kind: str) -> str:
    pairs = ((escape(say(language, key)), escape(str(value))) for key, value in values.items())
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="facts {kind}">{cells}</dl>'


def _size_of(language: str, facts: dict[str, Any]) -> str:
    return _size(language, facts["width"], facts["height"])


def _size(language: str, width: int, height: int) -> str:
    return say(language, "report_pixels", width=f"{width:,}", height=f"{height:,}")


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB"
