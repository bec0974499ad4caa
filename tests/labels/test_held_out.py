"""The held-out clips stay the same when others are added."""

import numpy as np
import torch
from places import DATA

from alpamayo_toy import load_labels
from alpamayo_toy.labels.held_out import split, split_hash


def test_the_split_stays_when_clips_are_added() -> None:
    labels = load_labels(DATA / "labels.npz")
    _, before = split(labels.select(torch.arange(12)), 0.3)
    _, after = split(labels, 0.3)
    assert set(before.clip_id) <= set(after.clip_id)
    assert set(after.clip_id) - set(before.clip_id) <= set(labels.clip_id[12:])
    assert 0.28 < np.mean([split_hash(f"clip-{i}") < 0.3 for i in range(5000)]) < 0.32


def test_folds_hold_every_clip_out_once() -> None:
    labels = load_labels(DATA / "labels.npz")
    sides = [split(labels, 0.2, fold) for fold in range(5)]
    held = np.concatenate([side.clip_id for _, side in sides])
    assert sorted(held) == sorted(labels.clip_id)
    for train, side in sides:
        assert len(train) + len(side) == len(labels)
        assert not set(train.clip_id) & set(side.clip_id)
    assert list(sides[0][1].clip_id) == list(split(labels, 0.2)[1].clip_id)
