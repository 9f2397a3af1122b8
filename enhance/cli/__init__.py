"""The command line: `enhance run | analyse | compare | weights | app | mcp`.

Each command is a module. Exit status: 0 if all files were processed, 1 if some failed, 2 for wrong
usage, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from ..engine.device_thread import DEVICE_THREAD
from ..errors import Cancelled, SettingsError, expected_error
from ..files import storage_error
from .analyse import analyse
from .arguments import parse_arguments
from .compare import compare
from .messages import OneLineFormatter, discard_unread_output, print_error
from .run import run
from .server import app, mcp
from .weights import run_weights

log = logging.getLogger("enhance")

_COMMANDS = {
    "run": run,
    "analyse": analyse,
    "compare": compare,
    "mcp": mcp,
    "app": app,
    "weights": run_weights,
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_SECONDS = 8.0
"""Time for cleaning up after a signal, before the process exits anyway."""


def program(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line as a process that cleans up after Ctrl-C and SIGTERM."""
    for one in _SIGNALS:
        if signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # File names can have bytes that are no text. JSON has the same escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    status = main(arguments or sys.argv[1:])
    discard_unread_output()
    # If PyTorch is still being imported, its exit functions must be registered before the exit.
    DEVICE_THREAD.close()
    sys.exit(status)


def _interrupt(number: int, _frame: object) -> None:
    """Raise KeyboardInterrupt with the number of the signal.

    Further signals are ignored, and the time to exit is limited.
    """
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    late = threading.Timer(_EXIT_SECONDS, os._exit, [128 + number])
    late.daemon = True
    late.start()
    raise KeyboardInterrupt(number)


def main(arguments: list[str]) -> int:
    """Run the command line and return its exit status.

    `app`, which has no other end, exits with 0 after SIGTERM.
    """
    options = parse_arguments(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter("enhance: %(message)s"))
    if options.command != "app":  # The server sets up its own log.
        log.addHandler(handler)
    try:
        return _COMMANDS[options.command](options)
    except KeyboardInterrupt as interrupt:
        number = next(iter(interrupt.args), signal.SIGINT)
        if options.command == "app" and number == signal.SIGTERM:
            return 0
        print_error(Cancelled("interrupted"))
        return 128 + number
    except BrokenPipeError:
        return 0
    except OSError as error:  # Files raise StorageError, so this is the output.
        print_error(storage_error(Path("standard output"), error))
        return 1
    except Exception as error:
        print_error(expected_error(error, "The command failed"))
        if isinstance(error, SettingsError):
            return 2
        return 1
    finally:
        log.removeHandler(handler)
