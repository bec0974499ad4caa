"""A small student that predicts acceleration and curvature, and the rollout that turns them into a trajectory."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alpamayo_toy.action_space import ActionSpace as ActionSpace
    from alpamayo_toy.action_space import estimate_v0 as estimate_v0
    from alpamayo_toy.action_space import trajectory_to_actions as trajectory_to_actions
    from alpamayo_toy.checkpoint import load_student as load_student
    from alpamayo_toy.labels import load_labels as load_labels
    from alpamayo_toy.recovery import recover_v0 as recover_v0
    from alpamayo_toy.rollout import UnicycleRollout as UnicycleRollout
    from alpamayo_toy.scenarios import Scenario as Scenario
    from alpamayo_toy.trajectory import Labels as Labels
    from alpamayo_toy.trajectory import Scene as Scene

__version__ = "0.1.0"

_HOMES = {
    "ActionSpace": "action_space",
    "Labels": "trajectory",
    "Scenario": "scenarios",
    "Scene": "trajectory",
    "UnicycleRollout": "rollout",
    "estimate_v0": "action_space",
    "load_labels": "labels",
    "load_student": "checkpoint",
    "recover_v0": "recovery",
    "trajectory_to_actions": "action_space",
}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    """Public names are imported when asked for: `import alpamayo_toy` and `--help` need not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'alpamayo_toy' has no attribute {name!r}")
    return getattr(import_module(f"alpamayo_toy.{_HOMES[name]}"), name)
