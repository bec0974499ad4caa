"""Label sets in small shards, and what lies in them."""

import os
import resource
import signal
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from places import DATA

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.route import straight_ahead
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.stored import building, convert
from alpamayo_toy.labels.stored.building import Builder, finish
from alpamayo_toy.labels.stored.label_set import LabelSet, open_set

LABELS = DATA / "labels.npz"


def odd_clips() -> Labels:
    """24 clips as float32, with odd strings, some history and some context."""
    found = load_labels(LABELS)
    past = torch.zeros(24, 16, 4)
    past[..., 0] = found.v0[:, None].float() * torch.linspace(-1.5, 0, 16)
    past[..., 3] = found.v0[:, None].float()
    past[::3] = torch.nan
    return replace(
        found,
        teacher=found.teacher.float(),
        ground_truth=found.teacher[:, 0].float(),
        history=past,
        context=torch.full((24, 2), 0.5),
        context_names=("rain", "night"),
        route=routes(24),
        route_source="file",
        text=np.array([["", "größer", "slow down", "停"][i % 4] for i in range(24)]),
        t0_us=torch.arange(24) * 1_000_000,
    )


def routes(n: int) -> torch.Tensor:
    """Straight ahead, NaN for every fourth clip and beyond half of the way of every other."""
    points = straight_ahead(torch.zeros(())).repeat(n, 1, 1)
    points[::4] = torch.nan
    points[1::2, 10:] = torch.nan
    return points


def stored(folder: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch, rows: int = 5) -> LabelSet:
    """A set in shards of a few rows."""
    monkeypatch.setattr(building, "SHARD_BYTES", rows * labels.teacher[0].numel() * 4)
    with Builder(folder, "0123456789abcdef") as builder:
        for some in torch.arange(len(labels)).split(7):
            builder.add(labels.select(some))
    assert builder.common is not None
    return finish(folder, builder.common, builder.entries, [], {})


def same(one: Labels, other: Labels) -> None:
    for name, value in vars(one).items():
        given = getattr(other, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.double().nan_to_num(7e7), given.double().nan_to_num(7e7)), name
        else:
            assert np.array_equal(value, given), name


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pieces(folder: Path, labels: Labels, count: int) -> list[Path]:
    """The clips as several labels.npz."""
    folder.mkdir()
    paths = []
    for i, some in enumerate(torch.arange(len(labels)).chunk(count)):
        paths.append(folder / f"{i}.npz")
        write(labels.select(some), paths[-1])
    return paths


def convert_in_small_steps(folder: Path, out: Path, ready: Connection) -> None:
    """For a process of its own: says when it begins."""
    torch.set_num_threads(1)
    convert.UNIT_FILES, building.SHARD_BYTES = 1, 30_000
    ready.send(None)
    convert.convert(sorted(folder.iterdir()), out)


def full_disk() -> None:
    """For a process of its own: a limit on file size stands for the disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def open_with_few_files(path: Path, answer: Connection) -> None:
    """For a process of its own: three files more may be opened; answers with what opening a set says."""
    free = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 3, free + 3))
    try:
        open_set(path)
    except UserError as error:
        answer.send(str(error))
