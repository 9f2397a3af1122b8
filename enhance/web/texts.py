"""Every word that a visitor reads, in English, and the way to a word in their language."""

from __future__ import annotations

from ..errors import EnhanceError
from .texts_zh import ZH

EN: dict[str, str] = {
    # the head of the page
    "title": "Enhance",
    "tagline": "Photos four times larger and cleaner. See a piece of it first, then take the whole home.",
    "tab_one": "One picture",
    "tab_many": "Many pictures",
    "copy_link": "Copy link",
    "copied": "The link is on your clipboard.",
    # the picture
    "picture": "Your picture",
    "upload": "Drop a picture here, paste one, or choose a file",
    "upload_hint": "Or paste one. JPEG, PNG, WebP, TIFF, HEIC …, up to {megapixels} megapixels and {megabytes} MB.",
    "examples": "Or try one of these",
    "examples_credit": "Astronaut: NASA, public domain. Cat: Stefan van der Walt, CC0. Coffee: Rachel Michetti, CC0.",
    "thumbnail": "Your picture; click a place to preview it",
    "pick_hint": "Click anywhere on the picture to choose the square that the preview shows.",
    "fact_name": "File",
    "fact_size": "Size",
    "fact_format": "Format",
    "fact_depth": "Depth",
    "fact_orientation": "Orientation",
    "fact_profile": "Colour profile",
    "fact_disk": "On disk",
    "fact_result": "Result",
    "fact_estimate": "Time here",
    "bits": "{bits} bit",
    "bits_alpha": "{bits} bit, with transparency",
    "upright": "upright",
    "turned": "turned by its EXIF tag ({orientation}), shown upright",
    "no_profile": "none (sRGB)",
    "frames": "{format}, the first of {frames} pictures",
    "measuring": "measuring this machine …",
    "about": "about {time}",
    "slow_offer": "That is a while. A faster preset may do:",
    "use_preset": "{name}, {time}",
    # presets
    "preset": "Preset",
    "preset_gentle": "Gentle",
    "preset_original": "Original",
    "preset_anime": "Anime",
    "preset_anime-fast": "Anime, fast",
    "preset_face": "Face",
    "preset_dehaze": "Dehaze",
    "preset_fast": "Fast",
    "about_gentle": "For photos: the full network, a touch of sharpness, colour and contrast.",
    "about_original": "The network's output as it is, with no tuning.",
    "about_anime": "For drawings and anime: clean lines and flat colours.",
    "about_anime-fast": "For drawings in a hurry: many times faster than Anime.",
    "about_face": "For portraits: photos as with Gentle, and faces restored.",
    "about_dehaze": "For hazy views: the haze comes off before the picture is enlarged.",
    "about_fast": "For photos in a hurry: a compact network, with a slider for noise.",
    "not_here": "Its weights are not here.",
    "time_share": "About {percent} % of Gentle's time.",
    "preset_example": "Left: enlarged plainly. Right: by this preset.",
    "hint_dehaze": "This picture looks hazy: the preset Dehaze may suit it.",
    "hint_face": "There are faces in this picture: the preset Face may suit it.",
    "unavailable": "Not available: {reason}",
    # the sliders
    "tune": "Tuning",
    "tuning": "Tune the result",
    "tuning_info": "Off: the network's output as it is; the sliders rest.",
    "strength": "Strength",
    "strength_info": "0 keeps your picture as it was, 1 takes all that the network made.",
    "sharpen": "Sharpen",
    "saturation": "Saturation",
    "contrast": "Contrast",
    "denoise": "Denoise",
    "denoise_info": "How much noise this network takes off. It needs a new preview, which comes by itself.",
    "scale": "Enlarge",
    "advanced": "Advanced",
    "tile": "Tile",
    "tile_info": "The unit of work. Smaller takes less memory, larger may be faster; the picture stays the same.",
    # the preview
    "preview": "Preview",
    "preview_info": "Left: your picture, plainly enlarged. Right: enhanced. Drag the handle or use the arrow keys.",
    "preview_none": "The preview appears here as soon as there is a picture.",
    "preview_where": "{width} × {height} px around {x}, {y}, pixel for pixel",
    "retry": "Retry preview",
    "before": "Before",
    "after": "After",
    "chip_none": "no preview yet",
    "chip_matches": "matches the controls",
    "chip_outdated": "outdated",
    "chip_running": "running …",
    "chip_failed": "failed",
    "chip_outdated_hint": "The controls have changed in a way that needs a new preview. Press Retry preview.",
    "chip_failed_old": "What you see is the earlier preview.",
    # the run
    "enhance": "Enhance",
    "cancel": "Cancel",
    "why_no_picture": "Choose a picture first.",
    "why_ready": "Makes the whole picture, {width} × {height} px.",
    "why_running": "A run is going on; cancel it to start another.",
    "why_nothing_runs": "Nothing is running.",
    "waiting": "Waiting for its turn: another picture is being enhanced.",
    "starting": "Reading the picture and the model …",
    "rows": "{done} of {total} rows",
    "left": "{time} left",
    "writing": "Tuning and writing the PNG …",
    "cancelling": "Stopping after this step …",
    "cancelled": "Cancelled. Nothing was written.",
    "same": "This result is up to date already; nothing was computed again.",
    "done": "Done in {time}.",
    "live": "The picture as it comes",
    # the result
    "result": "Result",
    "result_hint": "The whole picture, brought to at most 2,560 px for the screen; the download has every pixel.",
    "result_current": "matches the controls",
    "result_old": "made with earlier settings",
    "inspect": "Look closely",
    "inspect_hint": "Click a place in the picture: the finished pixels appear beside it, one to one.",
    "map": "The result; click a place to see it one to one",
    "download": "Download PNG",
    "report": "Report PDF",
    "start_over": "Start over",
    "facts": "How it was made",
    "row_input": "Input",
    "row_output": "Output",
    "row_time": "Time",
    "row_times": "{total} (network {network}, reading {decode}, tuning {tuning}, writing {encode})",
    "row_speed": "Speed",
    "row_speed_of": "{speed} megapixels of input a second",
    "row_device": "Device",
    "row_device_of": "{device}, {precision}",
    "row_memory": "Peak memory",
    "row_model": "Model",
    "row_model_of": "{name}, SHA-256 {sha256}",
    "row_source": "Weights from",
    "row_settings": "Settings",
    "row_signature": "Signature",
    "row_agreement": "Preview and result",
    "row_agreement_of": "agree to {db} dB, measured on the preview's square",
    "row_agreement_none": "no preview of these settings to compare with",
    "row_task": "Task",
    # many pictures
    "batch": "Many pictures",
    "batch_hint": "All get the preset and the sliders of the first tab: try them on one picture, then do the rest.",
    "batch_files": "Drop pictures here, or choose several files",
    "batch_settings": "Settings: {settings}",
    "batch_enhance": "Enhance all",
    "batch_download": "Download ZIP",
    "why_no_files": "Choose some pictures first.",
    "why_batch": "The ZIP will hold the PNGs, a table of them (report.csv) and a summary (PDF).",
    "batch_progress": "{done} of {total} files",
    "batch_done": "{done} done, {failed} failed, {cancelled} cancelled.",
    "batch_loose": "The ZIP could not be made: {reason} Every finished picture can be had by itself, below.",
    "column_file": "File",
    "column_state": "State",
    "column_size": "Size",
    "column_time": "Time",
    "state_waiting": "waiting",
    "state_running": "running …",
    "state_done": "done",
    "state_failed": "failed",
    "state_cancelled": "cancelled",
    # numbers and times
    "seconds": "{n} s",
    "minutes": "{n} min",
    "hours": "{n} h",
    # what may go wrong here
    "too_late": "This page was idle for too long and its picture is gone; choose it again.",
    "unexpected": "Something went wrong that we did not foresee; the log of the server has the details.",
}

LANGUAGES: dict[str, dict[str, str]] = {"en": EN, "zh-CN": ZH}


def say(language: str, key: str, **values: object) -> str:
    """The text of `key` in `language` (one of LANGUAGES), with `values` in its places."""
    said = {
        name: value.sentence(language) if isinstance(value, EnhanceError) else value for name, value in values.items()
    }
    return LANGUAGES[language][key].format(**said)


def say_time(language: str, seconds: float) -> str:
    """A length of time as a person says it: 8 s, 3 min, 1 h 20 min."""
    if seconds < 100:
        return say(language, "seconds", n=max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 60:
        return say(language, "minutes", n=minutes)
    hours = say(language, "hours", n=minutes // 60)
    return hours if minutes % 60 == 0 else f"{hours} {say(language, 'minutes', n=minutes % 60)}"


def say_measured(language: str, seconds: float) -> str:
    """A measured time: 0.24 s, 3.1 s, and from 100 s on like `say_time`."""
    if seconds >= 100:
        return say_time(language, seconds)
    return say(language, "seconds", n=f"{seconds:.2f}" if seconds < 1 else f"{seconds:.1f}")
