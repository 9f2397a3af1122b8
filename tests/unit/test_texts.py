"""The texts: the same keys and placeholders in every language, and every key that the code names
exists."""

from __future__ import annotations

import ast
import pickle
import string
from pathlib import Path

import pytest

import enhance.errors
from enhance import PRESETS
from enhance.errors import EnhanceError, WeightsError
from enhance.formats.encoding import BACKGROUNDS
from enhance.i18n import LANGUAGES, catalogue
from enhance.metadata import CHOICES
from enhance.metadata.metadata import INPUT_NOTES
from enhance.settings import NEUTRAL, PAPERS
from enhance.web.params import API_RECTANGLE, API_SETTINGS

ROOT = Path(__file__).parents[2]
COMPUTED = {
    "about_{}": PRESETS,
    "metadata_{}": CHOICES,
    **dict.fromkeys(("background_{}", "note_on_{}"), BACKGROUNDS),
    "note_{}": INPUT_NOTES,
    "paper_{}": PAPERS,
    "preset_{}": PRESETS,
    "state_{}": ("waiting", "running"),
    "summary_state_{}": ("waiting", "running", "failed", "cancelled"),
    "takes_{}": (
        "image",
        "images",
        "task_id",
        "x",
        "y",
        "size",
        *API_RECTANGLE,
        *API_SETTINGS,
    ),
    "{}_title": ("report", "summary"),
    "{}_unknown": ("format", "metadata", "background"),
    "tried_{}": ("hub", "release", "pypi", "npm"),
    "{}": NEUTRAL,
}
"""Keys that the code computes from a value, with all values."""
ERRORS = [
    name
    for name, one in vars(enhance.errors).items()
    if isinstance(one, type) and issubclass(one, EnhanceError)
]


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def calls(names):
    """Yield the calls of these functions in the code, with their positions and names."""
    for path in (ROOT / "enhance").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                if name in names:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", name, node


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_have_the_same_keys_and_placeholders(language):
    english = catalogue("en")
    texts = catalogue(language)
    assert list(texts) == list(english)
    for key, text in texts.items():
        assert placeholders(text) == placeholders(english[key])
        assert text == text.strip() != ""


def test_every_key_in_the_code_exists():
    texts = catalogue()
    places = {"translate": 1, **dict.fromkeys(ERRORS, 0)}
    for where, name, call in calls(places):
        for key in call.args[places[name] :][:1]:
            if isinstance(key, ast.Constant):
                assert key.value in texts, where
    for pattern, values in COMPUTED.items():
        assert {pattern.format(value) for value in values} <= texts.keys()


def test_every_error_has_the_values_of_its_text():
    for where, _, call in calls(ERRORS):
        for key in call.args[:1]:
            given = {keyword.arg for keyword in call.keywords}
            if isinstance(key, ast.Constant) and None not in given:
                if str(key.value).startswith("image_"):  # filled in later
                    given.add("name")
                assert given >= placeholders(catalogue()[str(key.value)]), where


def test_an_error_can_be_pickled():
    error = WeightsError("tried_hub", why=WeightsError("weights_folder_full", folder=Path("w")))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (WeightsError, str(error))
