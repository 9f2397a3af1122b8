"""The environment variables: their defaults, their validation and their effect."""

import pytest

from enhance import SettingsError
from enhance.cli import main
from enhance.config import Config, read_config

NO_NUMBERS = ("-1", "0", "many", "nan", "inf", "1e400", "0x10")


def test_an_empty_environment_gives_the_defaults():
    assert read_config({}) == Config()


@pytest.mark.parametrize(
    ("variable", "values", "message"),
    [
        (
            "ENHANCE_MAX_PIXELS",
            (*NO_NUMBERS, "0.5"),
            "cannot be “.*”. Use a whole number greater than 0",
        ),
        ("ENHANCE_MAX_BYTES", ("0.5",), "Use a whole number greater than 0"),
        ("ENHANCE_MAX_DISK", ("0.5",), "Use a whole number greater than 0"),
        ("ENHANCE_QUEUE", ("0.5",), "Use a whole number greater than 0"),
        ("ENHANCE_RETENTION_HOURS", NO_NUMBERS, "cannot be “"),
        ("ENHANCE_API_KEYS", ("short", "first-key-of-two-, short"), "at least 16 ASCII characters"),
        ("ENHANCE_AUTH", ("ada", ":secret", "ada:"), "user:password"),
        ("ENHANCE_DEVICE", ("tpu", "gpu", "cuda:", "CPU"), "cannot be “.*”. Use auto, cpu"),
        ("ENHANCE_PUBLIC_HOST", ("https://a.org", "a.org:80", "a b"), "cannot be “"),
        (
            "ENHANCE_FRAME_ANCESTORS",
            ("a.org", "'self'; script-src *", "https://a.org\nX: y"),
            "cannot be “",
        ),
        (
            "ENHANCE_C2PA_CERT",
            ("chain.pem",),
            "is no longer supported.*labelled.* Remove the variable",
        ),
        ("ENHANCE_DATA", (__file__,), "cannot be “.*, which is not a folder"),
        ("GRADIO_TEMP_DIR", (__file__,), "cannot be “.*, which is not a folder"),
    ],
)
def test_an_unusable_value_is_an_error(variable, values, message):
    for value in values:
        with pytest.raises(SettingsError, match=message) as error:
            read_config({variable: value})
        assert variable in str(error.value)


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
    assert config == Config(
        hours=0.5,
        auth=("ada", "love:lace"),
        api_keys=("first-key-of-two-", "second-key-of-two"),
        device="cuda:1",
        public_host="photos.example.org",
        frame_ancestors="'self' https://a.org",
    )
    assert "huggingface.co" in read_config({"SPACE_HOST": "a.hf.space"}).frame_ancestors


@pytest.mark.parametrize(
    ("variable", "value", "status", "message"),
    [
        ("ENHANCE_DEVICE", "cuda:7", 2, "“cuda:7” is not available"),
        ("ENHANCE_MAX_PIXELS", "100", 1, "The limit is 0.0001 MP"),
        ("ENHANCE_QUEUE", "0.5", 2, "enhance: ENHANCE_QUEUE cannot be “0.5”."),
        ("ENHANCE_MAX_PIXEL", "1", 0, "The environment variable ENHANCE_MAX_PIXEL is unknown"),
    ],
)
def test_variables_apply_to_the_command_line(
    photo_file, monkeypatch, capsys, variable, value, status, message
):
    monkeypatch.setenv(variable, value)
    assert main(["run", str(photo_file), "--preset", "anime-fast"]) == status
    assert message in capsys.readouterr().err
