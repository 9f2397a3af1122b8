"""The one catalogue: whole in both languages, used to the last key, and asked for nothing that it lacks."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import enhance.errors
import weights.errors
from enhance import PRESETS
from enhance.config import Limits
from enhance.output.resample import PAPERS
from enhance.picture import CHOICES
from enhance.picture.metadata import LOST
from enhance.report import COLUMNS
from enhance.texts import LANGUAGES, catalogue, say, say_measured, say_print, say_time
from enhance.web.serving import page_texts
from enhance.web.wishes import SIZED, TUNED

from ..site import SETTINGS

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "app.py", *(ROOT / "enhance").rglob("*.py"), *(ROOT / "weights").rglob("*.py")]

FAMILIES: dict[str, tuple[str, ...]] = {
    "preset_{}": tuple(PRESETS),
    "about_{}": tuple(PRESETS),
    "fidelity_{}": ("very", "good", "free"),
    "hint_{}": ("dehaze", "face", "noisy", "compressed"),
    "view_{}": ("preview", "whole", "close"),
    "chip_{}": ("none", "matches", "outdated", "running", "failed"),
    "state_{}": ("waiting", "running", "done", "failed", "cancelled"),
    "history_{}": ("running", "gone", "cut", "away", "failed", "rest", "lost"),
    "act_{}": ("download", "report", "open", "go_on", "remove", "files", "zip", "rest"),
    "report_month_{}": tuple(map(str, range(1, 13))),
    "report_stage_{}": ("wait", "decode", "scene", "network", "tuning", "encode"),
    "note_{}": ("on_white", "eight_bits", "texts_left", "exif_short", "xmp_left", "iptc_left", *LOST),
    "table_{}": (*COLUMNS, "waiting", "running", "done", "failed", "cancelled"),
    "summary_column_{}": ("file", "result", "size", "time"),
    "takes_{}": ("image", "images", "task_id", "x", "y", "size", *SETTINGS),
    "summary_state_{}": ("waiting", "running", "failed", "cancelled"),
}
"""The keys that the code builds, as f-strings, from a value: each with all the values that it can have."""

COMPOSED: dict[str, tuple[str, ...]] = {
    "{}": (*TUNED, "reduce", "size", "scale", "paper", "format", "metadata", "view", "batch"),  # as the part is called
    "size_{}": SIZED,
    "paper_{}": tuple(PAPERS),
    "metadata_{}": CHOICES,
    "{}_title": ("preset", "batch"),
    "{}_info": ("strength", "fidelity", "denoise", "tile"),
    "preset_{}": tuple(PRESETS),
}
"""The same for the texts that the browser puts in by itself."""

SAYS = {"say", "i18n", "words", "name_of", "_run", "_picture"}
"""The functions that say a text, or put it into the page, given its key."""

ERRORS = {
    name
    for module in (enhance.errors, weights.errors)
    for name, one in vars(module).items()
    if isinstance(one, type) and issubclass(one, Exception)
}

KEPT = {"bits", "turned", "upright", "before", "after", "handle", "zoom", "close", "fullscreen"}
"""The keys of a single word that the code keeps in a variable before they are said, or hands to the browser."""

"""The keys whose sentence is one and the same in both languages."""


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def template(key: ast.expr) -> str | None:
    """The f-string with `{}` for each value in it; None for anything else."""
    if not isinstance(key, ast.JoinedStr):
        return None
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in key.values)


def asked_for(function: str, argument: int) -> Iterator[tuple[str, ast.expr]]:
    """Where the code calls `function`, and what it gives it as the key."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            if isinstance(node.func, ast.Name) and node.func.id == function:
                yield where, node.args[min(argument, len(node.args) - 1)]
            elif isinstance(node.func, ast.Attribute) and node.func.attr == function:
                yield where, node.args[0]  # of a sheet, which knows its language


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Every error that is made with a text as its first argument."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            name = node.func.id
            ours = name.endswith("Error") and name[:-5] in (
                "Enhance",
                "Picture",
                "Settings",
                "Weights",
                "WeightsFolder",
            )
            if ours or name in ("MemoryShortError", "StorageError", "Cancelled"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_a_sentence_is_there_in_both_languages_with_the_same_places():
    for key, sentence in catalogue().items():
        assert set(sentence) == set(LANGUAGES), key
        english, chinese = (sentence[language] for language in LANGUAGES)
        assert english == english.strip() != "", key
        assert chinese == chinese.strip() != "", key
        assert placeholders(english) == placeholders(chinese), key


def test_no_sentence_was_left_in_english():
    same = {key for key, sentence in catalogue().items() if sentence["en"] == sentence["zh-CN"]}
    assert same == set()


def said(tree: ast.Module) -> set[str]:
    """The keys that a module says.

    A string counts as an argument of what says a text or makes an error. One of several words also counts where it is
    kept to be said later: in a table, a variable, or on its way through another function; but not as somebody's name,
    as `elem_id="tuning_info"` is, nor compared with anything. A single word stands for too much else.
    """
    within = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    keys = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        around = within[node]
        while isinstance(around, ast.IfExp):
            around = within[around]
        if isinstance(around, ast.Call):
            called = around.func.attr if isinstance(around.func, ast.Attribute) else getattr(around.func, "id", "")
            says = called in SAYS or called in ERRORS or called.endswith("Error")
        else:
            says = False
        if says or ("_" in node.value and not isinstance(around, (ast.keyword, ast.Compare, ast.Expr))):
            keys.add(node.value)
    return keys


def test_every_key_is_said():
    used = {name.format(value) for name, values in FAMILIES.items() for value in values}
    used |= {name.format(value) for name, values in COMPOSED.items() for value in values}
    for _, tree in trees():
        used |= said(tree)
    assert sorted(set(catalogue()) - used - KEPT) == []


def test_a_string_that_only_looks_like_a_key_says_nothing():
    tree = ast.parse("""
"text_of_a_note"
gr.Button(elem_id="name_in_the_page")
if state == "state_compared": folder = {"word": 1}
say(language, "single")
table = {"kept_for_later": fact}
raise PictureError("error")
""")
    assert said(tree) == {"single", "kept_for_later", "error"}


def test_every_key_that_is_asked_for_is_there():
    for where, key in asked_for("say", 1):
        if isinstance(key, ast.Constant):
            assert key.value in catalogue(), where
        elif (name := template(key)) is not None:
            assert name in FAMILIES, f"{where}: list the values of {name}"
    for name, values in FAMILIES.items():
        assert {name.format(value) for value in values} <= set(catalogue()), name


def test_every_text_that_the_browser_puts_in_is_there():
    texts = page_texts(Limits()).translations
    for where, key in asked_for("i18n", 0):
        if isinstance(key, ast.Constant):
            assert key.value in texts["en"], where
        elif (name := template(key)) is not None:
            assert name in COMPOSED, f"{where}: list the values of {name}"
    for name, values in COMPOSED.items():
        assert {name.format(value) for value in values} <= set(texts["zh-CN"]), name


def test_every_error_is_a_key_of_the_catalogue():
    unknown = []
    for where, call in raised():
        key = call.args[0]
        if isinstance(key, ast.JoinedStr) or (isinstance(key, ast.Constant) and key.value not in catalogue()):
            unknown.append(where)
    assert unknown == []


def test_every_error_brings_the_values_of_its_sentence():
    for where, call in raised():
        key = call.args[0]
        if not isinstance(key, ast.Constant) or key.value not in catalogue():
            continue
        sentence = catalogue()[str(key.value)]["en"]
        given = {keyword.arg for keyword in call.keywords}
        if None not in given:
            about = {"name"} if str(key.value).startswith("picture_") else set()  # the reader of the file puts it in
            assert given | about >= placeholders(sentence), where


def test_times_are_said_as_people_say_them():
    assert [say_time("en", seconds) for seconds in (0.2, 8.4, 99, 200, 4800, 7200)] == [
        "1 s",
        "8 s",
        "99 s",
        "3 min",
        "1 h 20 min",
        "2 h",
    ]
    assert say_measured("zh-CN", 0.234) == "0.23 秒"


def test_an_error_inside_a_sentence_speaks_the_same_language():
    from enhance.errors import Cancelled

    assert "已停止" in say("zh-CN", "batch_loose", reason=Cancelled("stopped"))


def test_a_print_is_as_large_as_300_dots_an_inch_make_it():
    assert say_print("en", 3354, 2516) == "28.4 × 21.3 cm (11.2 × 8.4 in)"
    assert say_print("en", 3354, 2516, short=True) == "28.4 × 21.3 cm"
    assert say_print("zh-CN", 3000, 1500) == "25.4 × 12.7 厘米（10.0 × 5.0 英寸）"
