"""Malformed label files, each read in a process of its own that may take 3 GB and 10 s.

python tests/malformed_files.py [COUNT] [SEED]: so many files, over the containers in turn, and a table in Markdown of
what became of them in `check` and load_labels. Labels are silently wrong where numbers are not finite, or are none of
the drives that the file is of though neither of both says a word. Over memory is more than 500 MB, too.
"""

import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from malformed import CONTAINERS, Draw, malformed

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.soundness.checking import check_paths

MEMORY, SECONDS, MUCH = 3 << 30, 10, 500 << 20
FAR = 0.5  # m: a byte that changed in a file without checksums moves a point by less than that unseen
OUTCOMES = ("labels", "one line", "silently wrong", "traceback", "crash", "hang", "over memory")


def silently_wrong(path: Path, xy: np.ndarray) -> str:
    """What is wrong with labels that were loaded, and nothing says so; else "". Raises UserError where none are."""
    told = None
    with suppress(UserError):
        report = check_paths([path], "auto", False, False)[2]["files"][0]
        told = report["errors"] or report["warnings"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        labels = load_labels(path)
    for name in ("teacher", "v0", "ground_truth"):
        numbers = getattr(labels, name)
        if numbers is not None and not bool(numbers.isfinite().all()):
            return f"{name} is not finite"
    t = min(xy.shape[2], labels.teacher.shape[2])
    found = labels.teacher[..., :t, :2].numpy()
    apart = np.abs(found[:, :, None, None] - xy[..., :t, :]).max((-1, -2))  # (n, k, N, K)
    if said or told or bool((apart.min(-1) < FAR).all(1).any(1).all()):
        return ""
    return f"{tuple(labels.teacher.shape)} of {xy.shape}, {apart.min(-1).max():.2f} m off"


def outcome(path: Path, xy: np.ndarray) -> tuple[str, str]:
    """What becomes of a file, and more about it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, about = "labels", ""
    try:
        about = silently_wrong(path, xy)
        found = "silently wrong" if about else found
    except UserError as error:
        found, about = ("one line" if str(error).isprintable() else "traceback"), str(error)
    except MemoryError:
        found = "over memory"
    except BaseException:
        found, about = "traceback", traceback.format_exc()
    took = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return ("over memory", f"{took} bytes; {about}") if took > MUCH else (found, about)


def tried(container: str, seed: int, folder: Path) -> str:
    """What becomes of one file, in a process of its own."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            folder.mkdir()
            path, xy = malformed(container, Draw(f"{container} {seed}"), folder)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(SECONDS)
            found, about = outcome(path, xy)
            if found not in OUTCOMES[:2]:
                print(f"{container} {seed}: {found}: {about[-900:]}", file=sys.stderr, flush=True)
            os._exit(OUTCOMES.index(found))
        os._exit(OUTCOMES.index("crash"))
    status = os.waitpid(child, 0)[1]
    shutil.rmtree(folder, ignore_errors=True)
    if os.WIFEXITED(status):
        return OUTCOMES[os.WEXITSTATUS(status)]
    found = "hang" if os.WTERMSIG(status) == signal.SIGALRM else "crash"
    print(f"{container} {seed}: {found}", file=sys.stderr, flush=True)
    return found


def main(count: int, seed: int) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, Counter[str]] = {container: Counter() for container in CONTAINERS}
    with tempfile.TemporaryDirectory() as room:
        for container in ("json", "npz", "pt"):  # what is loaded once is loaded here; Parquet would start threads
            folder = Path(room, container)
            folder.mkdir()
            outcome(*malformed(container, Draw(0), folder))
        for number, container in zip(range(count), itertools.cycle(CONTAINERS), strict=False):
            found[container][tried(container, seed + number, Path(room, "one"))] += 1
    rows = [(name, one.total(), *(one[outcome] for outcome in OUTCOMES)) for name, one in found.items()]
    rows.append(("all", count, *(sum(one[outcome] for one in found.values()) for outcome in OUTCOMES)))
    for row in (("container", "files", *OUTCOMES), ["---"] * (2 + len(OUTCOMES)), *rows):
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
