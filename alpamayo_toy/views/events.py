"""EventFile: what TensorBoard reads, which takes the files of a folder by name and time as going forwards."""

import itertools
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter

from alpamayo_toy.files import naming

BEGINNING = "events.out.tfevents."
_numbers = itertools.count()


class EventFile:
    """An event file of its folder, behind all that are there by name and by time, though the clock was set back.

    With purge_step its readers forget what earlier files say of that step and later ones. An event is on its way to
    the disk when add() returns: what kills a run takes none of them along.
    """

    def __init__(self, folder: Path, purge_step: int | None = None, suffix: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._time = max([time.time(), *(_end(path) + 1 for path in folder.glob(f"{BEGINNING}*"))])
        begun = f"{int(self._time):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self.path = folder / f"{BEGINNING}{begun}{suffix}"
        self._file = self.path.open("ab")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if purge_step is not None:
            self._write(step=purge_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, summary: Any, step: int | None) -> None:
        """A Summary of a step, or of none."""
        self._write(summary=summary, step=step)

    def close(self) -> None:
        self._file.close()

    def _write(self, **what: Any) -> None:
        self._time = max(self._time, time.time())
        with naming(self.path):
            self._records.write(Event(wall_time=self._time, **what).SerializeToString())
            self._records.flush()


def _end(path: Path) -> float:
    """When it was begun by its name, or last written by the file system, in s since 1970."""
    begun = re.match(r"events\.out\.tfevents\.(\d{10})\.", path.name)
    return max(float(begun[1]) if begun else 0.0, path.stat().st_mtime)
