"""What whoever starts the program says: the command line's arguments, and every environment variable, read and checked.

The variables of the weight files are read by `weights`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from .errors import PictureError, SettingsError
from .i18n import DEFAULT_LANGUAGE, match_language
from .settings import PRESETS, RANGES, WHOLE

_LAST_PORT = 65_535
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_SOURCES = re.compile(r"('self'|'none'|https?://[a-z0-9.*:-]+)( +('self'|https?://[a-z0-9.*:-]+))*")
_SWITCH = re.compile("[01]")
_SPACES = "'self' https://huggingface.co https://*.hf.space"
_MORE = {
    "tile": ", default 192; bounds memory, changes no pixel",
    "reduce": ", default 1; how many times a soft photo is averaged down first, sizes still count from the input",
}
"""What the help says of a setting beside its range."""


@dataclass(frozen=True)
class Limits:
    """What the page takes: the largest picture in input pixels, the largest file in bytes, and so on.

    `files` may come in one request, of `batch_bytes` together; the JSON of an event has at most `request_bytes`.
    """

    pixels: int = 100_000_000
    bytes: int = 200_000_000
    files: int = 200
    batch_bytes: int = 2_000_000_000
    request_bytes: int = 1_000_000

    def check_together(self, files: Iterable[Path]) -> None:
        """Raises PictureError if a batch has too many files, or too many bytes in all."""
        sizes = []
        for file in files:
            with suppress(OSError):  # the batch itself says what is wrong with a file
                sizes.append(file.stat().st_size)
        if len(sizes) > self.files:
            raise PictureError("too_many_files", limit=self.files)
        if sum(sizes) > self.batch_bytes:
            raise PictureError("upload_too_large", limit=f"{self.batch_bytes / 1e6:g}")


@dataclass(frozen=True)
class Config:
    """What the environment says, checked; the defaults are those of an empty environment.

    `data` is the folder for inputs and results, `device` one of PyTorch's names or auto. Limits are in input pixels and
    in bytes a file; None: the command line's (400 million pixels) and the page's (100 million, 200 MB) differ. `hours`
    is how long inputs and results are kept, `max_disk` their bytes in all (None: no limit). `queue` runs may wait.
    `page_folder` is GRADIO_TEMP_DIR where that is set. `public_host` is the name at which browsers reach the page, and
    pages of `frame_ancestors` may show it in a frame; on Spaces both are known. `metrics`: what is done is counted.
    `zero_gpu`: a Space lends a graphics card for one call at a time.
    """

    data: Path = Path("data")
    device: str = "auto"
    max_pixels: int | None = None
    max_bytes: int | None = None
    hours: float = 24.0
    max_disk: int | None = None
    auth: tuple[str, str] | None = None
    queue: int = 20
    host: str | None = None
    port: int = 7860
    page_folder: Path | None = None
    public_host: str | None = None
    frame_ancestors: str = "'self'"
    metrics: bool = False
    zero_gpu: bool = False

    @property
    def limits(self) -> Limits:
        """What the page takes by this."""
        usual = Limits()
        return Limits(self.max_pixels or usual.pixels, self.max_bytes or usual.bytes)


def read_config(environment: Mapping[str, str] | None = None) -> Config:
    """What the environment (or `environment`) says. Raises SettingsError with one sentence for a bad value."""
    variables = _Variables(os.environ if environment is None else environment)
    usual = Config()
    return Config(
        data=variables.folder("ENHANCE_DATA") or usual.data,
        device=variables.device("ENHANCE_DEVICE") or usual.device,
        max_pixels=variables.whole_number("ENHANCE_MAX_PIXELS"),
        max_bytes=variables.whole_number("ENHANCE_MAX_BYTES"),
        hours=variables.number("ENHANCE_RETENTION_HOURS") or usual.hours,
        max_disk=variables.whole_number("ENHANCE_MAX_DISK"),
        auth=_auth(variables.text("ENHANCE_AUTH")),
        queue=variables.whole_number("ENHANCE_QUEUE") or usual.queue,
        host=variables.text("GRADIO_SERVER_NAME") or None,
        port=variables.whole_number("GRADIO_SERVER_PORT", "config_port", _LAST_PORT) or usual.port,
        page_folder=variables.folder("GRADIO_TEMP_DIR"),
        public_host=variables.matching("ENHANCE_PUBLIC_HOST", _HOST, "config_host")
        or variables.text("SPACE_HOST").lower()
        or None,
        frame_ancestors=variables.matching("ENHANCE_FRAME_ANCESTORS", _SOURCES, "config_frames")
        or (_SPACES if variables.text("SPACE_HOST") else usual.frame_ancestors),
        metrics=variables.matching("ENHANCE_METRICS", _SWITCH, "config_switch") == "1",
        zero_gpu=variables.text("SPACES_ZERO_GPU").lower() in ("1", "t", "true"),  # as the package spaces reads it
    )


@cache
def version() -> str:
    """That of the installed package; that of pyproject.toml where the program runs from its folder."""
    checkout = Path(__file__).parents[1] / "pyproject.toml"
    if checkout.is_file():
        (found,) = re.findall(r'^version = "(.+)"$', checkout.read_text("utf-8"), re.MULTILINE)
        return found
    return metadata.version("enhance")


def terminal_language(environment: Mapping[str, str] | None = None) -> str:
    """The language of the terminal, one of the catalogue's."""
    variables = _Variables(os.environ if environment is None else environment)
    return match_language(variables.text("LC_ALL") or variables.text("LANG")) or DEFAULT_LANGUAGE


@dataclass(frozen=True)
class _Variables:
    values: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.values.get(name, "").strip()

    def device(self, name: str) -> str:
        text = self.text(name)
        if text and not _DEVICE.fullmatch(text):
            raise SettingsError("config_device", value=text)
        return text

    def folder(self, name: str) -> Path | None:
        """A folder, there or still to be made; None where the variable is not set."""
        path = Path(self.text(name)) if self.text(name) else None
        if path is not None and path.exists() and not path.is_dir():
            raise SettingsError("config_folder", variable=name, value=path)
        return path

    def matching(self, name: str, pattern: re.Pattern[str], key: str) -> str:
        """The text in lower case, if it is of this form; empty where the variable is not set."""
        text = self.text(name).lower()
        if text and not pattern.fullmatch(text):
            raise SettingsError(key, variable=name, value=text)
        return text

    def number(self, name: str) -> float | None:
        """A number above 0; None where the variable is not set."""
        text = self.text(name)
        if not text:
            return None
        number = _parsed(text)
        if number is None:
            raise SettingsError("config_number", variable=name, value=text)
        return number

    def whole_number(self, name: str, key: str = "config_whole_number", most: float = float("inf")) -> int | None:
        """A whole number from 1 to `most`, also one like 1e8 or 100_000_000; None where the variable is not set."""
        text = self.text(name)
        if not text:
            return None
        number = _parsed(text)
        if number is None or number != int(number) or number > most:
            raise SettingsError(key, variable=name, value=text)
        return int(number)


def _parsed(text: str) -> float | None:
    """The finite number above 0 that the text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _auth(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise SettingsError("config_auth")
    return user, password


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says, the name of the command as `command`; what it cannot say ends the program."""
    name = "enhance" if Path(sys.argv[0]).stem == "enhance" else "python -m enhance"
    parser = argparse.ArgumentParser(prog=name, description="Enlarge pictures, exactly.")
    parser.add_argument("--version", action="version", version=f"enhance {version()}")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    _add_run(commands.add_parser("run", help="enhance files and folders", description="Enhance files and folders."))
    compare = commands.add_parser(
        "compare", help="a square by every preset", description="A square of a photo by every preset, on one sheet."
    )
    compare.add_argument("photo", type=Path, metavar="PHOTO", help="a picture file")
    compare.add_argument("-o", "--output", type=Path, required=True, help="the sheet, a .png file; replaced if there")
    for name in ("x", "y"):
        compare.add_argument(f"--{name}", type=float, help="the square's centre in pixels, default the middle")
    compare.add_argument("--size", type=int, default=128, help="the square's side in pixels, default 128")
    _add_device(compare)
    compare.add_argument("--json", action="store_true", help="the facts as one object on standard output")
    bench = commands.add_parser("bench", help="measure this machine", description="Measure this machine.")
    _add_device(bench)
    bench.add_argument("--json", action="store_true", help="the figures as JSON")
    app = commands.add_parser("app", help="serve the page", description="Serve the page at port 7860.")
    app.add_argument("--share", action="store_true", help="also at a public address of gradio.live, for a week at most")
    commands.add_parser("weights", help="list, fetch, verify, add and remove model files; see `weights --help`")
    return parser.parse_args(arguments)


def _add_run(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("input", nargs="+", type=Path, metavar="INPUT", help="picture files, or folders of them")
    to = "a file for one input (an earlier result is replaced, nothing else), else a folder (default: processed/)"
    add("-o", "--output", type=Path, help=to)
    names = f"one of {', '.join(PRESETS)}, or a model of your own (python -m weights list); default gentle"
    add("--preset", default="gentle", help=names)
    add("--no-tuning", action="store_true", help="the network's output, sliders bypassed")
    add("--scale", type=float, help="times larger, 1 to what the network makes (default)")
    add("--long-side", type=int, metavar="PX", help="of the result's longer side, in place of --scale")
    add("--megapixels", type=float, metavar="MP", help="of the result, in place of --scale")
    add("--dpi", type=int, metavar="DPI", help="resolution of a print, stated in the file (default: the photo's)")
    for name, (low, high) in RANGES.items():
        kind = int if name in WHOLE else float
        add(f"--{name}", type=kind, help=f"{low:g} to {high:g}{_MORE.get(name, '')}")
    add("--format", help="png, jpeg, webp or avif (default: by the ending of -o, else png)")
    add("--quality", type=int, default=92, help="1 to 100, of a JPEG, WebP or AVIF (default 92)")
    add(
        "--metadata",
        default="keep",
        help="keep (default): all metadata, also a GPS location; no-location: without the location in EXIF (GPS and "
        "makers' notes), XMP, IPTC and texts; none: only colour profile and resolution",
    )
    _add_device(run)
    add("--shard", default="1/1", metavar="I/N", help="the Ith of N parts, each for a machine of its own")
    _add_cluster(run)
    add("--report", action="store_true", help="a PDF report beside every result")
    add("--json", action="store_true", help="one object of facts a line on standard output")


def _add_cluster(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="process the files on a Ray cluster: host:port of its head node, auto for the cluster of this machine, or "
        "local to start one on this machine; every machine needs the folders at the same paths",
    )
    numbers = {
        "ray-workers": "maximum number of workers (default: as many as fit)",
        "ray-cores": "CPU cores of each worker (default: 1 with a GPU, otherwise up to 8)",
    }
    for name, words in numbers.items():
        run.add_argument(f"--{name}", type=int, metavar="N", help=words)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")
