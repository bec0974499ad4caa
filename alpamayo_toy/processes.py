"""Jobs in processes of their own: one that is killed costs its job alone, and a signal ends all of them in order."""

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from tqdm import tqdm

from alpamayo_toy.errors import Interrupted, UserError

Result = TypeVar("Result")
SAVING = 3  # s that a process has to save its work once its parent is gone
PARENT_DEATH_SIGNAL = 1  # prctl(2)

if sys.platform == "linux" and sys.orig_argv[-1].startswith("from multiprocessing.forkserver import"):
    # this is the fork server, which would notice the end of its parent once it has imported all the rest only
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


class Killed(UserError):
    """Something ended a job's process before the job was done."""


def in_processes(
    do: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    told: Callable[[int, Any], None] | None = None,
    needs: Sequence[str] = (),
) -> Iterator[Result | Exception]:
    """do(*job) of each job in turn, as map() gives it, up to `workers` at once; the exception where one was raised.

    With told, do gets a function told(value) as well, which calls told(number of the job, value) here. needs: modules
    that do will import, beside its own. A process does one job after another; one that dies costs its job, which is
    Killed, and another takes its place. SIGINT and SIGTERM reach the processes as SIGTERM and are Interrupted once all
    have ended; a second one kills them. No process outlives this one by more than SAVING seconds. do is a function of
    an importable module; it, jobs and results are pickled. An exception that cannot be is a RuntimeError that says it.
    """
    # not ProcessPoolExecutor: where one of its processes dies, it ends the others too and cannot say whose job it was
    context = prepared(do.__module__, *needs)
    left = deque(enumerate(jobs))
    found: dict[int, Result | Exception] = {}
    busy: dict[Connection, tuple[BaseProcess, int]] = {}
    free: list[tuple[Connection, BaseProcess]] = []

    def stop(received: Sequence[int]) -> None:
        for process, _ in busy.values():
            process.terminate() if len(received) < 2 else process.kill()

    def begin() -> None:
        number, job = left.popleft()
        try:
            link, process = free.pop() if free else _started(context, do, told is not None)
        except (OSError, EOFError) as error:
            found[number] = Killed(f"process not started ({error})")
            return
        busy[link] = process, number
        with suppress(OSError):  # it is dead already: collect() will say so
            link.send(job)

    def collect() -> None:
        for link in cast(list[Connection], wait(list(busy))):
            process, number = busy[link]
            try:
                what, value = link.recv()
            except (EOFError, OSError):
                process.join()
                del busy[link]
                found[number] = Killed(_how_it_ended(process.exitcode))
                continue
            if what == "told":
                if told is not None:
                    told(number, value)
                continue
            found[number] = _raised(link, *value) if what == "raised" else value
            del busy[link]
            free.append((link, process))

    with signals(stop) as stopped:
        try:
            for number in range(len(jobs)):
                while number not in found and not stopped:
                    while left and len(busy) < workers and not stopped:
                        begin()
                    if stopped:
                        stop(stopped)  # the one that was starting when the signal came
                    if busy:  # where nothing could be started, there is nobody to wait for
                        collect()
                if stopped:
                    break
                while left and len(busy) < workers and len(found) <= workers and not stopped:
                    begin()  # they work on while what is found is looked at
                yield found.pop(number)
            while busy:
                collect()
        finally:
            stop(stopped)
            for link, process in [*free, *((link, process) for link, (process, _) in busy.items())]:
                link.close()
                process.join()
    if stopped:
        raise Interrupted("stopped", stopped[0])


@contextmanager
def signals(then: Callable[[Sequence[int]], None] | None = None) -> Iterator[Sequence[int]]:
    """A list that every SIGINT and SIGTERM puts its number into instead of what it does else; then(list) follows.

    Stays empty beside the main thread, where signals cannot be had.
    """
    received: list[int] = []

    def take(number: int, _: object) -> None:
        received.append(number)
        if then is not None:
            then(received)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, take) for kind in kinds]
    try:
        yield received
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _started(context: BaseContext, do: Callable[..., Any], tells: bool) -> tuple[Connection, BaseProcess]:
    """A process that waits for jobs, and the link to it."""
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, do, tells), daemon=True)  # type: ignore[attr-defined]
    with _ctrl_c_held_back():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Ctrl-C comes after the block, and never to processes that start in it: a terminal sends it to all there are."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it beside the first process and lets signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(link: Connection, do: Callable[..., Any], tells: bool) -> None:
    """Do the jobs that come through the link for as long as there is another end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a killed process would leave behind
    end_with_parent()
    told = {"told": lambda value: link.send(("told", value))} if tells else {}
    with suppress(EOFError, OSError):
        while True:
            job = link.recv()
            try:
                link.send(("done", do(*job, **told)))
            except Exception as error:
                link.send(("raised", (repr(error), traceback.format_exc())))
                try:
                    link.send(error)
                except Exception:  # it cannot be pickled, and nothing was sent
                    link.send(None)


def _raised(link: Connection, said: str, lines: str) -> Exception:
    """What a job raised, which comes behind its words; a RuntimeError of them where it cannot be sent or made anew."""
    error = None
    with suppress(Exception):
        error = link.recv()
    error = error if isinstance(error, Exception) else RuntimeError(said)
    error.add_note(lines)
    return error


def start_method() -> str:
    """How processes begin: forked from one that has imported what they need, where that can be done."""
    return "forkserver" if "forkserver" in get_all_start_methods() else "spawn"


def prepared(*modules: str) -> BaseContext:
    """Where processes begin: these modules are imported once, before anything forks."""
    context = get_context(start_method())
    context.set_forkserver_preload(["__main__", __name__, *modules])
    return context


def end_with_parent() -> None:
    """From now on this process gets SIGTERM once its parent is gone, and SIGKILL SAVING seconds later."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING)
    os.kill(os.getpid(), signal.SIGKILL)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"process killed by signal {-code}, perhaps for want of memory"
    return f"process ended with exit code {code}"
