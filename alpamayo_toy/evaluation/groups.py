"""Groups of clips, by scenario and its phase, Waymo's trajectory bucket and initial speed; what is scored in each."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.kinematics.manoeuvres import WAYMO, waymo_bucket
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.metrics.driving import STANDS
from alpamayo_toy.metrics.scores import Scores
from alpamayo_toy.teachers.scenarios import CONTEXT

PHASES = ("before", "in", "after")
NEAR = 2.0  # m to a stop
NOTHING = 1e-3  # of a turn in degrees, of a shift in metres, of a time in seconds
SPEEDS = (0.6, 5.0, 10.0, 15.0)  # m/s, where the groups by initial speed part


@dataclass(frozen=True)
class Groups:
    """Names in their order, and which of them each clip belongs to, int64 (N,)."""

    names: tuple[str, ...]
    index: Tensor

    def of(self, clip: int) -> str:
        return self.names[int(self.index[clip])]

    def breakdown(self, rows: dict[str, Scores]) -> dict[str, dict[str, Any]]:
        """Clips and ADE of each predictor by the name of the group, the empty ones left out.

        None where a predictor lacks some of a group's clips: its mean would stand beside that of others.
        """
        found = {}
        for number in self.index.unique().tolist():
            mine = self.index == number
            errors = {who: row.per_clip["ade"][mine] for who, row in rows.items() if "ade" in row.per_clip}
            means = {who: mean_of(values) for who, values in errors.items()}
            clips = int(mine.sum())
            ade = {who: entry["mean"] if entry["clips"] == clips else None for who, entry in means.items()}
            found[self.names[number]] = {"clips": clips, "ade": ade}
        return found


def groups_of(labels: Labels, truth: Tensor, v0: Tensor) -> dict[str, Groups]:
    """scenario, waymo (of what was driven, (N, T, 4)), v0 (N,), and phase where what is left of a scenario is told."""
    scenarios = labels.scenario_names
    scenario = torch.where(labels.scenario < 0, len(scenarios), labels.scenario)
    between = (f"{low:g} to {high:g} m/s" for low, high in pairwise(SPEEDS))
    speeds = (f"below {SPEEDS[0]:g} m/s", *between, f"{SPEEDS[-1]:g} m/s and more")
    told = labels.context if labels.context_names == CONTEXT else None
    phases = {} if told is None else {"phase": Groups(PHASES, phase_of(told, v0))}
    return {
        "scenario": Groups((*scenarios, "UNKNOWN"), scenario),
        "waymo": Groups(WAYMO, waymo_bucket(truth, v0)),
        "v0": Groups(speeds, torch.bucketize(v0, v0.new_tensor(SPEEDS), right=True)),
        **phases,
    }


def phase_of(context: Tensor, v0: Tensor) -> Tensor:
    """Which of PHASES (N,) scenes are in, by what is left of them, CONTEXT (N, 9); who stands at its stop is done."""
    left = dict(zip(CONTEXT, context.unbind(-1), strict=True))
    steers = (left["turn_angle_deg"].abs() > NOTHING) | (left["lane_offset_m"].abs() > NOTHING)
    before = (left["speed_onset_s"] > 0) & (~steers | (left["steer_onset_s"] > 0))
    stood = (v0 < STANDS) & (left["stop_m"] < NEAR)
    after = ((left["speed_change_s"] < NOTHING) | stood) & ~steers
    return torch.where(before, 0, torch.where(after, 2, 1))


def mean_of(values: Tensor) -> dict[str, float | int | None]:
    """Mean and number of the values (N,) that are not NaN; None for the mean of nothing."""
    known = values[~values.isnan()].double()
    return {"mean": float(known.mean()) if len(known) else None, "clips": len(known)}
