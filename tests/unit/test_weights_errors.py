"""The sentences of the model files' errors: both languages, one inside another, and nothing of the product needed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest

from enhance.texts import say
from weights import ModelFileError, WeightsFolderError
from weights.errors import SENTENCES, tomllib

ROOT = Path(__file__).parents[2]
ALL = tomllib.loads(SENTENCES.read_text(encoding="utf-8"))


def nested() -> ModelFileError:
    """Two sources that failed, one inside the other."""
    trouble = ModelFileError(
        "download_unreachable", host=ModelFileError("download_odd_address", variable="HF_ENDPOINT"), reason="no route"
    )
    broke_off = ModelFileError("download_broke_off", have=1000, total=2000, trouble=trouble)
    clauses = {"tried_hub": broke_off, "tried_package": ModelFileError("package_missing", package="p")}
    before, then = (ModelFileError(key, why=why) for key, why in clauses.items())
    tried = ModelFileError("tried_then", before=before, then=then)
    place = {"file": "tiny.pth", "url": "https://example.org/tiny.pth", "folder": Path("w")}
    return ModelFileError("weights_not_fetched", name="tiny", tried=tried, **place)


ENGLISH = (
    "The weights of tiny are not on this computer and could not be fetched. Hugging Face: broke off after 1,000 of "
    "2,000 bytes, which are kept for the next try (the address in HF_ENDPOINT cannot be reached (no route)). Python "
    "package: the package p is not installed; `pip install p` brings it. With a connection, run `python -m weights "
    "fetch tiny`; or put the file tiny.pth from https://example.org/tiny.pth in w."
)


def test_importing_weights_loads_nothing_of_the_product():
    code = "import sys, weights, weights.__main__, weights.ncnn; print([m for m in sys.modules if 'enhance' in m])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"


@pytest.mark.parametrize("key", ALL)
def test_every_sentence_is_in_both_languages_with_the_same_places(key: str):
    places = {
        language: sorted(part[1:] for part in Formatter().parse(text) if part[1]) for language, text in ALL[key].items()
    }
    assert set(places) == {"en", "zh-CN"}
    assert places["en"] == places["zh-CN"]


def test_the_code_uses_every_sentence():
    code = "".join(path.read_text(encoding="utf-8") for path in SENTENCES.parent.glob("*.py"))
    assert [key for key in ALL if f'"{key}"' not in code] == []


def test_a_clause_is_said_in_the_language_of_its_sentence():
    assert str(nested()) == ENGLISH
    chinese = nested().sentence("zh-CN")
    assert "无法连接 HF_ENDPOINT 中的地址（no route）" in chinese
    assert "。Python 软件包：未安装软件包 p；" in chinese


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_catalogue_of_the_product_says_the_same(language: str):
    error = nested()
    assert say(language, error.key, **error.values) == error.sentence(language)


@pytest.mark.parametrize("error", [nested(), WeightsFolderError("weights_folder_full", folder=Path("w"))])
def test_an_error_survives_the_way_from_another_process(error: ModelFileError):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
