"""roll_out(): one driver in one scene, what scripts/rollout.py does."""

from pathlib import Path
from typing import Any

from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.evaluation.describe import describe, origin
from alpamayo_toy.files import write_json
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.teacher import synthetic_teacher


def roll_out(config: RolloutConfig, output_dir: Path) -> dict[str, Any]:
    """One driver in one scene of a scenario, without training; writes metrics.json and, with plot, two pictures."""
    teacher = synthetic_teacher(config.scenario, SyntheticConfig(), config.horizon, config.dt)
    labels = teacher.labels(1, 1, config.seed)
    trajectory, v0 = labels.teacher[:, 0], labels.v0
    actions = label_actions(trajectory, v0, config.dt, "euler")
    found = describe(actions, trajectory, v0, config.dt, "euler")
    number = int(labels.scenario[0])
    name = config.scenario.name if number == UNKNOWN_SCENARIO else labels.scenario_names[number]
    metrics = {"command": "rollout", **origin(config.scenario, None, config.seed), "drawn": name, **found}
    write_json(output_dir / "metrics.json", metrics)
    if config.plot:
        from alpamayo_toy.views import figures

        title = [f"{name}, v0 = {float(v0[0]):.1f} m/s"]
        figures.birds_eye(output_dir / "figures" / "birds_eye.png", title, trajectory[:, None], None)
        figures.profiles(
            output_dir / "figures" / "profiles.png", title, trajectory[:, None], v0, None, config.dt, "euler"
        )
    return metrics
