"""A small student that predicts acceleration and curvature, and the rollout that turns them into a trajectory."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alpamayo_toy.kinematics.action_space import ActionSpace as ActionSpace
    from alpamayo_toy.kinematics.inverse import estimate_v0 as estimate_v0
    from alpamayo_toy.kinematics.inverse import trajectory_to_actions as trajectory_to_actions
    from alpamayo_toy.kinematics.manoeuvres import Scenario as Scenario
    from alpamayo_toy.kinematics.recovery import recover_v0 as recover_v0
    from alpamayo_toy.kinematics.rollout import UnicycleRollout as UnicycleRollout
    from alpamayo_toy.kinematics.trajectory import Labels as Labels
    from alpamayo_toy.kinematics.trajectory import Prediction as Prediction
    from alpamayo_toy.kinematics.trajectory import Scene as Scene
    from alpamayo_toy.labels.loading import load_labels as load_labels
    from alpamayo_toy.students.checkpoint import load_student as load_student

__version__ = "0.1.0"

_HOMES = {
    "ActionSpace": "kinematics.action_space",
    "Labels": "kinematics.trajectory",
    "Prediction": "kinematics.trajectory",
    "Scenario": "kinematics.manoeuvres",
    "Scene": "kinematics.trajectory",
    "UnicycleRollout": "kinematics.rollout",
    "estimate_v0": "kinematics.inverse",
    "load_labels": "labels.loading",
    "load_student": "students.checkpoint",
    "recover_v0": "kinematics.recovery",
    "trajectory_to_actions": "kinematics.inverse",
}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    """Public names are imported when asked for: `import alpamayo_toy` and `--help` need not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'alpamayo_toy' has no attribute {name!r}")
    return getattr(import_module(f"alpamayo_toy.{_HOMES[name]}"), name)
