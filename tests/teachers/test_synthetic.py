"""The synthetic teacher: mixtures, seeds, windows, fresh drivers of a scene, hidden scenes drawn again."""

import pytest
import torch
from composed import scenario_config
from taught import made

from alpamayo_toy import Scenario
from alpamayo_toy.evaluation.groups import PHASES, phase_of
from alpamayo_toy.teachers import synthetic
from alpamayo_toy.teachers.config import MixtureConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.scenarios import CONTEXT, PARAMETERS
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_mixture_draws_every_part() -> None:
    counts = torch.bincount(made("ALL", 2000).scenario, minlength=len(Scenario))
    assert len(counts) == len(Scenario)
    assert counts.min() > 200
    weighted = MixtureConfig({"a": ScenarioConfig("STOP", weight=3.0), "b": ScenarioConfig("START")})
    labels = SyntheticTeacher(weighted).labels(1000, 1, 0)
    assert 0.7 < (labels.scenario == Scenario.STOP).double().mean() < 0.8


def test_the_same_seed_makes_the_same_labels() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"))
    assert torch.equal(teacher.labels(50, 2, 7).teacher, teacher.labels(50, 2, 7).teacher)
    assert not torch.equal(teacher.labels(50, 2, 7).teacher, teacher.labels(50, 2, 8).teacher)


@pytest.mark.parametrize("scenario", ["ALL", "ROAD"])
def test_how_many_drive_at_once_changes_nothing(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = SyntheticTeacher(scenario_config(scenario))
    together = teacher.labels(12, 3, 7).teacher
    for few in (1, 20):
        monkeypatch.setattr(synthetic, "DRIVES", few)
        torch.testing.assert_close(teacher.labels(12, 3, 7).teacher, together, rtol=0, atol=1e-5)


def test_nobody_drives_further_off_than_two_and_a_half_standard_deviations() -> None:
    drivers = SyntheticTeacher._drivers(1000, 4, generator())
    assert drivers.shape == (1000, 4, 4)
    assert drivers.amin() == -2.5
    assert drivers.amax() == 2.5


def test_windows_lie_before_in_and_after_a_manoeuvre_and_beside_the_lane() -> None:
    labels = SyntheticTeacher(scenario_config("LEFT")).labels(2000, 1, 0)
    assert labels.context is not None
    assert labels.route is not None
    left = dict(zip(labels.context_names, labels.context.unbind(-1), strict=True))
    phase = phase_of(labels.context, labels.v0)
    assert [PHASES[i] for i in range(3)] == ["before", "in", "after"]
    shares = torch.bincount(phase, minlength=3) / len(labels)
    for share, low, high in zip(shares.tolist(), (0.25, 0.3, 0.1), (0.5, 0.6, 0.3), strict=True):
        assert low < share < high
    assert float(left["turn_angle_deg"][phase == 2].abs().max()) < 1e-3
    assert float(left["turn_angle_deg"][phase == 0].min()) > 59
    beside = labels.route[:, 0].norm(dim=-1)
    planned = beside < 1e-3
    assert 0.25 < float(planned.double().mean()) < 0.35  # at its beginning, as planned
    assert 0.2 < float(beside[~planned].square().mean().sqrt()) < 0.7
    off = (labels.v0 - left["speed_mps"])[~planned]
    assert 0.1 < float(off.std()) < 1.0


def test_history_is_what_was_driven_until_t0() -> None:
    labels = SyntheticTeacher(scenario_config("ALL"), SyntheticConfig(history=True)).labels(400, 1, 0)
    assert labels.history is not None
    assert float(labels.history[:, -1, :3].abs().max()) < 1e-4
    torch.testing.assert_close(labels.history[:, -1, 3], labels.v0, rtol=0, atol=1e-4)
    x, y, yaw, v = labels.history.double().unbind(-1)
    torch.testing.assert_close(x.diff(dim=-1), (v * yaw.cos())[:, :-1] * 0.1, rtol=0, atol=1e-3)
    torch.testing.assert_close(y.diff(dim=-1), (v * yaw.sin())[:, :-1] * 0.1, rtol=0, atol=1e-3)


def test_what_each_reveal_tells() -> None:
    told = {
        reveal: SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal=reveal)).labels(30, 1, 0)
        for reveal in ("all", "scene", "none")
    }
    assert {reveal: labels.context_names for reveal, labels in told.items()} == {
        "all": CONTEXT,
        "scene": PARAMETERS[1:],
        "none": (),
    }
    assert [labels.route is None for labels in told.values()] == [False, True, True]
    assert [labels.route_source for labels in told.values()] == ["file", "", ""]
    scene = told["scene"].context
    assert scene is not None
    assert float(scene[:, PARAMETERS.index("turn_angle_deg") - 1].min()) >= 60  # nothing of it has been turned yet


@pytest.mark.slow
def test_fresh_drivers_share_the_scene_and_hidden_scenes_are_drawn_again() -> None:
    spreads = []
    for reveal in ("all", "scene", "none"):
        teacher = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(val_scenes=60, reveal=reveal))
        labels, others = teacher.held_out(32, 0)
        assert labels.teacher.shape == others.shape == (60, 32, 64, 4)
        assert not torch.equal(labels.teacher, others)
        ends = others[..., -1, :2]
        spreads.append(float((ends - ends.mean(1, keepdim=True)).norm(dim=-1).mean()))
        apart = labels.teacher[..., -1, :2].mean(1) - ends.mean(1)  # two draws of one distribution
        assert float(apart.norm(dim=-1).mean()) < spreads[-1]
    assert spreads[2] > 2 * max(spreads[:2])


def test_redrawn_scenes_keep_scenario_and_initial_speed() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"))
    part, scenes = teacher._drawn(500, generator())
    scenario = teacher._names()[part]
    again, redrawn = teacher._redrawn(scenario, scenes[:, 0], generator(1))
    assert torch.equal(again, part)  # every scenario is one part here
    assert torch.equal(redrawn[:, 0], scenes[:, 0])
    assert not torch.equal(redrawn, scenes)
    turning = (scenario == Scenario.LEFT) | (scenario == Scenario.U_TURN)
    assert bool((redrawn[turning, 4] > 0).all())
    assert bool((redrawn[scenario == Scenario.STOP, 1] == 0).all())


def test_what_is_hidden_is_drawn_again_by_the_teachers_own_odds() -> None:
    """3 to 1 by weight; and by the width of its range, as one of twice the speeds is at this one half as often."""
    parts = {"a": ScenarioConfig("LEFT", weight=3.0, speed_mps=[4.0, 8.0]), "b": ScenarioConfig("RIGHT")}
    for wide, share in (([4.0, 8.0], 3 / 4), ([4.0, 12.0], 6 / 7)):
        parts["b"] = ScenarioConfig("RIGHT", speed_mps=wide)
        teacher = SyntheticTeacher(MixtureConfig(parts), SyntheticConfig(reveal="speed"))
        part, _ = teacher._redrawn(torch.zeros(4000, dtype=torch.int64), torch.full((4000,), 6.0), generator())
        assert float((part == 0).double().mean()) == pytest.approx(share, abs=0.02)


def test_held_out_scenes_are_none_of_those_trained_on() -> None:
    teacher = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(scenes=64, val_scenes=64))
    training, (held_out, others) = teacher.training(0), teacher.held_out(6, 0)
    moving = training.v0[training.v0 > 0]
    assert not torch.isin(held_out.v0, moving).any()
    assert not torch.equal(held_out.teacher, others)


@pytest.mark.parametrize("name", ["LEFT", "START"])
def test_who_is_at_the_very_beginning_has_done_nothing_yet(name: str) -> None:
    """Its speed is the scene's to the bit, its last action none, and it waits for as long as the scene says."""
    cars = SyntheticTeacher(scenario_config(name)).cars(20, generator(), first=True)
    assert cars.course is not None
    scene = cars.course.scene
    assert torch.equal(cars.v0, scene[:, 0])
    assert not cars.last.any()
    waits = torch.where(scene[:, 0] == 0, scene[:, 2], 0.0)
    torch.testing.assert_close(cars.wait, waits, rtol=0, atol=1e-5)
    x = scene[:, :1] * torch.arange(-15, 1) * 0.1
    torch.testing.assert_close(cars.history[..., 0], x)
    assert not cars.history[..., 1:3].any()


def test_others_come_too_fast_or_too_slow_and_misjudge_by_up_to_eight_deviations() -> None:
    labels = SyntheticTeacher(scenario_config("STRAIGHT"), SyntheticConfig(history=True)).labels(800, 1, 0)
    assert labels.history is not None
    assert labels.context is not None
    planned = labels.history[:, :, 1].abs().amax(1) == 0
    told = labels.context[:, labels.context_names.index("speed_mps")]
    off = (labels.history[:, 0, 3] / told - 1)[~planned]  # 1.5 s before t0
    assert 0.2 < float(off.std()) < 0.4
    misjudged = SyntheticTeacher._misjudged(20_000, generator())
    assert float(misjudged.std()) == pytest.approx(3.85, abs=0.15)
    assert (float(misjudged.min()), float(misjudged.max())) == (-8.0, 8.0)


def test_windows_are_cut_until_a_second_and_a_half_behind_a_scenes_end() -> None:
    cars = SyntheticTeacher(scenario_config("LEFT")).cars(1500, generator())
    assert cars.course is not None
    behind = cars.course.time_at((cars.along - cars.course.begin).unsqueeze(-1))[:, 0] - cars.course.end
    assert 1.0 < float(behind.max()) < 3.0  # who is faster than the course has come somewhat further
    assert 0.02 < float((behind > 0.5).double().mean()) < 0.2


def test_samples_that_are_scored_beside_others_and_in_a_crowd_are_all_drawn_by_themselves() -> None:
    teacher = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(val_scenes=4, reveal="none"), horizon=8)
    scored, others = teacher.held_out(6, 0)
    drawn = [scored.teacher, others, teacher.crowd(4, 6, 0), teacher.labels(4, 6, 0).teacher]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert not torch.isin(one[..., -1, 0], other[..., -1, 0]).any()


@pytest.mark.parametrize("reveal", ["all", "scene", "none", "speed"])
def test_a_scenario_that_is_not_told_is_one_of_the_future(reveal: str) -> None:
    labels = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal=reveal)).labels(3, 1, 0)
    assert labels.scenario_source == ("future" if reveal == "speed" else "file")
