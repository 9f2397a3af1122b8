"""`enhance analyse`: print the properties of images and the preset that Auto selects."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EnhanceError
from ..i18n import describe_choice
from ..json_object import JsonObject
from ..settings import Settings
from .arguments import size_of
from .messages import print_error, print_json
from .reporter import faster_text

if TYPE_CHECKING:
    from ..enhancer import Enhancer, Faster


def analyse(options: Namespace) -> int:
    """Run the command and return its exit status."""
    from ..enhancer import Enhancer

    settings = Settings(**size_of(options))
    status = 0
    with Enhancer(options.device, options.precision) as enhancer:
        for path in options.photo:
            try:
                facts, faster = _recommend(enhancer, path, settings)
            except EnhanceError as error:
                status = 1
                print_error(error, path)
                continue
            if options.json:
                print_json(facts)
            else:
                _print_text(path, facts, faster)
    return status


def _recommend(
    enhancer: Enhancer, path: Path, settings: Settings
) -> tuple[JsonObject, Faster | None]:
    """Return the JSON object of an image, and a faster preset to suggest."""
    image = enhancer.read(path)
    analysis = enhancer.analyse(image)
    plan = enhancer.plan(image, settings)
    faster = enhancer.suggest_faster(analysis, plan.settings)
    seconds = enhancer.estimate(*image.size, plan.settings, image.bits)
    facts = {
        "input": {"name": path.name, "path": str(path)},
        "auto": plan.auto,
        "settings": plan.settings.as_dict(),
        "estimated_seconds": round(seconds, 2),
        "faster": faster and faster.as_dict(),
    }
    return facts, faster


def _print_text(path: Path, facts: JsonObject, faster: Faster | None) -> None:
    auto = facts["auto"]
    reduce = facts["settings"]["reduce"]
    flags = f"--preset {auto['preset']}"
    if reduce > 1:
        flags += f" --reduce {reduce}"
    print(path)
    for name, value in auto["analysis"].items():
        if value is not None:
            print(f"  {name.replace('_', ' '):<14}{value}")
    print(f"  {describe_choice('en', auto, facts['estimated_seconds'], flags)}", flush=True)
    if faster:
        print(f"  {faster_text(auto['preset'], faster)}", flush=True)
