"""The sessions of all open pages. They are limited, and deleted some time after the page was last used."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from pathlib import Path

import gradio as gr

from .jobs import JOBS
from .owners import owner_of
from .session import Session

MAX_SESSIONS = 200
MAX_SESSIONS_OF_ADDRESS = 50
"""The largest number of sessions, in total and of one address. New ones replace those that were idle for longest."""
IDLE_SECONDS = 2 * 3600
CLOSED_SECONDS = 600
"""How long the session of a closed page is kept, for example while a phone is locked."""
GRACE_SECONDS = 120
"""How long jobs of a closed page continue, so that a page that is reloaded finds them."""


class Sessions:
    """The sessions by Gradio's session names, which are random and known to one browser only."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, request: gr.Request) -> Session:
        """Return the session of this request, and delete idle ones."""
        name, owner = request.session_hash or "", owner_of(request)
        with self._lock:
            session = self._sessions.pop(name, None) or Session(self._folder / secrets.token_hex(16), owner)
            self._sessions[name] = session
            session.seen, session.closed = time.monotonic(), None
        self.sweep()
        return session

    def open(self, request: gr.Request, tab: str) -> Session:
        """Return the session of a page that opens. A reloaded page gets the earlier session of its tab and owner."""
        name, owner = request.session_hash or "", owner_of(request)
        with self._lock:
            for old, session in list(self._sessions.items()):
                if tab and session.tab == tab and session.client.name == owner.name and old != name:
                    self._sessions[name] = self._sessions.pop(old)
                    break
        session = self.get(request)
        session.tab, session.is_batch_open = tab, False
        for one in session.tabs:
            one.order = one.view_order = 0
        return session

    def close(self, request: gr.Request) -> None:
        """Record that the page was closed. Its jobs are cancelled and its files deleted later."""
        with self._lock:
            session = self._sessions.get(request.session_hash or "")
            if session is not None:
                session.closed = time.monotonic()
        for one in session.tabs if session else ():
            one.cancel_previews()

    def sweep(self) -> None:
        """Cancel the jobs of pages that stay closed, and delete closed and idle sessions."""
        now = time.monotonic()
        with self._lock:
            removed = self._remove_idle()
            for name, session in list(self._sessions.items()):
                seconds = now - (session.closed or now)
                if seconds > GRACE_SECONDS:
                    for job in filter(None, (session.run, session.batch)):
                        job.cancel("absence")
                if seconds > CLOSED_SECONDS:
                    removed.append(self._sessions.pop(name))
        for one in (tab for session in removed for tab in session.tabs):
            one.reset()

    def used_paths(self) -> set[Path]:
        """Return the files that open pages and running jobs use."""
        with self._lock:
            sessions = list(self._sessions.values())
        used = {path for session in sessions for path in session.used_paths()}
        return used | {path for job in list(JOBS) for path in job.inputs()}

    def _remove_idle(self) -> list[Session]:
        """Remove and return sessions that are idle for long or too many, but none with a running or waiting job."""
        now = time.monotonic()
        others = list(self._sessions.items())[:-1]  # all but the one used last, whose request needs it
        idle = [(name, session) for name, session in others if not session.is_busy]
        removed = [name for name, session in idle if now - session.seen > IDLE_SECONDS]
        idle = [(name, session) for name, session in idle if name not in removed]
        counts = Counter(session.client.address for session in self._sessions.values())
        surplus = len(self._sessions) - len(removed) - MAX_SESSIONS
        # Sessions of the address with most of them go first, so that no user can evict others by opening many pages.
        for name, session in sorted(idle, key=lambda one: -counts[one[1].client.address]):
            if counts[session.client.address] > MAX_SESSIONS_OF_ADDRESS or surplus > 0:
                counts[session.client.address] -= 1
                surplus -= 1
                removed.append(name)
        return [self._sessions.pop(name) for name in removed]
