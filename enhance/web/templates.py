"""Small pieces of HTML with a visitor's facts in them, escaped and in their language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from html import escape as _escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..errors import SettingsError
from ..i18n import (
    PixelCount,
    format_bytes,
    format_duration,
    format_names,
    format_print_size,
    format_seconds,
    name_of,
    strip_direction_marks,
    translate,
    translate_source,
)
from ..images import Box, Facts
from ..info import faithfulness, settings_in
from ..output.resample import result_size
from ..output.thumbnails import data_url
from ..settings import Settings
from ..store import Entry
from .params import SLIDERS_OF_PRESET
from .session import MOST_PLACES, Place, Upload

EXAMPLES = tuple(sorted((Path(__file__).parent / "examples").glob("*.jpg")))
EXAMPLES_OF_PRESETS = Path(__file__).parent / "examples" / "presets"


def escape(text: str) -> str:
    """The text as it may stand in HTML: a name in it can neither become a tag nor turn what stands after it around."""
    return _escape(strip_direction_marks(text))


def problem(sentence: str) -> str:
    """Why something cannot be done, where the person looks."""
    return f'<p class="problem" role="alert">{escape(sentence)}</p>' if sentence else ""


def note(sentence: str, outcome: str = "") -> str:
    """Something that is so; with the `outcome` of a run (finished, cancelled) the page goes on from there."""
    return f'<p class="note {outcome}">{escape(sentence)}</p>' if sentence else ""


def hint(sentence: str, words: str = "", what: str = "") -> str:
    """Something that may help, and is left to the person; with the `words` of a button that takes `what` is offered."""
    button = f'<button type="button" class="take" data-take="{escape(what)}">{escape(words)}</button>' if what else ""
    return f'<p class="hint tip" role="note">{escape(sentence)}{button}</p>'


def about_presets(language: str, presets: Sequence[Mapping[str, Any]]) -> str:
    """What each preset is for, with its time and an example; the page shows the one that is chosen or pointed at."""
    return "".join(_about(language, preset) for preset in presets)


def _about(language: str, preset: Mapping[str, Any]) -> str:
    name, share = preset["name"], preset["relative_time"]
    lines = [preset["summary"]]
    if not preset["available"]:
        lines.append(translate(language, "unavailable", reason=preset["reason"]))
    elif share is not None and share < 1:
        lines.append(translate(language, "time_share", percent=max(1, round(100 * share))))
    example = ""
    if (EXAMPLES_OF_PRESETS / f"{name}.jpg").exists():
        words = escape(translate(language, "preset_example"))
        example = f'<img alt="{words}" src="presets/{quote(name)}.jpg" loading="lazy">'
    text, here = escape(" ".join(lines)), str(preset["available"]).lower()
    caption = f"{example}<figcaption>{text}</figcaption>"
    group = f' data-group="{escape(translate(language, "own_models"))}"' if preset["own"] else ""
    sliders = escape(json.dumps({name: preset["settings"][name] for name in SLIDERS_OF_PRESET}))
    return f'<figure data-preset="{escape(name)}" data-here="{here}" data-sliders="{sliders}"{group}>{caption}</figure>'


def photo(language: str, upload: Upload, box: Box, places: Sequence[Place]) -> str:
    """The picture with the square on it, to be dragged or moved by the arrow keys, and the places that were pinned."""
    facts, side = upload.facts, {"left": box.left, "top": box.top, "width": box.width, "height": box.height}
    shares = {name: at / (facts.width if name in ("left", "width") else facts.height) for name, at in side.items()}
    style = ";".join(f"{name}:{100 * share:.3f}%" for name, share in shares.items())
    x, y = box.left + box.width // 2, box.top + box.height // 2
    where = escape(translate(language, "square_at", x=x, y=y))
    alt = escape(translate(language, "thumbnail"))
    image = f'<img alt="{alt}" src="{file_address(upload.thumbnail)}" draggable="false">'
    square = f'<button type="button" class="square" style="{style}" aria-label="{where}" data-at="{x},{y}"></button>'
    frame = f'<div class="photo" data-size="{facts.width},{facts.height}">{image}{square}</div>'
    return frame + _places(language, places, (x, y))


def _places(language: str, places: Sequence[Place], here: Place) -> str:
    buttons = ""
    for number, (x, y) in enumerate(places, 1):
        words, pressed = escape(translate(language, "place_at", number=number, x=x, y=y)), str((x, y) == here).lower()
        look = f'class="place" aria-pressed="{pressed}" aria-label="{words}" data-at="{x},{y}"'
        buttons += f'<button type="button" {look}>{number}</button>'
    pinned = here in places
    words = escape(translate(language, "unpin" if pinned else "pin"))
    full = len(places) == MOST_PLACES and not pinned
    pin = "" if full else f'<button type="button" class="pin" data-at="{here[0]},{here[1]}">{words}</button>'
    return f'<div class="places">{buttons}{pin}</div>'


def file_address(path: Path) -> str:
    """The address at which a browser gets a file of the page's folder."""
    return escape(quote(f"gradio_api/file={path.as_posix()}"))


def changed(language: str, is_changed: bool) -> str:
    """That the sliders are no longer where the preset has them."""
    return (
        f'<span class="chip outdated" data-state="changed">{escape(translate(language, "changed"))}</span>'
        if is_changed
        else ""
    )


def chip(language: str, state: str) -> str:
    """Whether the preview shown is that of the controls: none, matches, outdated, running or failed."""
    return _chip(state, translate(language, f"chip_{state}"))


def result_chip(language: str, current: bool) -> str:
    """Whether the result shown is that of the controls."""
    return (
        _chip("matches", translate(language, "result_current"))
        if current
        else _chip("outdated", translate(language, "result_old"))
    )


def _chip(state: str, text: str) -> str:
    return f'<span class="chip {state}" data-state="{state}">{escape(text)}</span>'


def facts_of_upload(language: str, facts: Facts, settings: Settings) -> str:
    """What the file's header says, and the size of what will come of it."""
    depth = "bits_alpha" if facts.has_alpha else "bits"
    turned = "upright" if facts.orientation == 1 else "turned"
    form = (
        facts.format if facts.frames == 1 else translate(language, "frames", format=facts.format, frames=facts.frames)
    )
    rows = {
        "fact_name": facts.name,
        "fact_size": size(language, facts.width, facts.height),
        "fact_format": form,
        "fact_depth": translate(language, depth, bits=facts.bits),
        "fact_orientation": translate(language, turned, orientation=facts.orientation),
        "fact_profile": facts.profile or translate(language, "no_profile"),
        "fact_disk": format_bytes(facts.bytes),
    }
    with suppress(SettingsError):  # a size that cannot be had is told where it is chosen
        height, width = result_size(settings, facts.height, facts.width)
        rows |= {"fact_print": format_print_size(language, width, height, short=True)}
        rows |= {"fact_result": size(language, width, height)}
    if facts.has_location:
        rows["fact_location"] = translate(language, "carries_location")
    return _rows(language, rows, "cards")


def location(language: str, facts: Facts | None) -> str:
    """State that the photo contains a GPS location; nothing if it has none."""
    return note(translate(language, "has_location")) if facts is not None and facts.has_location else ""


def estimate(language: str, seconds: float | None, megabytes: float = 0, ahead: int = 0) -> str:
    """What the whole run takes here, and how many others come before it; None while that is being measured."""
    if seconds is None:
        return note(translate(language, "measuring"))
    memory = f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
    about = translate(language, "about_memory", time=format_duration(language, seconds), memory=memory)
    return note(translate(language, "about_after", about=about, ahead=ahead) if ahead else about)


def progress(text: str, share: float | None, of_file: str = "") -> str:
    """The state of a run in words, and as a bar; `of_file` is that of the file at work, for the script to put there."""
    words, file = escape(text), f' data-of-file="{escape(of_file)}"' if of_file else ""
    value = "" if share is None else f' value="{100 * share:.1f}"'
    bar = f'<progress max="100"{value} aria-label="{words}"></progress>'
    return f'<div class="run"{file}><p>{words}</p>{bar}</div>'


def live(language: str, pixels: np.ndarray) -> str:
    """The picture of a run as far as it has come."""
    return f'<img alt="{escape(translate(language, "live"))}" src="{data_url(pixels)}">'


def facts_of_result(language: str, info: dict[str, Any]) -> str:
    """How a result was made, from the `info` of its run."""
    seconds = {name: format_seconds(language, value) for name, value in info["seconds"].items()}
    source, output, model = info["input"], info["output"], info["model"]
    rows = {
        "row_input": " · ".join([source["name"], *_measures(language, source)]),
        "row_output": " · ".join(_measures(language, output)),
        "fact_print": format_print_size(language, output["width"], output["height"]),
        "row_time": translate(language, "row_times", **seconds),
    }
    if info["megapixels_per_second"]:
        rows["row_speed"] = translate(language, "row_speed_of", speed=PixelCount(1e6 * info["megapixels_per_second"]))
    rows["row_device"] = translate(language, "row_device_of", device=info["device"], precision=info["precision"])
    if info["peak_memory_mb"]:
        rows["row_memory"] = f"{info['peak_memory_mb']:,.0f} MB"
    agreement = info["agreement_db"]
    rows["row_agreement"] = (
        translate(language, "row_agreement_none")
        if agreement is None
        else translate(language, "row_agreement_of", db=f"{agreement:.1f}")
    )
    if info.get("fidelity_db") is not None:
        word = translate(language, f"fidelity_{faithfulness(info['fidelity_db'])}")
        rows["row_fidelity"] = translate(language, "row_fidelity_of", db=f"{info['fidelity_db']:.1f}", word=word)
    rows["row_settings"] = settings_in(info).describe(language)
    rows["row_model"] = translate(language, "row_model_of", name=model["name"], sha256=model["sha256"])
    rows["row_source"] = translate_source(language, model["source"])
    rows["row_signature"] = info["signature"]
    rows["row_task"] = info["task_id"]
    return _rows(language, rows, "table")


def _measures(language: str, file: Mapping[str, Any]) -> tuple[str, str]:
    return size(language, file["width"], file["height"]), format_bytes(file["bytes"])


def _rows(language: str, values: dict[str, str], kind: str) -> str:
    pairs = ((escape(translate(language, key)), escape(str(value))) for key, value in values.items())
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="facts {kind}">{cells}</dl>'


def size(language: str, width: int, height: int) -> str:
    return translate(language, "report_pixels", width=f"{width:,}", height=f"{height:,}")


def history_item(language: str, entry: Entry, standing: str, acts: Sequence[str], of_batch: bool = False) -> str:
    """A line of a visitor's list: the picture, what it is called, what became of it, and what can be done with it."""
    about = [name_of(language, "preset", entry.settings["preset"])]
    if of_batch:  # that says the rest
        about, entry = [], replace(entry, began="")
    with suppress(SettingsError):  # a model that was removed since has taken its scale with it
        height, width = result_size(Settings(**entry.settings), entry.height, entry.width)
        about.insert(0, size(language, width, height))
    said = [translate(language, f"history_{standing}")] if standing != "done" else []
    return _history_line(language, entry, entry.name, " · ".join(about), standing, said, acts)


def history_batch(
    language: str,
    files: Sequence[Entry],
    standings: Sequence[str],
    acts: Sequence[str],
    named: Mapping[str, Sequence[str]],
    inside: str,
) -> str:
    """A batch as one line, with the names of the `rest` that is not done and of what of it is `lost`.

    Its files are `inside` where they are shown.
    """
    worst = next(one for one in ("running", "cut", "away", "failed", "gone", "done") if one in standings)
    counts = {"done": standings.count("done"), "total": len(files)}
    said = []
    if worst == "gone":
        said = [translate(language, "history_kept", **counts)]
    elif worst != "done":
        said = [translate(language, f"history_{worst}"), translate(language, "history_finished", **counts)]
    said += [
        translate(language, f"history_{what}", names=format_names(language, one)) for what, one in named.items() if one
    ]
    name = translate(language, "history_batch", n=len(files))
    began, pictured = max(one.began for one in files), next((one for one in files if one.thumbnail), files[0])
    entry = replace(pictured, id=pictured.batch, began=began)
    preset = name_of(language, "preset", entry.settings["preset"])
    return _history_line(language, entry, name, preset, worst, said, acts, inside)


def _history_line(
    language: str,
    entry: Entry,
    name: str,
    about: str,
    standing: str,
    said: list[str],
    acts: Sequence[str],
    inside: str = "",
) -> str:
    when = f' · <time datetime="{escape(entry.began)}">{escape(entry.began)}</time>' if entry.began else ""
    note = "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in said)
    buttons = ""
    for act in acts:
        words = escape(translate(language, f"act_{act}"))
        more = f' data-ask="{escape(translate(language, "remove_surely"))}"' if act == "remove" else ""
        more += f' aria-expanded="{str(bool(inside)).lower()}"' if act == "files" else ""
        buttons += f'<button type="button" data-act="{act}"{more} aria-label="{words}: {escape(name)}">{words}</button>'
    image = f'<img alt="" src="{escape(entry.thumbnail)}">' if entry.thumbnail else '<span class="none"></span>'
    text = f"<div><strong>{escape(name)}</strong><p>{escape(about)}{when}</p>{note}</div>"
    head = f'<li data-entry="{escape(entry.id)}" data-state="{standing}">{image}{text}<div class="acts">{buttons}</div>'
    return head + (f'<ul class="history">{inside}</ul></li>' if inside else "</li>")
