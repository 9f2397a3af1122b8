"""The environment variables: their defaults, their validation and their effect."""

import pytest

from enhance import Enhancer, SettingsError
from enhance.cli import main
from enhance.config import Config, read_config


def test_an_empty_environment_gives_the_defaults():
    assert read_config({}) == Config()


@pytest.mark.parametrize("name", ["ENHANCE_MAX_PIXELS", "ENHANCE_MAX_BYTES", "ENHANCE_MAX_DISK", "ENHANCE_QUEUE"])
def test_an_unusable_limit_is_an_error(name):
    for text in ("-1", "0", "0.5", "many", "nan", "inf", "-inf", "1e400", "1,000", "0x10"):
        with pytest.raises(SettingsError, match=f"^{name} cannot be “{text}”. Use a whole number greater than 0"):
            read_config({name: text})


@pytest.mark.parametrize("text", ["-1", "0", "soon", "nan", "inf"])
def test_an_unusable_retention_period_is_an_error(text):
    with pytest.raises(SettingsError, match="ENHANCE_RETENTION_HOURS cannot be “"):
        read_config({"ENHANCE_RETENTION_HOURS": text})
    assert read_config({"ENHANCE_RETENTION_HOURS": "0.5"}).hours == 0.5


def test_a_login_has_a_user_and_a_password():
    assert read_config({"ENHANCE_AUTH": "ada:love:lace"}).auth == ("ada", "love:lace")
    keys = "first-key-of-two-, second-key-of-two"
    assert read_config({"ENHANCE_API_KEYS": keys}).api_keys == ("first-key-of-two-", "second-key-of-two")
    with pytest.raises(SettingsError, match="at least 16 characters"):
        read_config({"ENHANCE_API_KEYS": "short"})
    for text in ("ada", ":secret", "ada:"):
        with pytest.raises(SettingsError, match="user:password"):
            read_config({"ENHANCE_AUTH": text})


@pytest.mark.parametrize("name", ["tpu", "gpu", "cuda:", "CPU"])
def test_an_unknown_device_is_an_error(name):
    with pytest.raises(SettingsError, match=f"ENHANCE_DEVICE cannot be “{name}”. Use auto, cpu"):
        read_config({"ENHANCE_DEVICE": name})
    assert read_config({"ENHANCE_DEVICE": "cuda:1"}).device == "cuda:1"


@pytest.mark.parametrize("name", ["ENHANCE_DATA", "GRADIO_TEMP_DIR"])
def test_a_file_in_place_of_a_folder_is_an_error(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"^{name} cannot be “.*file”, which is not a folder"):
        read_config({name: str(tmp_path / "file")})


def test_the_device_applies_to_library_and_command_line(photo_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ENHANCE_DEVICE", "cuda:7")

    with pytest.raises(SettingsError, match="“cuda:7” is not available"):
        Enhancer().check()
    assert Enhancer("cpu").engine.device.type == "cpu"
    assert main(["run", str(photo_file), "-o", str(tmp_path / "x.png")]) == 2
    assert "“cuda:7” is not available" in capsys.readouterr().err


def test_the_limits_apply_to_library_and_command_line(photo_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ENHANCE_MAX_PIXELS", "100")

    assert main(["run", str(photo_file), "-o", str(tmp_path / "x.png")]) == 1
    assert "The limit is 0.0001 MP" in capsys.readouterr().err


def test_an_unusable_value_ends_the_command_line_with_a_message(photo_file, monkeypatch, capsys):
    monkeypatch.setenv("ENHANCE_QUEUE", "0.5")

    assert main(["run", str(photo_file)]) == 2
    assert capsys.readouterr().err.startswith("enhance: ENHANCE_QUEUE cannot be “0.5”.")


def test_the_public_host_is_a_name_and_frames_are_addresses():
    config = read_config(
        {"ENHANCE_PUBLIC_HOST": "Photos.example.org", "ENHANCE_FRAME_ANCESTORS": "'self' https://a.org"}
    )
    assert (config.public_host, config.frame_ancestors) == ("photos.example.org", "'self' https://a.org")
    assert "huggingface.co" in read_config({"SPACE_HOST": "a.hf.space"}).frame_ancestors
    for text in ("https://a.org", "a.org:80", "a b"):
        with pytest.raises(SettingsError, match="ENHANCE_PUBLIC_HOST cannot be “"):
            read_config({"ENHANCE_PUBLIC_HOST": text})
    for text in ("a.org", "'self'; script-src *", "https://a.org\nX: y"):
        with pytest.raises(SettingsError, match="ENHANCE_FRAME_ANCESTORS cannot be “"):
            read_config({"ENHANCE_FRAME_ANCESTORS": text})


def test_an_unknown_variable_is_logged(caplog):
    read_config({"ENHANCE_DATA": "data", "ENHANCE_MAX_PIXEL": "1", "ENHANCE_WEIGHTS": "w", "OTHER": "x"})
    assert [record.args for record in caplog.records] == [("ENHANCE_MAX_PIXEL",)]
