"""What becomes of a stranger's file in a process that may take 3 GB and 10 s, by the thousand, in a table."""

import os
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from alpamayo_toy.errors import UserError

MEMORY, SECONDS, MUCH = 3 << 30, 10, 500 << 20
OUTCOMES = ("taken", "one line", "silently wrong", "traceback", "crash", "hang", "over memory")


def fate(name: str, make: Callable[[], Any], use: Callable[[Any], str]) -> str:
    """One of OUTCOMES for use(make()), which says what is silently wrong with what it took, or "".

    It runs in a process of its own, and only use() under the limits. Over memory is more than 500 MB, too. What should
    not have happened is told on stderr.
    """
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            made = make()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(SECONDS)
            found, about = _outcome(made, use)
            if found not in OUTCOMES[:2]:
                print(f"{name}: {found}: {about[-900:]}", file=sys.stderr, flush=True)
            os._exit(OUTCOMES.index(found))
        os._exit(OUTCOMES.index("crash"))
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status):
        return OUTCOMES[os.WEXITSTATUS(status)]
    found = "hang" if os.WTERMSIG(status) == signal.SIGALRM else "crash"
    print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def _outcome(made: Any, use: Callable[[Any], str]) -> tuple[str, str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        about = use(made)
        found = "silently wrong" if about else "taken"
    except UserError as error:
        found, about = ("one line" if str(error).isprintable() else "traceback"), str(error)
    except MemoryError:
        found, about = "over memory", traceback.format_exc()
    except BaseException:
        found, about = "traceback", traceback.format_exc()
    took = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return ("over memory", f"{took} bytes; {about}") if took > MUCH else (found, about)


def show(what: str, found: dict[str, Counter[str]], heads: tuple[str, ...] = OUTCOMES) -> None:
    """Counts by name as a table in Markdown, and their sums."""
    print(f"| {what} | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
    for name, row in {**found, "all": sum(found.values(), Counter[str]())}.items():
        print(f"| {name} | {' | '.join(str(row[head]) for head in heads)} |")
