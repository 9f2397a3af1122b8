"""`enhance mcp`: tools for agents of this computer over standard input and output. Requires the extra `mcp`.

The agent runs with the rights of the user who starts it, so paths of files are accepted here, and only here.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from mcp.server.fastmcp import Context, FastMCP, Image
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from .config import terminal_language, version
from .enhancer import Enhancer
from .errors import expected_error
from .i18n import translate
from .output.formats import Encoding
from .output.thumbnails import encode_for_screen, icc_for_screen, to_screen
from .settings import RANGES, Settings

_INSTRUCTIONS = (
    "Upscales photos on this computer with Real-ESRGAN. Call `analyse` to see the properties of a photo, the preset "
    "that suits it and the expected time. Call `preview` to look at an area before a long run. `enhance` writes a file "
    "and never changes the photo."
)
_READS = ToolAnnotations(readOnlyHint=True, idempotentHint=True, openWorldHint=False)
_WRITES = ToolAnnotations(readOnlyHint=False, destructiveHint=False, idempotentHint=True, openWorldHint=False)


def _text(name: str) -> str:
    low, high = RANGES.get(name, (0, 0))
    return translate("en", f"takes_{name}", low=f"{low:g}", high=f"{high:g}")


Photo = Annotated[str, Field(description="Path of an image file.")]
Preset = Annotated[str, Field(description=_text("preset"))]
Scale = Annotated[float | None, Field(description=_text("scale"))]
LongSide = Annotated[int | None, Field(description=_text("long_side"))]


def create_server(enhancer: Enhancer) -> FastMCP:
    """Return the server with its tools. Errors of a tool are one sentence in the language of the terminal."""
    server = FastMCP("enhance", instructions=_INSTRUCTIONS, log_level="WARNING")
    server._mcp_server.version = version()

    async def call(work: Any, stop: threading.Event | None = None) -> Any:
        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            if stop is not None:
                stop.set()
            raise
        except Exception as error:
            message = expected_error(error, "A tool failed").message(terminal_language())
            raise ToolError(message) from error

    @server.tool(annotations=_READS)
    async def analyse(image: Photo, scale: Scale = None, long_side: LongSide = None) -> dict[str, Any]:
        """Return the properties of a photo, the settings that `auto` selects for a size, and the expected seconds."""
        settings = Settings(scale=scale, long_side=long_side)
        return await call(lambda: enhancer.recommend(enhancer.read(image), settings))

    @server.tool(annotations=_READS)
    async def presets() -> list[dict[str, Any]]:
        """List the presets, what each is for, and whether it is installed."""
        return await call(enhancer.presets)

    @server.tool(annotations=_READS, structured_output=False)
    async def preview(
        image: Photo, preset: Preset = "auto", x: float | None = None, y: float | None = None, size: int = 128
    ) -> list[Any]:
        """Return a square area of the enlarged photo as an image. x and y are its centre in pixels of the photo."""

        def work() -> list[Any]:
            preview = enhancer.preview(image, preset, x=x, y=y, size=size)
            content, ending = encode_for_screen(to_screen(preview.after), icc_for_screen(preview.region.image))
            return [Image(data=content, format={".jpg": "jpeg", ".png": "png"}[ending]), dict(preview.info)]

        return await call(work)

    @server.tool(annotations=_WRITES)
    async def enhance(
        image: Photo,
        context: Context[Any, Any, Any],
        output: Annotated[
            str | None, Field(description="Path of the output file; the extension is the format.")
        ] = None,
        preset: Preset = "auto",
        scale: Scale = None,
        long_side: LongSide = None,
        strength: Annotated[float | None, Field(description=_text("strength"))] = None,
        fidelity: Annotated[float | None, Field(description=_text("fidelity"))] = None,
        quality: Annotated[int, Field(ge=1, le=100, description=_text("quality"))] = 92,
        metadata: Literal["keep", "no-location", "none"] = "keep",
    ) -> dict[str, Any]:
        """Enhance a photo and return the facts of the run. An existing file of another program is not replaced."""
        stop, loop = threading.Event(), asyncio.get_running_loop()

        def progress(done: int, total: int, _left: float | None) -> None:
            asyncio.run_coroutine_threadsafe(context.report_progress(done, total), loop)

        def work() -> dict[str, Any]:
            settings = Settings(preset, scale=scale, long_side=long_side, strength=strength, fidelity=fidelity)  # type: ignore[arg-type]
            path = Path(output) if output else None
            encoding = Encoding.of_file(path, quality, metadata) if path else None
            return dict(
                enhancer.run(image, settings, output=path, encoding=encoding, progress=progress, stop=stop).info
            )

        return await call(work, stop)

    return server


def serve(enhancer: Enhancer) -> None:
    """Serve the tools until standard input ends."""
    create_server(enhancer).run("stdio")
