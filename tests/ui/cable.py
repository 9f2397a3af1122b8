"""A connection to the server that a test can cut."""

import socket
import threading
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Cable:
    """A TCP relay to a server. Once it is cut, all connections are closed and new ones refused."""

    def __init__(self):
        self._server = ("", 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._is_cut = False
        self._ends = list[socket.socket]()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self._is_cut = True
        for end in self._ends:
            _close(end)
        self._ends.clear()

    def reconnect(self):
        """Accept connections again."""
        self._is_cut = False

    def connect_to(self, url):
        """Relay new connections to the server at `url`."""
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 80)

    def close(self):
        self.cut()
        _close(self._listener)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._is_cut:
                    _close(client)
                    continue
                try:
                    server = socket.create_connection(self._server)
                except OSError:  # The server has been killed.
                    _close(client)
                    continue
                self._ends += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source, target):
        with suppress(OSError):
            while content := source.recv(1 << 16):
                target.sendall(content)
        _close(source)
        _close(target)


def _close(end):
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def cable():
    """Yield a relay, and close it at the end."""
    relay = Cable()
    try:
        yield relay
    finally:
        relay.close()
