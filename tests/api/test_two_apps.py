"""A second app in one process, which would share Gradio's folder of uploads with the first one."""

import os

import pytest

from app import build_demo
from enhance import Enhancer, SettingsError
from enhance.config import Config


def test_a_second_app_with_other_folders_is_rejected_and_leaves_the_first_unchanged(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    first = Enhancer("cpu", config=Config(tmp_path / "first"))
    build_demo(first)
    with pytest.raises(SettingsError, match="in a process of its own"):
        build_demo(Enhancer("cpu", config=Config(tmp_path / "second")))
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "first" / "enhance-page")
    build_demo(first)  # The same folders can be used again.
