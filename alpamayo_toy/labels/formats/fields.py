"""What the names in a file mean: a row a field, with the names that public code gives it, the surest first.

Names are compared without case, underscores and what stands in front of a dot. A new layout is a name in a row here.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from alpamayo_toy.errors import UserError

ROWS = """
teacher: pred_xyz pred_future_xyz predicted_xyz predicted_future_xyz trajectory_xyz trajectories_xyz pred_xyz_full
teacher: pred_trajectory_xyz pred_traj_xyz pred_xy pred_xy_full pred_future_xy predicted_xy predicted_future_xy
teacher: trajectory_xy trajectories_xy
teacher?: pred_trajectory pred_trajectories predicted_trajectory predicted_trajectories pred_traj pred_trajs
teacher?: pred_waypoints predicted_waypoints trajectories trajectory trajs traj waypoints predictions prediction
teacher?: preds pred teacher trajectory_poses
rotation: pred_rot pred_future_rot predicted_rotation predicted_rot trajectory_rot trajectories_rot pred_rotation
rotation: pred_rot_full
ground_truth: gt_xyz gt_future_xyz ego_future_xyz future_xyz gt_xyz_full gt_trajectory_xyz ground_truth_xyz gt_xy
ground_truth: gt_xy_full gt_future_xy ego_future_xy future_xy ground_truth_xy gt_trajectory gt_traj gt_waypoints
ground_truth: gt_future ground_truth_trajectory ground_truth target_xyz expert_xyz actual_xyz driven_xyz gt
ground_truth_rotation: gt_rot gt_future_rot ego_future_rot future_rot gt_rotation gt_trajectory_rot
ground_truth_rotation: ground_truth_rotation ground_truth_rot
history: ego_history_xyz history_xyz hist_xyz hist_xyz_full ego_hist_xyz past_xyz ego_past_xyz ego_history_xy
history: history_xy hist_xy hist_xy_full past_xy gt_history_xyz history_trajectory past_trajectory ego_history
history: history hist
history_rotation: ego_history_rot history_rot hist_rot ego_hist_rot past_rot ego_past_rot history_rotation
history_rotation: ego_history_rotation hist_rotation
actions: output_trajectory acceleration_curvature accel_curvature a_kappa
clip_id: clip_id clip_ids clip_uuid clip sample_token sample_tokens scenario_id scene_id scene_ids scene_token
clip_id: sequence_id segment_id video_uuid
clip_id?: token uuid sample_id scene id name
sample: sample_idx sample_index trajectory_sample_id sample_no sample_number traj_idx traj_id trajectory_idx
sample: trajectory_index trajectory_id mode_idx sample
samples: n_traj num_traj num_traj_samples n_samples num_samples num_trajectory_samples n_trajs
steps: n_future num_future num_waypoints n_waypoints n_steps num_timesteps num_future_steps horizon
text: pred_cocs pred_coc cots cot coc_texts coc_text coc_trace cocs coc chain_of_causation chain_of_thought
text: pred_coc_raw pred_coc_ml reasoning text
v0: v0
source: source
times: ego_future_tvals future_tvals pred_tvals
t0*: t0 timestamp t0_timestamp ego_t0 keyframe_timestamp event_timestamp sample_timestamp frame_timestamp
t0*: anchor_timestamp
dt*: dt time_step timestep delta_t time_delta step_length sampling_interval sample_interval interval_length
rate: fps hz rate_hz frequency frequency_hz freq freq_hz sample_rate sample_rate_hz sampling_rate sampling_rate_hz
rate: trajectory_hz output_hz prediction_hz pred_hz frame_rate framerate
duration: duration_sec horizon_s horizon_sec horizon_seconds time_horizon
"""
"""Field: its names, the surest first. *: with a unit behind, as in t0_us. ?: a teacher only where they hold (..., T, 2
or 3); a clip only beside its trajectories, not around a list of them."""
UNITS = {
    "t0": {"_us": 1.0, "_ns": 1e-3, "_ms": 1e3, "_s": 1e6, "_sec": 1e6, "_seconds": 1e6},
    "dt": {"": 1.0, "_s": 1.0, "_sec": 1.0, "_seconds": 1.0, "_ms": 1e-3, "_us": 1e-6},
}


class Meaning(NamedTuple):
    """The field that a key names; rank: how surely, 0 first; scale: to microseconds, or to seconds of a step."""

    field: str
    rank: int
    scale: float = 1.0


@lru_cache(maxsize=4096)
def _plain(key: str) -> str:
    return re.sub(r"[\s_-]", "", key.rsplit(".", 1)[-1].lower())


def _table() -> tuple[dict[str, Meaning], set[str]]:
    """What each name means; the names of teachers and clips that mean it whatever they hold and wherever they stand."""
    found: dict[str, Meaning] = {}
    sure: set[str] = set()
    for row in ROWS.strip().splitlines():
        said, _, names = row.partition(":")
        field = said.rstrip("?*")
        for name in names.split():
            for unit, scale in UNITS[field].items() if said.endswith("*") else [("", 1.0)]:
                found.setdefault(_plain(name + unit), Meaning(field, len(found), scale))
            sure |= {_plain(name)} if said in ("teacher", "actions", "clip_id") else set()
    return found, sure


TABLE, SURELY = _table()
FIELDS = tuple(dict.fromkeys(meaning.field for meaning in TABLE.values()))
TIMES = ("t0_us", "t0_ms", "t0_s", "t0_ns", "fps")
MAPPED = (*(field for field in FIELDS if field not in ("t0", "rate")), *TIMES, "ignore")
"""The names that --map takes."""


class Names:
    """The table, with what a user says by hand in front of it: {"teacher": "my_key", "dt": "0.5"}."""

    def __init__(self, by_hand: Mapping[str, str] | None = None) -> None:
        self.dt: float | None = None
        self._keys: dict[str, Meaning] = {}
        self.by_hand: set[str] = set()
        for said, key in (by_hand or {}).items():
            if said not in MAPPED:
                raise UserError(f"map: there is no field {said}; known: {', '.join(MAPPED)}")
            number = _number(key)
            if said in ("dt", "fps") and number is not None:
                self.dt = number if said == "dt" else 1 / number if number else 0.0
                if not 0 < self.dt < 1e9:
                    raise UserError(f"map: {said}={key} must be above 0")
                continue
            field = {"fps": "rate"}.get(said, "t0" if said.startswith("t0_") else said)
            self._keys[key] = Meaning(field, -1, UNITS["t0"].get(said.removeprefix("t0"), 1.0))
            self.by_hand.add(field)

    def of(self, key: str) -> Meaning | None:
        """What a key means, None where no row has it."""
        if self._keys:
            told = self._keys.get(key) or self._keys.get(key.rsplit(".", 1)[-1])
            if told is not None:
                return told
        return TABLE.get(_plain(key))

    def has_heading(self, key: str) -> bool:
        """Whether the third column of a name's positions is their heading, not their height."""
        return _plain(key) == "trajectoryposes"

    def is_sure(self, key: str) -> bool:
        """Whether a key names a teacher's trajectories whatever it holds, or a clip wherever it stands."""
        return _plain(key) in SURELY


NAMES = Names()
"""The table alone."""


def parsed(told: str) -> tuple[str, Names]:
    """The layout and the names of "auto,teacher=my_key,dt=0.5". Raises UserError."""
    layout, *pairs = told.split(",")
    if "=" in layout:
        layout, pairs = "auto", told.split(",")
    by_hand = {}
    for pair in filter(None, pairs):
        field, equals, key = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            raise UserError(f"map: {pair} must be field=key, such as teacher=my_key or dt=0.5")
        by_hand[field] = key
    return layout, Names(by_hand)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


TOKENS = re.compile(r"[a-z]+[0-9]*|[0-9]+")
WORDS = """
others: camera cameras frame frames image video inference gen runtime gpu diffusion jpeg keyframe
steps: dt fps hz freq frequency timestep timesteps interval
times: t0 timestamp timestamps stamp time
tracks: pred preds predicted prediction predictions traj trajs trajectory trajectories gt truth future expert target
tracks: history hist past waypoints plan plans
no metres: action actions control controls norm normalized normalised vel velocity velocities speed speeds acc accel
no metres: acceleration curvature kappa rot rotation rotations quat yaw heading token tokens std var cov score scores
no metres: logits logprob embedding embeddings hidden features noise delta deltas residual image frames intrinsics
no metres: extrinsics v
moments: frame frames keyframe time timestamp step window t
closer: normalized normalised unit units
"""
"""Words in names that no row has, by what such a name may be about."""


def _about(subject: str) -> frozenset[str]:
    rows = (row.partition(": ") for row in WORDS.strip().splitlines())
    return frozenset(word for said, _, words in rows if said == subject for word in words.split())


OF_OTHERS, OF_STEPS, OF_TIMES, OF_TRACKS, NO_METRES, OF_MOMENTS, CLOSER = map(
    _about, ("others", "steps", "times", "tracks", "no metres", "moments", "closer")
)


@lru_cache(maxsize=4096)
def tokens(key: str) -> frozenset[str]:
    """The words of a key."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", key.rsplit(".", 1)[-1])
    return frozenset(TOKENS.findall(spaced.lower()))
