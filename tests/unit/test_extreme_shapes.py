"""Images of extreme shapes: each is processed or rejected with one sentence, and none crashes the
process."""

import pytest
from PIL import Image

from enhance.images.limits import MAX_SIDE

PAGE_PIXELS = 100_000_000
EVERYTHING = """
import sys
from pathlib import Path
from enhance import Enhancer, EnhanceError, Settings
from enhance.images import inspect_image, read_image

folder = Path(sys.argv[1])
enhancer = Enhancer("cpu", data=folder / "data")

def process(path):
    print("processing", path.name, file=sys.stderr)
    inspect_image(path, max_pixels=100_000_000)
    image = read_image(path, max_pixels=100_000_000, folder=folder)
    enhancer.analyse(image)
    image.degradation
    settings = Settings.from_preset("anime-fast", scale=1)
    enhancer.estimate(image.width, image.height, settings)
    enhancer.preview(image, "anime-fast")
    if image.width * image.height <= 100_000:
        output = folder / f"{path.stem}-result.png"
        result = enhancer.run(path, Settings.from_preset("anime-fast"), output=output)
        enhancer.write_report(result, image, folder / f"{path.stem}.pdf")

for path in sys.argv[2:]:
    try:
        process(Path(path))
    except EnhanceError as error:
        print(error)
"""


def process(forks, folder, *sizes):
    """Process images of these sizes, with preview, run and report, in one process; return the
    errors that it prints."""
    files = []
    for width, height in sizes:
        files.append(folder / f"{width}x{height}.png")
        Image.new("1", (width, height)).save(files[-1])
    process = forks.start(folder, *files, code=EVERYTHING)
    assert process.wait() == 0, process.errors.read_text()[-2000:]
    return process.output.read_text().splitlines()


TOO_LONG = [(PAGE_PIXELS, 1), (1, PAGE_PIXELS), (2, PAGE_PIXELS // 2), (MAX_SIDE + 1, 1)]


def test_long_images_are_processed_and_longer_ones_rejected_with_the_limit(forks, tmp_path):
    assert process(forks, tmp_path, (6_000, 2), (2, 6_000), *TOO_LONG) == [
        f"{width}x{height}.png is too large: {width:,} × {height:,} px. "
        "The limit is 500,000 px for each side. Crop or resize the image."
        for width, height in TOO_LONG
    ]


@pytest.mark.long
def test_the_largest_of_the_longest_images_are_processed(forks, tmp_path):
    sizes = [(40_000, 2), (2, 40_000), (MAX_SIDE, 1), (MAX_SIDE, 200), (200, MAX_SIDE)]
    assert process(forks, tmp_path, *sizes) == []
