"""The environment variables: their defaults, their validation and their effect."""

import pytest

from enhance import Enhancer, SettingsError
from enhance.cli import main
from enhance.config import Config, read_config


def test_an_empty_environment_gives_the_defaults():
    assert read_config({}) == Config()


@pytest.mark.parametrize("text", ["-1", "0", "0.5", "many", "nan", "inf", "-inf", "1e400", "1,000", "0x10"])
def test_an_unusable_limit_is_an_error(text):
    for name in ("ENHANCE_MAX_PIXELS", "ENHANCE_MAX_BYTES", "ENHANCE_MAX_DISK", "ENHANCE_QUEUE"):
        with pytest.raises(SettingsError, match=f"^{name} cannot be “{text}”. Use a whole number greater than 0"):
            read_config({name: text})


@pytest.mark.parametrize(
    ("variable", "values", "message"),
    [
        ("ENHANCE_RETENTION_HOURS", ("-1", "0", "soon", "nan", "inf"), "ENHANCE_RETENTION_HOURS cannot be “"),
        ("ENHANCE_API_KEYS", ("short",), "at least 16 characters"),
        ("ENHANCE_AUTH", ("ada", ":secret", "ada:"), "user:password"),
        ("ENHANCE_DEVICE", ("tpu", "gpu", "cuda:", "CPU"), "ENHANCE_DEVICE cannot be “.*”. Use auto, cpu"),
        ("ENHANCE_PUBLIC_HOST", ("https://a.org", "a.org:80", "a b"), "ENHANCE_PUBLIC_HOST cannot be “"),
        (
            "ENHANCE_FRAME_ANCESTORS",
            ("a.org", "'self'; script-src *", "https://a.org\nX: y"),
            "ENHANCE_FRAME_ANCESTORS cannot be “",
        ),
        (
            "ENHANCE_C2PA_CERT",
            ("chain.pem",),
            "ENHANCE_C2PA_CERT is no longer supported.*labelled.* Remove the variable",
        ),
        ("ENHANCE_DATA", (__file__,), "ENHANCE_DATA cannot be “.*, which is not a folder"),
        ("GRADIO_TEMP_DIR", (__file__,), "GRADIO_TEMP_DIR cannot be “.*, which is not a folder"),
    ],
)
def test_an_unusable_value_is_an_error(variable, values, message):
    for value in values:
        with pytest.raises(SettingsError, match=message):
            read_config({variable: value})


def test_values_are_read():
    config = read_config(
        {
            "ENHANCE_RETENTION_HOURS": "0.5",
            "ENHANCE_AUTH": "ada:love:lace",
            "ENHANCE_API_KEYS": "first-key-of-two-, second-key-of-two",
            "ENHANCE_DEVICE": "cuda:1",
            "ENHANCE_PUBLIC_HOST": "Photos.example.org",
            "ENHANCE_FRAME_ANCESTORS": "'self' https://a.org",
        }
    )
    assert (config.hours, config.device, config.auth) == (0.5, "cuda:1", ("ada", "love:lace"))
    assert config.api_keys == ("first-key-of-two-", "second-key-of-two")
    assert (config.public_host, config.frame_ancestors) == ("photos.example.org", "'self' https://a.org")
    assert "huggingface.co" in read_config({"SPACE_HOST": "a.hf.space"}).frame_ancestors


def test_variables_apply_to_library_and_command_line(photo_file, tmp_path, monkeypatch, capsys):
    for variable, value, status, message in (
        ("ENHANCE_DEVICE", "cuda:7", 2, "“cuda:7” is not available"),
        ("ENHANCE_MAX_PIXELS", "100", 1, "The limit is 0.0001 MP"),
        ("ENHANCE_QUEUE", "0.5", 2, "enhance: ENHANCE_QUEUE cannot be “0.5”."),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(variable, value)
            assert main(["run", str(photo_file), "-o", str(tmp_path / "x.png")]) == status
        assert message in capsys.readouterr().err
    monkeypatch.setenv("ENHANCE_DEVICE", "cuda:7")
    with pytest.raises(SettingsError, match="“cuda:7” is not available"):
        Enhancer().check()
    assert Enhancer("cpu").engine.device.type == "cpu"


def test_an_unknown_variable_is_logged(caplog):
    read_config({"ENHANCE_DATA": "data", "ENHANCE_MAX_PIXEL": "1", "ENHANCE_WEIGHTS": "w", "OTHER": "x"})
    assert [record.args for record in caplog.records] == [("ENHANCE_MAX_PIXEL",)]


def test_the_command_line_prints_an_unknown_variable(photo_file, monkeypatch, capsys):
    monkeypatch.setenv("ENHANCE_MAX_PIXEL", "1")
    assert main(["analyse", str(photo_file)]) == 0
    assert "enhance: The environment variable ENHANCE_MAX_PIXEL is unknown" in capsys.readouterr().err
