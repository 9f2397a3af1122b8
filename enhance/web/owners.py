"""Who made which task: a result's report is for the one who made it."""

from __future__ import annotations

import threading
from collections import OrderedDict

import gradio as gr

from ..errors import EnhanceError

_MOST = 20_000


class Owners:
    """Remembers the session, or the user who is logged in, of each task; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: OrderedDict[str, str] = OrderedDict()

    def remember(self, request: gr.Request, task_id: str) -> None:
        with self._lock:
            self._owners[task_id] = _name(request)
            while len(self._owners) > _MOST:
                self._owners.popitem(last=False)

    def check(self, request: gr.Request, task_id: object) -> str:
        """The task id, if it is the caller's. Raises EnhanceError: an unknown one and another's get the same answer."""
        with self._lock:
            owner = self._owners.get(task_id) if isinstance(task_id, str) else None
        if owner is None or owner != _name(request):
            raise EnhanceError("api_not_your_task")
        assert isinstance(task_id, str)
        return task_id


def _name(request: gr.Request) -> str:
    user = request.username
    return f"user {user}" if user else f"session {request.session_hash}"
