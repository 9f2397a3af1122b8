"""The arguments of the commands and their help."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argcomplete import autocomplete

from ..config import version
from ..i18n import translate
from ..json_object import JsonObject
from ..settings import DEFAULT_PRESET, PAPERS, PRESETS, RANGES, SIZES, WHOLE, print_sides
from . import weights

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

_WITHDRAWN = {
    "--pages": "--pages is no longer supported. Remove it to enhance the first page only, or save "
    "the other pages as separate files.",
    "--print-fit": "Prints with a border or cropping are no longer supported. Remove --print-fit "
    "to fit the whole photo on the paper.",
}
"""Options of earlier versions, and what to use instead."""


def parse_arguments(arguments: Sequence[str]) -> Namespace:
    """Return the parsed arguments, with the name of the command as `command`.

    Exits with status 2 for wrong usage.
    """
    program = "enhance"
    if Path(sys.argv[0]).stem != program:
        program = "python -m enhance"
    parser = ArgumentParser(
        prog=program,
        description="Upscale photos with Real-ESRGAN.",
        epilog='Completion in bash and zsh: eval "$(register-python-argcomplete enhance)"',
    )
    parser.add_argument("--version", action="version", version=f"enhance {version()}")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

    def command(name: str, text: str) -> ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    run = command("run", "upscale files and folders")
    _add_run(run)
    _add_analyse(
        command("analyse", "print the properties of images and the preset that Auto selects")
    )
    _add_compare(
        command(
            "compare", "save an image that shows an area of a photo with every installed preset"
        )
    )
    app = command("app", "serve the page on port 7860, or on GRADIO_SERVER_PORT")
    app.add_argument(
        "--share",
        action="store_true",
        help="also create a public link at gradio.live for up to one week",
    )
    command("mcp", "serve tools for agents (MCP) over standard input and output")
    weights.add_commands(command("weights", "list, find, download, verify, add and remove models"))
    autocomplete(parser)  # Print the possible next words and exit, if a shell asks for them.
    _reject_withdrawn(parser, arguments)
    options = parser.parse_args(arguments)
    if options.command == "run" and not options.input and options.files is None:
        run.error("the following arguments are required: INPUT or --files")
    return options


def _reject_withdrawn(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """Exit with what to use in place of a command or option of an earlier version."""
    if arguments[:1] == ["bench"]:
        text = "The command bench was removed. Use `make bench` in a checkout of the project."
        parser.error(text)
    for given in arguments:
        option = given.partition("=")[0]
        if option in _WITHDRAWN:
            parser.error(_WITHDRAWN[option])


def _add_run(run: ArgumentParser) -> None:
    run.usage = "%(prog)s [options] [INPUT ...]"
    run.add_argument(
        "input",
        nargs="*",
        type=path_or_address,
        metavar="INPUT",
        help="image files, folders, or addresses such as s3://bucket/folder; - reads an image from "
        "standard input",
    )
    run.add_argument(
        "-o",
        "--output",
        help="output file of a single input, otherwise output folder (default: photo-4x.png next "
        "to each photo). A path that ends in / is a folder, addresses are allowed, and - writes a "
        "single result to standard output. Only earlier results are replaced, and without -o "
        "no file at all",
    )
    names = ", ".join(PRESETS)
    preset: Any = run.add_argument(
        "-p",
        "--preset",
        default=DEFAULT_PRESET,
        help=f"{names} or a user model, as shown by `enhance weights list` (default: "
        f"{DEFAULT_PRESET})",
    )
    preset.completer = _complete_preset
    _add_size(run)
    _add_sliders(run)
    _add_format(run)
    _add_device(run)
    _add_batch(run)
    messages = run.add_argument_group("reports and progress")
    messages.add_argument(
        "--report", action="store_true", help="save a PDF report next to each result"
    )
    messages.add_argument("--json", action="store_true", help="print one JSON object per file")
    messages.add_argument(
        "--progress",
        choices=("bar", "json", "none"),
        default="bar",
        help="progress on standard error: a bar if it is a terminal (default), none, or one JSON "
        "object per line with file, share (0 to 1) and seconds_left",
    )


def _add_sliders(run: ArgumentParser) -> None:
    group = run.add_argument_group("tuning")
    group.add_argument(
        "--no-tuning",
        dest="tuning",
        action="store_const",
        const=False,
        help="save the direct output of the model",
    )
    for name, (low, high) in RANGES.items():
        text = translate("en", f"takes_{name}", low=f"{low:g}", high=f"{high:g}")
        _add_number(group, name, text, "N")


def _complete_preset(**_: object) -> Sequence[str]:
    from ..presets import available_presets  # It delays the shell, so only this completion has it.

    return available_presets()


def _add_format(run: ArgumentParser) -> None:
    group = run.add_argument_group("output file")
    group.add_argument(
        "-f",
        "--format",
        choices=("png", "jpeg", "webp", "avif", "tiff", "jxl"),
        help="default: the extension of the output file, otherwise png",
    )
    group.add_argument(
        "--quality",
        type=int,
        default=92,
        help="1 to 100, without effect on formats that are always lossless (default: 92)",
    )
    group.add_argument(
        "--metadata",
        choices=("keep", "no-location", "none"),
        default="keep",
        help="keep (default): all metadata, including a GPS location. no-location: no GPS location "
        "in EXIF, XMP, IPTC and text. none: only the colour profile, the resolution and the label",
    )
    group.add_argument(
        "--no-label",
        dest="label",
        action="store_false",
        help="do not label the result as machine-enhanced (IPTC digital source type in XMP)",
    )
    group.add_argument(
        "--background",
        choices=("white", "black"),
        default="white",
        help="colour of transparent areas in a format without transparency, such as JPEG "
        "(default: white)",
    )


def _add_batch(run: ArgumentParser) -> None:
    group = run.add_argument_group("batches")
    group.add_argument(
        "--files",
        type=Path,
        metavar="LIST",
        help="process the paths and addresses in LIST, a text file with one per line, or a .jsonl "
        "file",
    )
    group.add_argument(
        "--failures",
        type=Path,
        metavar="FILE",
        help="append each failed file with its reason to FILE, a .jsonl file that --files can read",
    )
    group.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="process part I of N of the files, for example one part on each machine",
    )
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="process the files on a Ray cluster: HOST:PORT of its head node, auto for the "
        "cluster of this machine, or local to start one on this machine. All machines need the "
        "folders at the same paths",
    )


def path_or_address(text: str) -> Path | str:
    """Return an fsspec address as text, and everything else as a path."""
    if "://" in text:
        return text
    return Path(text)


def _add_number(group: _ArgumentGroup, name: str, text: str, unit: str, *short: str) -> None:
    kind = float
    if name in WHOLE:
        kind = int
    option = f"--{name.replace('_', '-')}"
    group.add_argument(*short, option, type=kind, metavar=unit, help=text)


def _add_size(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("output size")
    _add_number(
        group,
        "scale",
        "enlargement factor, 1 to 16 (default: the scale of the model, usually 4)",
        "FACTOR",
        "-s",
    )
    _add_number(group, "long_side", "long side of the result in pixels, instead of --scale", "PX")
    _add_number(group, "megapixels", "size of the result in megapixels, instead of --scale", "MP")
    papers = ", ".join(PAPERS)
    group.add_argument(
        "--print",
        metavar="SIZE",
        help="print size, instead of --scale: WIDTHxHEIGHT in cm, such as 29.7x42cm, WIDTHx or "
        f"xHEIGHT for one side, or {papers}. The whole photo fits on the paper, in either "
        "orientation",
    )
    _add_number(
        group,
        "dpi",
        "resolution stated in the output file (default: 300 for --print, or the photo's)",
        "DPI",
    )


def size_of(options: Namespace) -> JsonObject:
    """Return the settings of the output size. Raises SettingsError for a print size that is
    none."""
    size = {name: getattr(options, name) for name in (*SIZES, "dpi")}
    if options.print:
        size["print_width"], size["print_height"] = print_sides(options.print)
    return size


def _add_analyse(analyse: ArgumentParser) -> None:
    analyse.add_argument("photo", nargs="+", type=Path, metavar="PHOTO", help="image files")
    _add_size(analyse)
    _add_device(analyse)
    analyse.add_argument("--json", action="store_true", help="print one JSON object per file")


def _add_compare(compare: ArgumentParser) -> None:
    compare.add_argument("photo", type=Path, metavar="PHOTO", help="an image file")
    compare.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="output file (.png); only an earlier result is replaced",
    )
    for name, place in (("x", "column"), ("y", "row")):
        text = f"{place} of the centre of the area in pixels (default: the centre of the photo)"
        compare.add_argument(f"--{name}", type=float, metavar="PX", help=text)
    compare.add_argument(
        "--size",
        type=int,
        metavar="PX",
        default=128,
        help="side length of the area in pixels (default: 128)",
    )
    _add_device(compare)
    compare.add_argument(
        "--json", action="store_true", help="print the time and fidelity of each preset as JSON"
    )


def _add_device(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("device")
    group.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    precisions = ("auto", "fp32", "bf16", "fp16")
    group.add_argument("--precision", choices=precisions, default="auto", help="default: auto")
