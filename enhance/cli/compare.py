"""`enhance compare`: save an image that shows an area of a photo with every installed preset."""

from __future__ import annotations

from argparse import Namespace

from ..config import terminal_language
from ..errors import SettingsError
from .messages import print_error, print_json
from .progress import ProgressOutput


def compare(options: Namespace) -> int:
    """Run the command and return its exit status."""
    from ..enhancer import Enhancer
    from ..files import check_writable
    from ..jobs.scheduler import Job
    from ..metadata.provenance import check_replaceable
    from ..preview import choose_box
    from ..processes import remove_leftovers

    output = options.output
    if output.suffix.lower() != ".png":
        raise SettingsError("sheet_png_only", name=output.name)
    remove_leftovers(output.parent)
    check_writable(output, options.photo)
    check_replaceable(output)
    with Enhancer(options.device, options.precision) as enhancer, ProgressOutput() as bar:
        enhancer.check()

        def progress(done: int, total: int, left: float | None) -> None:
            bar.update(done / total, left)

        image = enhancer.read(options.photo)
        box = choose_box(image.size, options.x, options.y, options.size)
        comparison = enhancer.compare_region(image, box, Job("comparison"), progress=progress)
    for cell in comparison.cells:
        if cell.error is not None:
            print_error(cell.error, cell.settings.preset)
        elif not options.json:
            print(f"{cell.settings.preset}  {cell.describe('en')}", flush=True)
    info = comparison.save(output, terminal_language())
    if options.json:
        print_json(info)
    else:
        print(output, flush=True)
    return int(any(cell.error for cell in comparison.cells))
