"""The public API: what `gradio_client`, curl and an agent can call, and what stands in its documentation.

No endpoint takes a path of the server: pictures are uploads.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr
import gradio.mcp
from gradio.components import Component
from gradio.data_classes import FileData
from gradio.mcp import GradioMCPServer
from gradio_client import Client
from gradio_client.utils import encode_file_path, is_file_obj_with_meta, traverse

from ..batch import Item
from ..errors import EnhanceError, PictureError
from ..i18n import strip_direction_marks
from ..output.thumbnails import icc_for_screen, save_png
from ..store import download_name, report_name
from .batch import BATCHES
from .calls import check_endpoint, check_parameters
from .compare import COMPARISONS, Comparing
from .guard import data_urls_deleted, handed_over
from .jobs import ClientWatch, tell_files, wait_until_done
from .params import CALLED, SQUARE, USUAL, called, language_of, parameter, square_called
from .run import RUNS, BatchWork, Run
from .storage import Packed, asker_of
from .views import Services

Gives = Iterator[tuple[Any, Any]]
_PROGRESS = gr.Progress()
"""By this default Gradio finds the parameter that it fills with a request's own."""
_COUNTED: dict[str, Any] = {"concurrency_limit": None}
"""Counted by the program, not by Gradio's queue."""
_MOST_AGENTS = 100
_SHOWN_BYTES = 1_000_000
"""The largest picture that an agent is shown: it reads every byte."""


def _part(name: str) -> Component:
    """The component that takes a parameter, with what the documentation says of it."""
    takes, made = parameter(name), {"string": gr.Textbox, "boolean": gr.Checkbox}
    told = {"additional_description": takes["description"]}
    if name in ("image", "images"):
        part: Any = gr.File(label=name, file_count="single" if name == "image" else "multiple")
        takes, part.data_model = part.api_info(), _or_nothing(part.data_model)
    else:
        part = made.get(takes["type"], gr.Number)(USUAL.get(name), label=name)
    part.api_info_as_input = lambda: takes | told
    return part


def _or_nothing(files: Any) -> Any:
    class Sent(files):
        """The same file or files, to which what is no upload is none: the endpoint says so in words."""

        @classmethod
        def model_validate(cls, *given: Any, **how: Any) -> Any:
            with suppress(ValueError):
                return files.model_validate(*given, **how)

    return Sent


def _with(*names: str) -> Callable[[Any], Any]:
    """Show Gradio, which reads signatures, these parameters in place of `**given`."""

    def shown(function: Any) -> Any:
        known = signature(function)
        own = [one for one in known.parameters.values() if one.kind is not one.VAR_KEYWORD]
        own += [Parameter(name, Parameter.KEYWORD_ONLY, default=USUAL.get(name)) for name in names]
        function.__signature__ = known.replace(parameters=own)
        return function

    return shown


class Endpoints:
    """The functions behind the API; their docstrings are its documentation."""

    def __init__(self, services: Services):
        self._services = services

    @_with(*CALLED)
    def enhance(self, request: gr.Request, image: str | None, progress: gr.Progress = _PROGRESS, **given: Any) -> Gives:
        """Enhance a picture. Gives the file and `info`, the facts of the run with the task_id.

        Give one of `scale`, `long_side` and `megapixels`, or none for the largest that the network makes. `output` of
        `info` is the file that is given, and its `notes` say what the format could not hold: on_white (transparency),
        eight_bits, exif_short, xmp_left, iptc_left, texts_left, or that XMP or IPTC had a location: location_left;
        and what no result contains: gain_map_left (HDR), video_left (of a motion photo), xmp_extension_left. Progress
        counts rows; cancelling stops the engine.
        """
        with self._services.told(request):
            settings, encoding = called(given)
            picture, attention = _uploaded(image), ClientWatch(request)
            with self._services.enter(asker_of(request).caller, "run") as ticket, ExitStack() as hold:
                made = Run(self._services, picture, settings, ticket, encoding=encoding, hold=hold)
                run = hold.enter_context(closing(made))
                yield from wait_until_done(run, attention, lambda: run.state.tell(progress))
                result = run.result()
                name = download_name(result.info["input"]["name"], settings, encoding.form.ending)
                file = self._services.outbox.link(result.path, name)
            yield str(file), for_client(self._services.owners.remember(request, result.info))

    @_with(*SQUARE, *CALLED)
    def preview(self, request: gr.Request, image: str | None, **given: Any) -> tuple[str, str, dict[str, Any]]:
        """Enhance one square of a picture to see what will come. Gives before and after as PNG files, and `info`.

        `format`, `quality` and `metadata` change nothing here. It is served between the steps of longer runs; `info` is
        that of the whole run, with its signature, as far as it can be known before.
        """
        with self._services.told(request):
            path, square, (settings, _) = _uploaded(image), square_called(given), called(given)
            with self._services.enter(asker_of(request).caller, "preview") as ticket:
                picture = self._services.previews.picture(path)
                made = self._services.previews.run(picture, settings, **square, ticket=ticket)
            icc, place = icc_for_screen(made.piece.picture), self._services.outbox.place
            sides = {
                f"{strip_direction_marks(path.stem)}-{side}.png": getattr(made, side) for side in ("before", "after")
            }
            before, after = (str(save_png(pixels, place(name), icc)) for name, pixels in sides.items())
            return before, after, made.info

    @_with(*SQUARE)
    def compare(self, request: gr.Request, image: str | None, progress: gr.Progress = _PROGRESS, **given: Any) -> Gives:
        """Show one square of a picture by every preset that is here. Gives a PNG sheet of them all, and `info`.

        `info` has for each of its `presets` the seconds, the fidelity in dB and, where one failed, the error. Previews
        go first. Cancelling the job stops the engine.
        """
        with self._services.told(request):
            path, attention, square = _uploaded(image), ClientWatch(request), square_called(given)
            with (
                self._services.enter(asker_of(request).caller, "comparison") as ticket,
                closing(Comparing(self._services, path, ticket, **square)) as work,
            ):
                yield from wait_until_done(work, attention, lambda: work.state.tell(progress))
                made = work.result()
            sheet = self._services.outbox.place(f"{strip_direction_marks(path.stem)}-presets.png")
            yield str(sheet), for_client(made.save(sheet, language_of(request)))

    @_with(*CALLED)
    def batch(
        self, request: gr.Request, images: list[str] | None, progress: gr.Progress = _PROGRESS, **given: Any
    ) -> Gives:
        """Enhance several pictures. Gives a ZIP of the results with report.csv and summary.pdf, and `info`.

        `info` counts the files that are done, failed and cancelled, and has for each its name, state, error, and the
        facts of its run. A file that cannot be read does not stop the others. Cancelling stops the engine. Where there
        is no room for a ZIP, `error` says so, the ZIP is null, and each finished file is in `info` as `file`.
        """
        with self._services.told(request):
            settings, encoding = called(given)
            if not images:
                raise PictureError("api_no_pictures")
            items = [Item(Path(image), Path(Path(image).name)) for image in images]
            self._services.limits.check_together(item.source for item in items)
            attention, language = ClientWatch(request), language_of(request)
            with (
                self._services.enter(asker_of(request).caller, "batch") as ticket,
                closing(BatchWork(self._services, items, settings, language, ticket, encoding)) as work,
            ):
                yield from wait_until_done(work, attention, lambda: tell_files(work.batch, progress))
                packed = work.result()
            own, items = self._services.owners, packed.batch.items
            infos = {item: for_client(own.remember(request, item.info)) for item in items if item.info}
            yield str(packed.archive) if packed.archive else None, _info(packed, infos, language)

    def report(self, request: gr.Request, task_id: str) -> str:
        """Give the PDF report of a finished run."""
        with self._services.told(request):
            own, told = self._services.owners.check(request, task_id)
            report = self._services.enhancer.report(own, language_of(request), told=told)
            return str(self._services.outbox.link(report, report_name(self._services.enhancer.tasks.finished(own))))

    def presets(self, request: gr.Request) -> list[dict[str, Any]]:
        """List the presets: name, summary, model, settings, whether or why not it is here, and its time by gentle's."""
        return self._services.enhancer.presets(language_of(request))

    def status(self) -> dict[str, Any]:
        """Tell the device, the precision, the model in memory, and how many runs go on and wait."""
        return self._services.enhancer.status()


def _uploaded(image: str | None) -> Path:
    """The file that a client sent. Raises PictureError where there is none."""
    if image:
        return Path(image)
    raise PictureError("api_no_picture")


class Agents(GradioMCPServer):
    """Gradio's MCP server for agents, whose pictures come as text, and who get addresses and facts as JSON."""

    _clients: OrderedDict[tuple[str, str], Client] = OrderedDict()  # noqa: RUF012 - of all servers
    _opening = Lock()

    @staticmethod
    def Server(name: str) -> Any:  # noqa: N802 - Gradio's name
        """The protocol, without checks by schema: the program's own sentences say better what is wrong."""
        server: Any = GradioMCPServer.Server(name)  # type: ignore[attr-defined]
        usual = partial(server.call_tool, validate_input=False)

        def call_tool() -> Callable[[Any], Any]:
            def of(function: Any) -> Any:
                async def called(tool: str, arguments: dict[str, Any]) -> Any:
                    with data_urls_deleted():
                        return await function(tool, arguments)

                return usual()(called)

            return of

        server.call_tool = call_tool
        return server

    def get_input_schema(self, tool_name: str, parameters: Any = None) -> tuple[dict[str, Any], list[Any]]:
        """What a tool takes."""
        takes: Any = self.api_info["named_endpoints"][self.tool_to_endpoint[tool_name]]["parameters"]
        required = [one["parameter_name"] for one in takes if not one["parameter_has_default"]]
        properties = {one["parameter_name"]: parameter(one["parameter_name"]) for one in takes}
        return {"type": "object", "properties": properties, "required": required}, []

    def _prepare_tool_call_args(self, name: str, arguments: dict[str, Any]) -> Any:
        """Check the names of the tool and of its parameters first. Raises ValueError."""
        try:
            check_endpoint(name, self.tool_to_endpoint)
            takes: Any = self.api_info["named_endpoints"][self.tool_to_endpoint[name]]["parameters"]
            check_parameters(name, takes, arguments)
        except EnhanceError as error:
            raise ValueError(error.sentence(language_of(self.mcp_server.request_context.request))) from error
        return super()._prepare_tool_call_args(name, arguments)

    def convert_strings_to_filedata(self, value: dict[str, Any], filedata_positions: Any) -> dict[str, Any]:
        """The arguments of a call as Gradio's client takes them. Raises ValueError, which says what is no picture."""
        try:
            return {name: handed_over(name, given) for name, given in value.items()}
        except EnhanceError as error:
            raise ValueError(error.sentence(language_of(self.mcp_server.request_context.request))) from error

    def _get_or_create_client(self) -> Client:
        """A client, and by it a session, for each agent: an address, or where there is a login a user's cookie."""
        asked: Any = self.mcp_server.request_context.request
        cookie = asked.headers.get("cookie", "") if self.blocks.app.auth is not None else ""
        agent = (str(self.local_url), cookie or asked.client.host)
        with self._opening:
            if agent not in self._clients:
                told: dict[str, Any] = {"headers": {"x-gradio-user": "mcp", "cookie": cookie}, "ssl_verify": False}
                told |= {"download_files": False, "verbose": False, "analytics_enabled": False}
                self._clients[agent] = Client(agent[0], _skip_components=False, **told)
            self._clients.move_to_end(agent)
            while len(self._clients) > _MOST_AGENTS:
                self._clients.popitem(last=False)[1].close()
            return self._clients[agent]

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        (made,) = await super()._execute_tool_without_progress(job)
        return [*made] if isinstance(made, list | tuple) else [made]

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """Facts as JSON and files as addresses; what is small enough to look at is shown too."""
        content: list[Any] = []
        files = f"{root_url}/gradio_api/file="
        for part in data:
            path = Path(part["path"]) if is_file_obj_with_meta(part) else None
            if path and path.suffix == ".png" and path.stat().st_size <= _SHOWN_BYTES:
                picture = {"data": b64encode(path.read_bytes()).decode(), "mimeType": "image/png"}
                content.append(self.types.ImageContent(type="image", **picture))  # type: ignore[attr-defined]
            told = traverse(part, lambda file: files + encode_file_path(file["path"]), is_file_obj_with_meta)
            text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=lambda one: one.root)
            content.append(self.types.TextContent(type="text", text=text))  # type: ignore[attr-defined]
        return content


def add_endpoints(services: Services) -> None:
    """Add the endpoints to the Blocks around, their components not shown, and make them the tools of agents."""
    gradio.mcp.GradioMCPServer = Agents  # the one that Gradio makes where GRADIO_MCP_SERVER asks for one
    endpoints = Endpoints(services)
    with gr.Row(visible=False):
        parts = {name: _part(name) for name in ("image", "images", *SQUARE, *CALLED, "task_id")}
        result, before, after, archive, pdf = (gr.File(label=n) for n in ("result", "before", "after", "zip", "pdf"))
        info, answer, button = gr.JSON(label="info"), gr.JSON(label="answer"), gr.Button()

    def offer(name: str, takes: tuple[str, ...], gives: list[Component], **how: Any) -> None:
        given: dict[str, Any] = {one: parts[one] for one in takes}
        button.click(getattr(endpoints, name), None, gives, inputs_kwargs=given, api_name=name, **how)

    offer("enhance", ("image", *CALLED), [result, info], **RUNS)
    offer("preview", ("image", *SQUARE, *CALLED), [before, after, info], **_COUNTED)
    offer("compare", ("image", *SQUARE), [result, info], **COMPARISONS)
    for name in ("presets", "status"):
        offer(name, (), [answer], queue=False)
    offer("batch", ("images", *CALLED), [archive, info], **BATCHES)
    offer("report", ("task_id",), [pdf], concurrency_limit=1)


def for_client(info: dict[str, Any]) -> dict[str, Any]:
    """The facts without the path on this server, which is nobody else's business.

    `gradio_client` also takes any object with a text called path for a file, and would put a local path in its place.
    """
    return info | {"output": info["output"] | {"path": None}}


def _info(packed: Packed, infos: dict[Item, dict[str, Any]], language: str) -> dict[str, Any]:
    def said(error: EnhanceError | None) -> str | None:
        return error.sentence(language) if error else None

    def file(item: Item) -> dict[str, Any]:
        told = {"name": item.name, "state": item.state, "error": said(item.error), "info": infos.get(item)}
        loose = packed.loose.get(item)
        return told | {"file": FileData(path=str(loose), orig_name=loose.name).model_dump() if loose else None}

    counts = {state: packed.batch.count(state) for state in ("done", "failed", "cancelled")}
    return counts | {"files": [file(item) for item in packed.batch.items], "error": said(packed.error)}
