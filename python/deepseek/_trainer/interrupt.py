# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a run trains."""

import signal
import threading


class Interrupt:
    """As a context manager: the first SIGINT sets `requested`, so that the run ends after its step;
    the second raises KeyboardInterrupt. Outside the main thread nothing changes."""

    def __init__(self):
        self.requested = False
        self._before = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exc):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
