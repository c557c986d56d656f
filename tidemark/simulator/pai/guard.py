"""The guard of one command, a process between it and the simulator: `guard.py PROGRAM ARGUMENT…`.

It runs the command in a session of its own, hands on its exit status, and lets none of what the
command started outlive it: what has left the session or lost its parent is still below the guard.
A SIGTERM is handed on to all of them; the end of its input, which is the end of the simulator, or
its wish, kills them all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_KILLING_S = 5.0
_AGAIN_S = 0.01
_NOT_STARTED = 126


class _Guard:
    """A command, and all processes below this one."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._code: int | None = None
        self._command = os.posix_spawn(
            arguments[0],
            list(arguments),
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setsid=True,
            # Python ignores the one for itself, and what is ignored is inherited.
            setsigdef=[signal.SIGPIPE],
        )

    def watch(self, woken: int) -> int:
        """Wait for the command, or for the end of the input; its exit status as a shell has it.
        `woken` is where the numbers of signals are written."""
        while self._reap() is None:
            ready = select.select([0, woken], [], [])[0]
            if woken in ready and signal.SIGTERM in os.read(woken, 4096):
                self._tell(signal.SIGTERM)
            if 0 in ready and not os.read(0, 4096):
                break
        end_s = time.monotonic() + _KILLING_S
        # Again and again: what is killed may have started another just before.
        while self._tell(signal.SIGKILL) and time.monotonic() < end_s:
            time.sleep(_AGAIN_S)
            self._reap()
        code = self._reap()
        return 128 + signal.SIGKILL if code is None else code if code >= 0 else 128 - code

    def _reap(self) -> int | None:
        """Take leave of all that has ended; the command's exit status once it has."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._command:
                    self._code = os.waitstatus_to_exitcode(ended[1])
        return self._code

    def _tell(self, number: int) -> int:
        """Send a signal to all of them; how many there were."""
        told = 0
        for process in self._below():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
                told += 1
        return told

    def _below(self) -> Iterator[psutil.Process]:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process


def _main(arguments: Sequence[str]) -> int:
    with contextlib.suppress(AttributeError):
        # Without it, where there is no Linux, what loses its parent gets away.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    # Handled, not ignored: the command is not to ignore them too.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        guard = _Guard(arguments)
    except OSError as error:
        print(f"cannot run {arguments[0]}: {error.strerror}", flush=True)
        return _NOT_STARTED
    return guard.watch(woken)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
