"""The synthetic teacher: mixtures, seeds, fresh drivers of a scene, hidden scenes drawn again."""

import torch
from composed import scenario_config
from taught import made

from alpamayo_toy import Scenario
from alpamayo_toy.teachers.config import MixtureConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.scenarios import PARAMETERS
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def test_a_mixture_draws_every_part() -> None:
    counts = torch.bincount(made("ALL", 4000).scenario, minlength=len(Scenario))
    assert len(counts) == len(Scenario)
    assert counts.min() > 400
    weighted = MixtureConfig({"a": ScenarioConfig("STOP", weight=3.0), "b": ScenarioConfig("START")})
    labels = SyntheticTeacher(weighted).labels(4000, 1, 0)
    assert 0.7 < (labels.scenario == Scenario.STOP).double().mean() < 0.8


def test_the_same_seed_makes_the_same_labels() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"))
    assert torch.equal(teacher.labels(50, 2, 7).teacher, teacher.labels(50, 2, 7).teacher)
    assert not torch.equal(teacher.labels(50, 2, 7).teacher, teacher.labels(50, 2, 8).teacher)


def test_fresh_drivers_share_the_scene_and_hidden_scenes_are_drawn_again() -> None:
    shown = SyntheticTeacher(scenario_config("LEFT"))
    hidden = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal="none"))
    spreads = []
    for teacher in (shown, hidden):
        labels = teacher.labels(100, 1, 0)
        fresh = teacher.fresh(labels, 64, 1)
        assert fresh.shape == (100, 64, 64, 4)
        assert not torch.equal(fresh[:, 0], fresh[:, 1])
        spreads.append((fresh[..., -1, :2] - fresh[..., -1, :2].mean(1, keepdim=True)).norm(dim=-1).mean())
    assert hidden.labels(3, 1, 0).context is None
    assert shown.labels(3, 1, 0).context_names == PARAMETERS[1:]
    assert spreads[1] > 2 * spreads[0]


def test_redrawn_scenes_keep_scenario_and_initial_speed() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"))
    generator = torch.Generator().manual_seed(0)
    scenario, scenes = teacher.scenes(500, generator)
    again = teacher.redrawn(scenario, scenes[:, 0], generator)
    assert torch.equal(again[:, 0], scenes[:, 0])
    turning = (scenario == Scenario.LEFT) | (scenario == Scenario.U_TURN)
    assert bool((again[turning, 4] > 0).all())
    assert bool((again[scenario == Scenario.STOP, 1] == 0).all())
