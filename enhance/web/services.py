"""The objects that all calls share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from starlette.types import Scope

from ..config import Limits
from ..enhancer import Enhancer
from ..errors import EnhanceError, StorageError, WeightsError, expected_error
from ..i18n import strip_direction_marks, translate
from ..images import ImageCache
from ..jobs.scheduler import JobKind
from ..jobs.threads import JobThread, JobThreads, T
from ..presets import PresetInfo
from ..store.job_records import JobStore
from ..store.secret import read_secret
from .addresses import Addresses
from .calls import Endpoint
from .metrics import Metrics, is_local_request
from .owners import owner_of
from .params import language_of
from .plan import Planner
from .preview import Previews
from .storage import TaskOwners, page_folder


class Services:
    """The enhancer and the files of one app, and its `endpoints` once they are added."""

    def __init__(self, enhancer: Enhancer, images: ImageCache | None = None):
        """Prepare the folder of the app's files. Raises StorageError."""
        tasks = enhancer.tasks
        self.enhancer = enhancer
        self.threads = JobThreads(enhancer.scheduler)
        self.downloads = page_folder(enhancer.config, tasks, self.threads)
        self.metrics = Metrics()
        self.previews = Previews(enhancer, self.metrics, images or ImageCache())
        shown = {
            "page": self.downloads.root,
            "uploads": tasks.uploads,
            "processed": tasks.processed,
        }
        self.addresses = Addresses(read_secret(tasks.folder), shown)
        self.planner = Planner(enhancer, self.previews, self.addresses)
        self.owners = TaskOwners(tasks)
        self.jobs = JobStore(tasks)
        self.endpoints = dict[str, Endpoint]()
        tasks.running = self.threads.named

    @property
    def limits(self) -> Limits:
        return self.enhancer.config.limits

    def start(
        self, request: gr.Request, kind: JobKind, work: Callable[[Any], T], *sources: Path
    ) -> JobThread[T]:
        """Start a job of a client, other than a run, which reads the files `sources`. Raises
        EnhanceError if the queue is full."""
        with self.enhancer.scheduler.admit(owner_of(request).caller, kind) as job:
            return JobThread(self.threads, job, work, sources)

    def presets(self, request: gr.Request) -> list[PresetInfo]:
        """Return the presets. Only an administrator sees how to install a missing one."""
        language = language_of(request)
        presets = self.enhancer.presets(language)
        if not _is_administrator(request):
            hidden = translate(language, "not_installed")
            for preset in presets:
                preset["reason"] = preset["reason"] and hidden
        return presets

    def visible_error(self, request: gr.Request | None, error: EnhanceError) -> EnhanceError:
        """Return the error to show. Only an administrator sees paths of the server and commands for
        its models."""
        if _is_administrator(request):
            return error
        if isinstance(error, WeightsError) or error.key.startswith("weights_"):
            return WeightsError("not_installed")
        if not error.has_path:
            return error
        if error.key == "disk_short":
            return StorageError(
                "server_disk_short", free=error.values["free"], needed=error.values["needed"]
            )
        if isinstance(error, StorageError):
            return StorageError("server_storage")
        return EnhanceError("unexpected")

    @contextmanager
    def errors_as_messages(self, request: gr.Request) -> Iterator[None]:
        """Raise every error as a `gr.Error` with its message, and count it. Its title is the key of
        the error."""
        try:
            yield
        except gr.Error:
            raise
        except Exception as raised:
            error = expected_error(raised, "A request failed")
            self.metrics.count_error(error)
            message = self.visible_error(request, error).message(language_of(request))
            raise gr.Error(
                escape(strip_direction_marks(message), quote=False),
                title=error.key,
                print_exception=False,
            ) from raised


SERVICES: WeakKeyDictionary[gr.Blocks, Services] = WeakKeyDictionary()
"""The services of all apps of the process, because Gradio gives a request only its app."""


def services_of(scope: Scope) -> Services:
    """Return the services of the app that got a request."""
    return SERVICES[scope["app"].blocks]


def _is_administrator(request: gr.Request | None) -> bool:
    """Return whether a request comes from this machine."""
    original = getattr(request, "request", None)
    return original is not None and is_local_request(original.scope)
