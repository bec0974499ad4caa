"""What each step of fit() takes and gives: seeds, gradients, averages, what chooses the best, what ranks say."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from composed import train_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alpamayo_toy.errors import UserError
from alpamayo_toy.ranks import Ranks
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.losses import loss_terms
from alpamayo_toy.training import loop
from alpamayo_toy.training.config import TrainConfig
from alpamayo_toy.training.loop import LossWatch, fit, in_round, schedule
from alpamayo_toy.views.tensorboard import CURVES

SMALL = ("trainer=smoke", "trainer.pictures=0", "student.width=8", "student.embedding=8", "teacher.reveal=scene")
SMALL += ("teacher.scenes=8", "teacher.val_scenes=2")


def small(*overrides: str) -> TrainConfig:
    return train_config(*SMALL, *overrides)


def steps_of(run: Path, name: str) -> list[int]:
    """At which steps a curve has points."""
    return [point.step for point in EventAccumulator(str(run)).Reload().Scalars(CURVES[name][0])]


@pytest.mark.slow
def test_what_adamw_is_given_and_what_is_kept_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipped gradients, planned rates; validated, kept and averaged is a running mean that begins with the first."""
    seen: list[dict[str, Any]] = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Any = None) -> None:
            (group,) = self.param_groups
            norm = torch.stack([p.grad.norm() for p in group["params"]]).norm()
            super().step(closure)
            weights = [p.detach().clone() for p in group["params"]]
            seen.append({"norm": float(norm), "lr": group["lr"], "decay": group["weight_decay"], "weights": weights})
            seen[-1]["betas"] = group["betas"]

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    options = ("trainer.steps=5", "trainer.val_every=2", "trainer.log_every=2", "optimizer.ema_decay=0.75")
    options += ("optimizer.clip_norm=0.01", "optimizer.weight_decay=0.03", "optimizer.lr=0.02", "optimizer.beta2=0.9")
    fit(small(*options, "optimizer.warmup_steps=3"), tmp_path)
    assert [one["norm"] for one in seen] == pytest.approx([0.01] * 5, rel=1e-3)
    assert [one["lr"] for one in seen] == pytest.approx([0.02 * schedule(step, 5, 3) for step in range(5)])
    assert {(one["decay"], one["betas"]) for one in seen} == {(0.03, (0.9, 0.9))}
    averages = [seen[0]["weights"]]
    for one in seen[1:]:
        averages.append([0.75 * a + 0.25 * b for a, b in zip(averages[-1], one["weights"], strict=True)])
    for name in ("best", "last"):
        content = checkpoint.load(tmp_path, name)
        found = [content["weights"][key] for key in content["weights"] if key in names_of(content)]
        torch.testing.assert_close(found, averages[content["step"] - 1])
    assert steps_of(tmp_path, "val/ade") == steps_of(tmp_path, "loss/total") == [2, 4, 5]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert all(point.value > 0.011 for point in events.Scalars(CURVES["train/gradient_norm"][0]))  # before it is cut
    ends = {what: events.Histograms(f"taken actions/{what}")[-1].histogram_value for what in TAKEN}
    for what, value in ends.items():
        most = 0.33 if what.startswith("kappa") else 9.8
        assert max(-value.min, value.max) <= most + 1e-6
    assert ends[TAKEN[0]].min < -0.34  # teachers of LEFT slow down: no curvature is as large
    assert ends[TAKEN[0]].num == 12 * ends[TAKEN[1]].num  # samples of the teacher, one trajectory of the student


TAKEN = ("a, teacher [m per s^2]", "a, student [m per s^2]", "kappa, teacher [1 per m]", "kappa, student [1 per m]")


def names_of(content: dict[str, Any]) -> list[str]:
    """The parameters of a checkpoint's student, in their order."""
    return [name for name, _ in checkpoint.student_of(content, "x")[0].named_parameters()]


@pytest.mark.slow
def test_everything_that_a_step_draws_is_of_the_runs_seed_and_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[tuple[int, int]]] = {"batch_indices": [], "hide": [], "drawing": []}
    built: list[int] = []

    def watch(name: str, place: int) -> None:
        do: Any = getattr(loop, name)

        def watched(*given: Any) -> Any:
            seen[name].append(given[place : place + 2])
            return do(*given)

        monkeypatch.setattr(loop, name, watched)

    for name, place in (("batch_indices", 2), ("hide", 2), ("drawing", 0)):
        watch(name, place)
    build = loop.build_student
    monkeypatch.setattr(loop, "build_student", lambda *given: (built.append(given[4]), build(*given))[1])
    fit(small("trainer.steps=3", "seed=5"), tmp_path)
    assert built == [5]
    assert seen == {name: [(5, 0), (5, 1), (5, 2)] for name in seen}


@pytest.mark.slow
def test_a_teachers_actions_are_cut_off_at_the_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A car that creeps may turn on the spot: no student can."""
    seen: list[torch.Tensor] = []

    def watched(config: Any) -> Any:
        def terms(space: Any, modes: Any, taught: torch.Tensor, *rest: Any) -> dict[str, torch.Tensor]:
            seen.append(taught)
            return loss_terms(config, space, modes, taught, *rest)

        return terms

    monkeypatch.setattr(loop, "build_loss", watched)
    monkeypatch.setattr(loop, "label_actions", lambda teacher, *_: torch.full_like(teacher[..., :2], -50.0))
    fit(small("trainer.steps=2"), tmp_path)
    for taught in seen:
        torch.testing.assert_close(taught, torch.tensor([-9.8, -0.33]).expand_as(taught))
    assert len(seen) == 2


def test_a_step_lies_in_the_round_that_it_was_given_with() -> None:
    """Of 8 steps and 4 more: how far in, and how long that round is."""
    assert [in_round(step, [8, 12]) for step in (0, 7, 8, 11)] == [(0, 8), (7, 8), (0, 4), (3, 4)]


@pytest.mark.slow
def test_the_first_of_the_best_validations_is_kept_by_energy_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run is stopped between them: what was best before it stopped stays the best."""
    asked: list[Any] = []

    def kept(run: Path, steps: int, rows: list[dict[str, float]], *more: str) -> int:
        left = iter(rows)
        with monkeypatch.context() as patch:
            patch.setattr(loop, "scores", lambda student, *_: (asked.append(student), next(left, rows[-1]))[1])
            fit(small("trainer.val_every=1", f"trainer.steps={steps}", *more), run)
        assert len({id(student) for student in asked}) == 1  # the last one's score is its own, not the best one's
        asked.clear()
        step: int = checkpoint.load(run)["step"]
        return step

    one = [{"ade": ade} for ade in (2.0, 1.0, 1.0, 3.0)]
    assert kept(tmp_path / "one", 4, one) == 2
    several = [{"ade": ade, "energy": energy} for ade, energy in ((1.0, 2.0), (2.0, 1.0), (0.5, 1.5))]
    assert kept(tmp_path / "several", 3, several, "student.modes=2") == 2
    assert kept(tmp_path / "one", 6, [{"ade": 1.5}, {"ade": 1.0}], f"trainer.resume={tmp_path / 'one'}") == 2
    assert checkpoint.load(tmp_path / "one", "last")["training"]["best"] == 1.0
    told = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "several")]
    assert [(metrics["best_by"], metrics["last_ade"]) for metrics in told] == [("ade", 1.0), ("energy", 0.5)]


def test_of_several_processes_losses_are_means_and_one_that_is_not_finite_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two steps: 1 and 3 here, 5 and 7 in another process."""
    others = torch.tensor([5.0, 7.0])
    monkeypatch.setattr(Ranks, "gathered", lambda self, own: [own, {"loss/total": others}])
    watch = LossWatch(tmp_path, Ranks(0, 2))

    def seen() -> LossWatch:
        for step, value in ((11, 1.0), (12, 3.0)):
            watch.add(step, {"loss/total": torch.tensor(value, requires_grad=True)})
        return watch

    assert seen().means() == {"loss/total": 4.0}
    assert seen().means() == {"loss/total": 4.0}  # since the last call
    others[1] = torch.nan
    with pytest.raises(UserError, match=r"^loss/total is nan at step 12; there is no checkpoint yet; try a lower"):
        seen().check()
