"""The command line: `run` enhances files and folders, `bench` measures this machine."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from .errors import EnhanceError
from .settings import PRESETS, RANGES

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif")
"""The files of a folder that are taken for pictures; a file named by itself is judged by its content alone."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit status: 0 all done, 1 some failed, 2 usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        return options.command(options)
    except EnhanceError as error:
        print(f"enhance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("enhance: stopped; nothing half-written is left.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m enhance", description="Enlarge pictures four times, exactly.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="enhance files and folders", description="Enhance files and folders.")
    run.set_defaults(command=_run)
    run.add_argument("input", nargs="+", type=Path, help="picture files, or folders of them")
    run.add_argument("-o", "--output", type=Path, help="a file for one input, else a folder (default: processed/)")
    run.add_argument("--preset", default="gentle", help=f"one of {', '.join(PRESETS)} (default gentle)")
    run.add_argument("--no-tuning", action="store_true", help="the network's output, sliders bypassed")
    for name, (low, high) in RANGES.items():
        default = {"scale": ", default 4", "tile": ", default 192; bounds memory, changes no pixel"}.get(name, "")
        run.add_argument(f"--{name}", type=int if name == "tile" else float, help=f"{low} to {high}{default}")
    _add_device(run)
    run.add_argument("--json", action="store_true", help="one object of facts a line on standard output")
    bench = commands.add_parser("bench", help="measure this machine", description="Measure this machine.")
    bench.set_defaults(command=_bench)
    bench.add_argument("--json", action="store_true", help="the figures as JSON")
    _add_device(bench)
    return parser


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")


def _run(options: argparse.Namespace) -> int:
    from .errors import SettingsError
    from .settings import Settings

    try:
        settings = Settings.preset(
            options.preset,
            tuning=False if options.no_tuning else None,
            **{name: getattr(options, name) for name in RANGES},
        )
    except SettingsError as error:
        print(f"enhance: {error}", file=sys.stderr)
        return 2
    inputs = list(_expand(options.input))
    if not inputs:
        print("enhance: there is no picture in that folder.", file=sys.stderr)
        return 1
    from .enhancer import Enhancer

    enhancer = Enhancer(options.device, options.precision)
    outputs = _outputs(inputs, options.output, single=len(options.input) == 1 and not options.input[0].is_dir())
    failed = 0
    for source, output in zip(inputs, outputs, strict=True):
        failed += not _one(enhancer, source, settings, output, options.json)
    enhancer.release()
    return 1 if failed else 0


def _one(enhancer, source: Path, settings, output: Path | None, as_json: bool) -> bool:
    """Enhance one file and say what came of it; False when it failed."""
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} rows, {postfix}"
    with tqdm(desc=source.name, bar_format=form, leave=False, file=sys.stderr) as bar:

        def progress(done: int, total: int, left: float | None) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str("" if left is None else f"{left:.0f} s left")

        try:
            result = enhancer.run(source, settings, output=output, progress=progress)
        except EnhanceError as error:
            bar.close()
            print(f"enhance: {source}: {error}", file=sys.stderr)
            if as_json:
                print(json.dumps({"status": "failed", "input": {"name": source.name}, "error": str(error)}))
            return False
    if as_json:
        print(json.dumps(result.info, ensure_ascii=False), flush=True)
    else:
        size, seconds = result.info["output"], result.info["seconds"]["total"]
        print(f"{result.path}  {size['width']} x {size['height']}, {seconds:.1f} s", flush=True)
    return True


def _expand(inputs: list[Path]):
    """The files named, and the pictures in the folders named, each folder in the order of names."""
    for path in inputs:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        else:
            yield path


def _outputs(inputs: list[Path], output: Path | None, *, single: bool) -> list[Path | None]:
    """Where each result goes; equal names in one folder are kept apart by a number."""
    if output is None:
        return [None] * len(inputs)
    if single and not output.is_dir():
        return [output]
    taken: set[Path] = set()
    places: list[Path | None] = []
    for source in inputs:
        place, number = output / f"{source.stem}.png", 1
        while place in taken:
            number += 1
            place = output / f"{source.stem}-{number}.png"
        taken.add(place)
        places.append(place)
    return places


def _bench(options: argparse.Namespace) -> int:
    from .bench import measure, table

    figures = measure(options.device, options.precision)
    print(json.dumps(figures, indent=1) if options.json else table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
