"""Asking a model that fails now and then, at some clips always, for a while at all: what it can do is had, and once."""

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_in import CLIPS, Drawn, Hub

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.stored.label_set import LabelSet
from alpamayo_toy.teachers import asking, generate
from alpamayo_toy.teachers.asking import Asker, GaveUp, joined
from alpamayo_toy.teachers.generate import by_model

OUTAGE = Hub(429)


class Night:
    """Fails at some clips once, at some always, and during an outage at all that it is asked for."""

    def __init__(self, clips: list[str], once: int, always: int, outage: range) -> None:
        chosen = random.Random(0).sample(clips, once + always)
        self.once, self.always, self.outage = set(chosen[:once]), set(chosen[once:]), outage
        self.calls = 0
        self.answered: list[str] = []

    def __call__(self, clip_id: str, before: int) -> None:
        self.calls += 1
        if self.calls - 1 in self.outage:
            raise OUTAGE
        if clip_id in self.always | self.once:
            self.once.discard(clip_id)
            raise RuntimeError("CUDA error: unspecified launch failure")
        self.answered.append(clip_id)


def test_a_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(generate, "MODEL_CLIPS", 8)
    clips = [(f"clip-{i:02d}", 5_100_000) for i in range(60)]
    fails = Night([name for name, _ in clips], 6, 2, range(20, 45))

    def run() -> LabelSet:
        made = by_model(Drawn(fails), "Drawn", clips, 2, 0, tmp_path / "set", (1, 1))
        assert made is not None
        return made

    with pytest.raises(GaveUp, match=r"20 clips in a row failed, first Drawn: clip clip-20 .* asked too often"):
        run()
    kept = len(fails.answered)
    assert run().facts["dropped"] == {"failed": 60 - len(fails.answered)}
    assert 8 <= kept < len(fails.answered) < 58, "the outage went on for 5 clips"
    for _ in range(2):
        capsys.readouterr()
        assert run().facts["dropped"] == {"failed": 2}
    assert {line.split(": clip ")[1].split(" at ")[0] for line in capsys.readouterr().err.splitlines()} == fails.always
    names = load_labels(tmp_path / "set").clip_id.tolist()
    assert sorted(names) == sorted(fails.answered), "what is done is not done again"
    assert len(names) == 58


def speeds(labels: Labels) -> dict[str, list[float]]:
    """Of the samples of each clip, which go straight on for 6.4 s."""
    ends = labels.teacher[:, :, -1, 0] / 6.4
    return {str(name): rows.tolist() for name, rows in zip(labels.clip_id, ends, strict=True)}


def test_a_clips_samples_do_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    clips = [(f"clip-{i}", 5_100_000) for i in range(6)]
    by_model(Drawn(), "Drawn", clips, 3, 0, tmp_path / "all", (1, 1))
    by_model(Drawn(), "Drawn", clips[::-1][:4], 3, 0, tmp_path / "some", (1, 1))
    whole, some = (speeds(load_labels(tmp_path / name)) for name in ("all", "some"))
    assert len({tuple(found) for found in whole.values()}) == 6, "other clips at the same t0 have other samples"
    assert some == {name: whole[name] for name in some}
    by_model(Drawn(), "Drawn", clips, 3, 1, tmp_path / "seed", (1, 1))
    assert not set(map(tuple, whole.values())) & set(map(tuple, speeds(load_labels(tmp_path / "seed")).values()))


def asked(model: Drawn, clips: list[tuple[str, int]], **how: Any) -> list[Labels | UserError]:
    return list(Asker(model, "Drawn", how.pop("samples", 2), 0, **how).labels(clips))


@pytest.mark.parametrize(
    ("fits", "at_once", "sizes"),
    [
        (6, None, [6]),
        (5, None, [6, 3, 3]),
        (2, None, [6, 3, 2, 2, 2]),
        (1, None, [6, 3, 2, 1, 1, 1, 1, 1, 1]),
        (6, 4, [4, 2]),
        (1, 2, [2, 1, 1, 1, 1, 1, 1]),
        (6, 99, [6]),
    ],
)
def test_too_many_samples_are_asked_for_in_halves(
    fits: int, at_once: int | None, sizes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    model = Drawn(fits=fits)
    first, second = asked(model, CLIPS[:2], samples=6, at_once=at_once)
    assert isinstance(first, Labels)
    assert isinstance(second, Labels)
    assert model.sizes == sizes * 2
    (drawn,) = speeds(first).values()
    assert len(set(drawn)) == 6, "every piece draws anew"
    assert first.text is not None
    said = [float(number) for number in re.findall(r"at ([\d.]+) m/s", str(first.text[0]))]
    assert said == pytest.approx(drawn, abs=1e-3), "texts and samples fit"
    told = capsys.readouterr().err.splitlines()
    assert len(told) == len({size for size in sizes if size > fits}), "each size is spoken of once"
    assert all("at once are too much for the GPU's memory" in line for line in told)


def test_one_sample_that_does_not_fit_is_a_failure() -> None:
    (failure,) = asked(Drawn(fits=0), CLIPS[:1])
    assert str(failure).startswith("Drawn: clip clip-0 at t0 5100000 us: OutOfMemoryError: CUDA out of memory.")


def test_pieces_with_rotations_and_without_texts_are_joined() -> None:
    one = {"pred_xyz": np.zeros((1, 1, 2, 64, 3)), "pred_rot": torch.zeros(1, 1, 2, 64, 3, 3), "ego_future_xyz": 7}
    both = joined([one, {**one, "ego_future_xyz": 8}])
    assert both["pred_xyz"].shape == (1, 1, 4, 64, 3)
    assert both["pred_rot"].shape == (1, 1, 4, 64, 3, 3)
    assert both["ego_future_xyz"] == 7
    assert "cot" not in both
    texts = joined([{**one, "cot": "a"}, {**one, "cot": [["b", "c"]]}])["cot"]
    assert texts == ["a", "b", "c"]


def test_a_failed_clip_is_asked_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    slept: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", slept.append)

    def twice(error: Exception) -> Drawn:
        def fails(clip_id: str, before: int) -> None:
            if before < 2:
                raise error

        return Drawn(fails)

    (failure,) = asked(twice(OUTAGE), CLIPS[:1], retry=1)
    assert "429" in str(failure)
    assert slept == [60]
    (made,) = asked(twice(OUTAGE), CLIPS[:1], retry=2)
    assert isinstance(made, Labels)
    assert slept == [60, 60, 120]
    (again,) = asked(twice(ValueError("no")), CLIPS[:1], retry=2)
    assert isinstance(again, Labels)
    assert torch.equal(again.teacher, made.teacher), "the attempt does not move the seed"
    assert slept == [60, 60, 120], "only a busy hub is waited for"
    assert capsys.readouterr().err.splitlines()[0].startswith("waiting 60 s: Hub: 429 Client Error")


def test_failures_in_a_row_stop_it_and_name_the_first() -> None:
    def fails(clip_id: str, before: int) -> None:
        if clip_id != "clip-1":
            raise ValueError(f"no {clip_id}")

    with pytest.raises(
        GaveUp, match=r"2 clips in a row failed, first Drawn: clip clip-2 at t0 5100002 us: .* no clip-2;"
    ):
        asked(Drawn(fails), CLIPS, stop_after=2)
    assert sum(isinstance(made, Labels) for made in asked(Drawn(fails), CLIPS, stop_after=3)) == 1


def test_what_was_made_before_it_gave_up_is_kept(tmp_path: Path) -> None:
    def fails(clip_id: str, before: int) -> None:
        if clip_id > "clip-1":
            raise ValueError("no")

    with pytest.raises(GaveUp):
        by_model(Drawn(fails), "Drawn", CLIPS, 2, 0, tmp_path / "set", (1, 1), stop_after=2)
    model = Drawn()
    made = by_model(model, "Drawn", CLIPS, 2, 0, tmp_path / "set", (1, 1))
    assert made is not None
    assert len(made) == 4
    assert dict(model.asked) == {"clip-2": 1, "clip-3": 1}
    again = Drawn()
    by_model(again, "Drawn", CLIPS, 2, 0, tmp_path / "set", (1, 1))
    assert again.asked == {}


def test_clips_that_never_come_do_not_stop_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "MODEL_CLIPS", 4)
    clips = [(f"{'good' if i % 2 else 'bad'}-{i}", 5_100_000) for i in range(12)]

    def fails(clip_id: str, before: int) -> None:
        if clip_id.startswith("bad"):
            raise ValueError("t0 lies behind its end")

    for _ in range(2):
        model = Drawn(fails)
        made = by_model(model, "Drawn", clips, 2, 0, tmp_path / "set", (1, 1), stop_after=2)
        assert made is not None
        assert made.facts["dropped"] == {"failed": 6}
    assert sorted(model.asked) == sorted(name for name, _ in clips if name.startswith("bad"))


def test_a_run_that_is_killed_while_it_asks_again_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "MODEL_CLIPS", 2)
    failures: dict[str, list[type[BaseException]]] = {"clip-0": [ValueError], "clip-2": [ValueError, KeyboardInterrupt]}

    def fails(clip_id: str, before: int) -> None:
        if failures.get(clip_id):
            raise failures[clip_id].pop(0)

    def run() -> dict[str, int]:
        model = Drawn(fails)
        try:
            by_model(model, "Drawn", CLIPS, 2, 0, tmp_path / "set", (1, 1))
        except KeyboardInterrupt:
            model.asked["killed"] = 1
        return dict(model.asked)

    def names() -> list[str]:
        return list(load_labels(tmp_path / "set").clip_id.tolist())

    run()
    assert names() == ["clip-1", "clip-3"]
    assert run() == {"clip-0": 1, "clip-2": 1, "killed": 1}
    assert names() == ["clip-1", "clip-3"], "the old set is whole"
    assert run() == {"clip-2": 1}
    assert names() == ["clip-1", "clip-0", "clip-3", "clip-2"]
    assert run() == {}
