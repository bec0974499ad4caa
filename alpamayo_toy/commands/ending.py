"""ending(): how every command ends where somebody else ends it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alpamayo_toy.errors import UserError

UNREAD = 141  # exit code of a command whose output nobody reads any more, as a shell says it of SIGPIPE


@contextmanager
def ending() -> Iterator[None]:
    """A mistake of the user is one line; train.py --help | head ends in UNREAD, Ctrl-C in 130, both without a word."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes as it ends
        sys.exit(UNREAD)
    except KeyboardInterrupt:
        sys.exit(130)
