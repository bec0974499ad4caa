"""A student as a NAVSIM agent, in one file beside student.npz: Python 3.9 and numpy 1.23 are enough, nothing of ours.

export.py navsim=OUT writes both. NAVSIM shows no route: a student that needs one drives blind here.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

try:
    from navsim.agents.abstract_agent import AbstractAgent
    from navsim.common.dataclasses import SensorConfig, Trajectory
    from nuplan.planning.simulation.trajectory.trajectory_sampling import TrajectorySampling
except ImportError:  # without NAVSIM there is Planner alone
    AbstractAgent = object

COMMANDS = ("LEFT", "STRAIGHT", "RIGHT", "")  # of driving_command, the last one unknown
STATUS_S = 0.5  # seconds between ego statuses
FARTHEST = 10  # standard deviations, at which inputs are cut off
POSES, STEP_S = 40, 0.1


class Planner:
    """The student in numpy: what four ego statuses say -> its likeliest trajectory.

    Inputs that NAVSIM has not are missing, as in training; a command counts where training has shown that manoeuvre.
    """

    def __init__(self, path: Any) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.weights = {name: file[name].astype(np.float64) for name in file.files if name != "about"}
            self.about = json.loads(str(file["about"]))

    def plan(self, headings: np.ndarray, speeds: np.ndarray, command: np.ndarray) -> np.ndarray:
        """headings (4,) rad and signed speeds (4,) m/s every 0.5 s, command (4,) one-hot -> (T, 4) = x, y, yaw, v."""
        w, about = self.weights, self.about
        v0 = float(speeds[-1])
        parts = [w["encoder.scenario.weight"][self._scenario(command)]]
        known = {"v0": np.array([v0]), "history": self._profiles(headings, speeds)}
        for name in about["numbers"]:
            missing = w["encoder.missing." + name]
            value = known.get(name)
            if value is None or name not in about["inputs"]:
                parts.append(missing)
                continue
            z = (value - w["encoder." + name + "_mean"]) / w["encoder." + name + "_std"]
            parts.append(np.clip(z, -FARTHEST, FARTHEST))
        numbers = _silu(w["encoder.mix.weight"] @ np.concatenate(parts) + w["encoder.mix.bias"])
        for i, layer in enumerate(about["layers"]):
            numbers = w[layer + ".weight"] @ (_silu(numbers) if i else numbers) + w[layer + ".bias"]
        return self._rolled_out(self._actions(numbers, v0), v0)

    def _scenario(self, command: np.ndarray) -> int:
        """The row of a command's manoeuvre, the last one where it is unknown."""
        names = self.about["scenarios"]
        said = COMMANDS[int(np.argmax(command))]
        number = names.index(said) if said in names and "scenario" in self.about["inputs"] else len(names)
        return number if self.weights["encoder.seen"][number] else len(names)

    def _profiles(self, headings: np.ndarray, speeds: np.ndarray) -> Any:
        """Speeds less that at t0, then heading changes, at the student's steps; None beyond the statuses."""
        steps = self.about["history_steps"]
        if steps == 0 or (steps - 1) * self.about["dt"] > (len(speeds) - 1) * STATUS_S + 1e-9:
            return None
        at = np.arange(1 - steps, 1) * self.about["dt"]
        times = np.arange(1 - len(speeds), 1) * STATUS_S
        v, yaw = (np.interp(at, times, column) for column in (speeds, np.unwrap(headings)))
        return np.concatenate([v - v[-1], np.diff(yaw)])

    def _actions(self, numbers: np.ndarray, v0: float) -> np.ndarray:
        """(T, 2) of the likeliest mode."""
        w, modes, horizon = self.weights, self.about["modes"], self.about["horizon"]
        size = modes * horizon * 2
        likeliest = int(np.argmax(numbers[size : size + modes])) if modes > 1 else 0
        raw = numbers[:size].reshape(modes, horizon, 2)[likeliest] + np.array(self.about["apart"])[likeliest]
        raw = raw * np.array([1.0, min(100 / (v0 * v0 + 25), 4.0)])
        mean, std, bound = (w["action_space." + name] for name in ("mean", "std", "bound"))
        return np.asarray(bound * np.tanh((raw * std + mean) / bound))

    def _rolled_out(self, actions: np.ndarray, v0: float) -> np.ndarray:
        dt, euler = self.about["dt"], self.about["integrator"] == "euler"
        x, y, yaw, v = 0.0, 0.0, 0.0, v0
        states = []
        for a, kappa in actions.tolist():
            faster = max(v + a * dt, 0.0) if euler else v + a * dt
            turned = yaw + kappa * (v * dt if euler else v * dt + a * dt * dt / 2)
            if euler:
                x, y = x + v * np.cos(yaw) * dt, y + v * np.sin(yaw) * dt
            else:
                x += (v * np.cos(yaw) + faster * np.cos(turned)) * dt / 2
                y += (v * np.sin(yaw) + faster * np.sin(turned)) * dt / 2
            yaw, v = turned, faster
            states.append((x, y, yaw, v))
        return np.array(states)


def _silu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (1 + np.exp(-x)))


class StudentAgent(AbstractAgent):  # type: ignore[misc]  # of NAVSIM where that is there
    """_target_: navsim_agent.StudentAgent, with student: the path of student.npz, beside this file by default."""

    requires_scene = False

    def __init__(self, student: str = "", trajectory_sampling: Any = None) -> None:
        sampling = trajectory_sampling or TrajectorySampling(time_horizon=POSES * STEP_S, interval_length=STEP_S)
        super().__init__(sampling)
        self.sampling = sampling
        self.path = student or str(Path(__file__).with_name("student.npz"))

    def name(self) -> str:
        return type(self).__name__

    def get_sensor_config(self) -> Any:
        return SensorConfig.build_no_sensors()

    def initialize(self) -> None:
        self.planner = Planner(self.path)

    def compute_trajectory(self, agent_input: Any) -> Any:
        """40 poses (x, y, heading) at 0.1 s, t0 not among them."""
        statuses = agent_input.ego_statuses
        headings = np.array([status.ego_pose[2] for status in statuses], dtype=np.float64)
        speeds = np.array([status.ego_velocity[0] for status in statuses], dtype=np.float64)
        poses = self.planner.plan(headings, speeds, statuses[-1].driving_command)[:POSES, :3]
        return Trajectory(poses.astype(np.float32), self.sampling)
