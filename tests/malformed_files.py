"""Malformed label files, each read in a process of its own: what becomes of them in `check` and load_labels.

python tests/malformed_files.py [COUNT] [SEED]: so many files, over the containers in turn, and a table in Markdown.
Labels are silently wrong where numbers are not finite, or are none of the drives that the file is of though neither
load_labels nor `check` says a word.
"""

import itertools
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from limited import fate, show
from malformed import CONTAINERS, Draw, malformed

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.soundness.checking import check_paths

FAR = 0.5  # m: a byte that changed in a file without checksums moves a point by less than that unseen


def silently_wrong(given: tuple[Path, np.ndarray]) -> str:
    """What is wrong with the labels of a file of drives (N, K, T, 2), and nothing says so. Raises UserError."""
    path, xy = given
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


def made(container: str, seed: int, folder: Path) -> tuple[Path, np.ndarray]:
    folder.mkdir()
    return malformed(container, Draw(f"{container} {seed}"), folder)


def main(count: int, seed: int) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, Counter[str]] = {container: Counter() for container in CONTAINERS}
    with tempfile.TemporaryDirectory() as room:
        for container in ("json", "npz", "pt"):  # what is loaded once is loaded here; Parquet would start threads
            with suppress(UserError):
                silently_wrong(made(container, seed, Path(room, container)))
        folder = Path(room, "one")
        for number, container in zip(range(seed, seed + count), itertools.cycle(CONTAINERS), strict=False):
            make = partial(made, container, number, folder)
            found[container][fate(f"{container} {number}", make, silently_wrong)] += 1
            shutil.rmtree(folder, ignore_errors=True)
    show("container", found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
