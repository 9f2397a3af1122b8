"""The objects that all pages and API calls share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.types import Scope

from ..config import Limits
from ..enhancer import Enhancer
from ..errors import EnhanceError, SettingsError, StorageError, WeightsError, is_memory_short
from ..i18n import strip_direction_marks, translate
from ..images import ImageCache
from ..info import Info, Result
from ..output.formats import Encoding
from ..output.resample import with_possible_size
from ..presets import PresetInfo, with_installed_models
from ..scheduler import Kind, Ticket
from ..settings import AUTO, REFERENCE_PRESET, Settings, find_preset
from ..store import result_name
from .addresses import Addresses, read_secret
from .calls import Endpoint
from .gradio_changes import blocks_of
from .jobs import Job, T
from .kept_previews import ViewPreviews
from .layout import EXAMPLES_FOLDER
from .metrics import Metrics, is_local_request
from .owners import owner_of
from .params import PRESET_CONTROLS, Values, language_of, size_setting
from .plan import Planner
from .preview import Previews
from .session import Session
from .sessions import Sessions
from .storage import PageFolder, TaskOwners, page_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """The enhancer, the limits, the sessions and the files of one app. `queue` is the number of runs that can wait."""

    enhancer: Enhancer
    limits: Limits
    sessions: Sessions
    previews: Previews
    downloads: PageFolder
    owners: TaskOwners
    queue: int
    metrics: Metrics
    addresses: Addresses
    views: ViewPreviews
    planner: Planner
    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    def enter(self, caller: Hashable, kind: Kind) -> AbstractContextManager[Ticket]:
        """Admit a job of a caller. Raises EnhanceError if the queue is full."""
        return self.enhancer.scheduler.admit(caller, kind, self.queue if kind in ("run", "batch") else None)

    def start(self, request: gr.Request, kind: Kind, work: Callable[[Any], T], *sources: Path) -> Job[T]:
        """Start a job of a client, which reads the files `sources`. Raises EnhanceError if the queue is full."""
        with self.enter(owner_of(request).caller, kind) as ticket:
            return Job(self.enhancer.scheduler, work, ticket, *sources)

    def presets(self, request: gr.Request) -> list[PresetInfo]:
        """Return the presets. Only an administrator sees how to install a missing one."""
        language = language_of(request)
        presets = self.enhancer.presets(language)
        if not _is_administrator(request):
            hidden = translate(language, "not_installed")
            for preset in presets:
                preset["reason"] = hidden if preset["reason"] else None
        return presets

    def export(self, info: Info, name: str, encoding: Encoding) -> Path:
        """Return a link for the browser to the file of a finished run, by the name of its photo. Raises EnhanceError.

        Formats other than the stored PNG are created at the first request.
        """
        png = self.enhancer.tasks.result_path(info["task_id"])
        with ExitStack() as hold:
            result = self.enhancer.export(Result(png, info, png), encoding, hold=hold)
            return self.downloads.link(result.path, result_name(info, encoding.file_format.ending, name))

    def replace_missing_preset(self, session: Session) -> SettingsError | None:
        """Return an error if the session's preset was removed, after replacing it with the default preset."""
        settings = session.settings
        try:
            if find_preset(settings.preset).scale != settings.factor:  # Another model has this name now.
                session.settings = Settings.from_preset(settings.preset)
        except SettingsError as error:
            session.settings = Settings(REFERENCE_PRESET)
            return error
        return None

    def with_chosen_preset(self, session: Session, values: Values) -> Values:
        """Return the values of the controls, with the preset that suits the photo and the size if Auto is selected.

        The other values that the preset sets are replaced if the page still has the values of another preset.
        """
        session.is_auto = values["preset"] == AUTO
        if not session.is_auto:
            return values
        shown = session.shown_values
        with suppress(SettingsError):  # The size control shows the message.
            try:
                settings = self.choose_preset(session, values)
            except SettingsError as error:
                if error.key != "size_large" or (upload := session.upload) is None:
                    raise
                wanted = Settings(AUTO, tile=values["tile"], **size_setting(values))
                possible = with_possible_size(wanted, upload.facts.height, upload.facts.width)
                settings, _ = self.enhancer.resolve_for(possible, upload.analysis)
            names = ("preset", *PRESET_CONTROLS, "reduce")
            chosen = {name: getattr(settings, name) for name in names}
            if chosen != {name: getattr(shown, name) for name in names}:
                return {**values, **chosen}
        return {**values, "preset": shown.preset}

    def choose_preset(self, session: Session, values: Values) -> Settings:
        """Return the settings that Auto chooses for the session's photo. Raises SettingsError for the size."""
        wanted = Settings(AUTO, tile=values["tile"], **size_setting(values))
        if session.upload is None:
            session.chosen = wanted.resolved(REFERENCE_PRESET)
        else:
            settings, _ = self.enhancer.resolve_for(wanted, session.upload.analysis)
            session.chosen = with_installed_models(settings)
        return session.chosen

    def visible_error(self, request: gr.Request | None, error: EnhanceError) -> EnhanceError:
        """Return the error to show. Only an administrator sees paths of the server and commands for its models."""
        if _is_administrator(request):
            return error
        if isinstance(error, WeightsError) or error.key.startswith("weights_"):
            return WeightsError("not_installed")
        if not error.has_path:
            return error
        if error.key == "disk_short":
            return StorageError("server_disk_short", free=error.values["free"], needed=error.values["needed"])
        return StorageError("server_storage") if isinstance(error, StorageError) else EnhanceError("unexpected")

    def message(self, request: gr.Request, error: Exception, event: str) -> str:
        """Return the message of an error and count it. An unexpected error is logged as `event`."""
        self.metrics.count_error(error)
        language = language_of(request)
        if isinstance(error, EnhanceError):
            return self.visible_error(request, error).message(language)
        if is_memory_short(error):
            return translate(language, "memory_out")
        log.error(event, exc_info=error)
        return translate(language, "unexpected")

    @contextmanager
    def errors_as_messages(self, request: gr.Request) -> Iterator[None]:
        """Raise every error as a `gr.Error` with its message. Its title is the key of the error."""
        try:
            yield
        except gr.Error:
            raise
        except Exception as error:
            message = strip_direction_marks(self.message(request, error, "A request failed"))
            title = error.key if isinstance(error, EnhanceError) else "unexpected"
            raise gr.Error(escape(message, quote=False), title=title, print_exception=False) from error


def create_services(enhancer: Enhancer, metrics: Metrics, images: ImageCache | None = None) -> Services:
    """Return the services of an app, without endpoints, and prepare the folder of its files. Raises StorageError."""
    config, folder = enhancer.config, page_folder(enhancer.config, enhancer.tasks)
    sessions, previews = Sessions(folder.path("visitors")), Previews(enhancer, metrics, images)
    addresses = create_addresses(enhancer, folder)
    return Services(
        enhancer,
        config.limits,
        sessions,
        previews,
        folder,
        TaskOwners(enhancer.tasks),
        config.queue,
        metrics,
        addresses,
        ViewPreviews(enhancer, previews),
        Planner(enhancer, previews, addresses),
    )


def create_addresses(enhancer: Enhancer, folder: PageFolder) -> Addresses:
    """Return the addresses for the images of uploads, stored inputs, results and examples. Raises StorageError."""
    tasks = enhancer.tasks
    folders = {
        "page": folder.root,
        "uploads": tasks.uploads,
        "processed": tasks.processed,
        "examples": EXAMPLES_FOLDER,
    }
    return Addresses(read_secret(tasks.folder), folders)


_OF_APPS: WeakKeyDictionary[gr.Blocks, Services] = WeakKeyDictionary()


def register(blocks: gr.Blocks, services: Services) -> None:
    """Let `services_of` find the services of an app."""
    _OF_APPS[blocks] = services


def services_of(scope: Scope) -> Services:
    """Return the services of the app that got a request. Raises HTTPException if it has none."""
    blocks = blocks_of(scope)
    if blocks is None or blocks not in _OF_APPS:
        raise HTTPException(404)
    return _OF_APPS[blocks]


def _is_administrator(request: gr.Request | None) -> bool:
    """Return whether a request comes from this machine."""
    original = getattr(request, "request", None)
    return original is not None and is_local_request(original.scope)
