"""A job for other processes to do, in a module that they can import."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.processes import signals


class Odd(Exception):
    """Two arguments to make it, of which pickle is given one."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(one)


def act(what: str, value: Any = None, told: Callable[[Any], None] = lambda _: None) -> Any:
    match what:
        case "wait":  # some seconds
            time.sleep(value)
        case "refuse":
            raise UserError(value)
        case "break":
            raise KeyError(value)
        case "odd":
            raise Odd(value, value)
        case "local":
            raise type("Local", (ValueError,), {})(value)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(value)
        case "count":
            for number in range(value):
                told(number)
        case "save":  # into the folder, when told to end
            with signals() as stopped:
                told(os.getpid())
                while not stopped:
                    time.sleep(0.01)
            Path(value, str(os.getpid())).touch()
        case "never end":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            told(os.getpid())
            time.sleep(600)
    return what, value, os.getpid()
