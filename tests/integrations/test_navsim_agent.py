"""A NAVSIM agent in one file: the student's own poses, from the contract of a stand-in, with numpy alone."""

import ast
import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from places import Command
from taught import built, left, stirred

from alpamayo_toy import Labels, Scenario, Scene
from alpamayo_toy.errors import UserError
from alpamayo_toy.integrations.release import AGENT, write_agent
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.training.config import TrainConfig

COMMANDS = {"LEFT": 0, "STRAIGHT": 1, "RIGHT": 2, None: 3}


@dataclass
class Sampling:
    """nuPlan's TrajectorySampling, as far as an agent sees it."""

    time_horizon: float
    interval_length: float


class AbstractAgent:
    """NAVSIM's, as far as an agent sees it."""

    def __init__(self, trajectory_sampling: Sampling, requires_scene: bool = False) -> None:
        self._trajectory_sampling = trajectory_sampling


@dataclass
class Trajectory:
    """NAVSIM's, with its own check."""

    poses: np.ndarray
    trajectory_sampling: Sampling

    def __post_init__(self) -> None:
        sampling = self.trajectory_sampling
        assert self.poses.shape == (round(sampling.time_horizon / sampling.interval_length), 3)
        assert self.poses.dtype == np.float32


@pytest.fixture
def navsim(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, dict[str, Any]] = {
        "navsim.agents.abstract_agent": {"AbstractAgent": AbstractAgent},
        "navsim.common.dataclasses": {
            "SensorConfig": SimpleNamespace(build_no_sensors=lambda: "no sensors"),
            "Trajectory": Trajectory,
        },
        "nuplan.planning.simulation.trajectory.trajectory_sampling": {"TrajectorySampling": Sampling},
    }
    for name, content in parts.items():
        words = name.split(".")
        for i in range(1, len(words)):
            monkeypatch.setitem(sys.modules, ".".join(words[:i]), ModuleType(words[i - 1]))
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


def labels(history: bool) -> Labels:
    made = left(48)
    past = 3 + torch.randn(48, 16, 4, generator=torch.Generator().manual_seed(0))
    return replace(made, history=past if history else None)


def student(integrator: str, history: bool = True, **options: Any) -> Student:
    made = labels(history)
    return stirred(build_student(StudentConfig(**options), made, made.scene(), integrator, 0)).eval()


def agent_of(folder: Path) -> Any:
    """The agent of a written folder, imported as NAVSIM would."""
    spec = importlib.util.spec_from_file_location("navsim_agent", folder / "navsim_agent.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    agent = module.StudentAgent()
    agent.initialize()
    return agent


def statuses(seed: int, command: str | None) -> Any:
    """An AgentInput of a car that turns and heads west, across the seam of headings."""
    draw = np.random.default_rng(seed)
    headings = np.cumsum(draw.normal(0, 0.3, 4))
    headings = (headings - headings[-1]) % (2 * np.pi) - np.pi
    one_hot = np.eye(4, dtype=int)[COMMANDS[command]]
    speeds = draw.uniform(-1, 15, 4)
    seen = [
        SimpleNamespace(
            ego_pose=np.array([0.0, 0.0, headings[i]], dtype=np.float32),
            ego_velocity=np.array([speeds[i], 0.1], dtype=np.float32),
            ego_acceleration=np.zeros(2, dtype=np.float32),
            driving_command=one_hot,
        )
        for i in range(4)
    ]
    return SimpleNamespace(ego_statuses=seen)


def scene_of(given: Any, scenario: int, history: bool) -> Scene:
    """The same in this project's words, by another way: between each two statuses four steps."""
    v = torch.tensor([float(status.ego_velocity[0]) for status in given.ego_statuses])
    yaw = torch.tensor(np.unwrap([float(status.ego_pose[2]) for status in given.ego_statuses])).float()
    share = torch.arange(15) % 5 / 5
    rows = torch.arange(15) // 5
    past = torch.zeros(1, 16, 4)
    for column, values in ((2, yaw), (3, v)):
        past[0, :15, column] = values[rows] + share * (values[rows + 1] - values[rows])
        past[0, 15, column] = values[3]
    return Scene(torch.tensor([scenario]), v[-1:], past if history else None)


@pytest.mark.parametrize(
    ("integrator", "history", "options"),
    [
        ("euler", True, {"modes": 6, "spread": True}),
        ("trapezoid", True, {}),
        ("euler", False, {"modes": 2, "layers": 1}),
        ("trapezoid", True, {"inputs": ["v0", "scenario"]}),
    ],
)
@pytest.mark.usefixtures("navsim")
@torch.no_grad()
def test_its_poses_are_the_students(integrator: str, history: bool, options: dict[str, Any], tmp_path: Path) -> None:
    model = student(integrator, history, **options)
    write_agent(model, tmp_path)
    agent = agent_of(tmp_path)
    assert agent.name() == "StudentAgent"
    assert agent.get_sensor_config() == "no sensors"
    for seed, (command, scenario) in enumerate([("LEFT", Scenario.LEFT), ("STRAIGHT", -1), ("RIGHT", -1), (None, -1)]):
        for i in range(5):
            given = statuses(10 * seed + i, command)
            wanted = model(scene_of(given, int(scenario), history)).likeliest().trajectories[0, 0, :40, :3]
            found = agent.compute_trajectory(given)
            assert np.abs(found.poses - wanted.numpy()).max() < 1e-4


@pytest.mark.usefixtures("navsim")
@torch.no_grad()
def test_what_is_far_from_training_is_cut_off_where_the_student_cuts_it(tmp_path: Path) -> None:
    model = student("trapezoid", history=False)
    write_agent(model, tmp_path)
    agent = agent_of(tmp_path)
    for speed in (200.0, -200.0, 0.0):
        given = statuses(0, "LEFT")
        for status in given.ego_statuses:
            status.ego_velocity[0] = speed
        wanted = model(scene_of(given, int(Scenario.LEFT), False)).trajectories[0, 0, :40, :3]
        assert np.abs(agent.compute_trajectory(given).poses - wanted.numpy()).max() < 1e-3


def test_it_needs_python_3_9_and_numpy_alone() -> None:
    tree = ast.parse(AGENT.read_text(), feature_version=(3, 9))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in found} == {"json", "pathlib", "typing", "numpy", "navsim", "nuplan"}
    signatures = [node for node in ast.walk(tree) if isinstance(node, ast.arg | ast.FunctionDef)]
    assert not any(isinstance(part, ast.BinOp) for node in signatures for part in [getattr(node, "annotation", None)])


def test_what_navsim_cannot_be_given_is_one_line(tmp_path: Path) -> None:
    made = left(16)
    for config, labels_of, said in (
        (StudentConfig(output="residuals"), made, "a student of residuals has no actions"),
        (StudentConfig(), made.with_teacher(made.teacher[:, :, :30]), "wants 40 poses at 0.1 s, .* 30 steps of 0.1 s"),
        (StudentConfig(), replace(made, dt=0.2), r"64 steps of 0\.2 s"),
    ):
        with pytest.raises(UserError, match=said):
            write_agent(build_student(config, labels_of, labels_of.scene(), "euler", 0), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_export_writes_it(command: Command, tmp_path: Path) -> None:
    from taught import FEW, scenario_config

    checkpoint.save(tmp_path / "mine.pt", TrainConfig(scenario_config("LEFT"), FEW), 0, built())
    result = command("export", "checkpoint=mine.pt", "navsim=agent")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "agent: agent/navsim_agent.py, _target_: navsim_agent.StudentAgent\n"
    assert {path.name for path in (tmp_path / "agent").iterdir()} == {"navsim_agent.py", "student.npz"}
    assert {path.name for path in tmp_path.iterdir()} == {"mine.pt", "agent"}
