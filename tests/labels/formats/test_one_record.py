"""What one record says, on its borders: short plans, two keys of one field, times between microseconds, rows beside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records_of_clips import SECOND, XYZ, js, npz, rows, samples
from written import CLIPS, K, N

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError


def test_thirty_steps_are_of_a_tenth_of_a_second_and_fewer_must_say_it(tmp_path: Path) -> None:
    js(rows(pred_xyz=lambda i: XYZ[i, :, :30]))(tmp_path)
    assert load_labels(tmp_path).dt == 0.1
    js(rows(pred_xyz=lambda i: XYZ[i, :, :29]))(tmp_path)
    with pytest.raises(UserError, match="clip clip-0 has 29 steps and no length of a step is said"):
        load_labels(tmp_path)


def test_two_keys_of_one_field_may_differ_by_what_print_rounds(tmp_path: Path) -> None:
    js(rows(pred_xyz=lambda i: XYZ[i], pred_xy=lambda i: XYZ[i, ..., :2] + 1.9e-3))(tmp_path)
    assert len(load_labels(tmp_path)) == N
    js(rows(pred_xyz=lambda i: XYZ[i], pred_xy=lambda i: XYZ[i, ..., :2] + 2.1e-3))(tmp_path)
    with pytest.raises(UserError, match="pred_xy of clip clip-0 says something else than pred_xyz"):
        load_labels(tmp_path)


def test_flat_numbers_are_as_many_as_is_said(tmp_path: Path) -> None:
    """6 samples are said, and 84 numbers are 7 of 4 waypoints."""
    for count, taken in ((72, True), (84, False)):
        js([{"clip_id": "a", "t0_us": 0, "dt": 0.5, "n_traj": 6, "pred_xyz": list(np.arange(float(count)))}])(tmp_path)
        if taken:
            assert load_labels(tmp_path).teacher.shape == (1, 6, 4, 4)
            continue
        with pytest.raises(UserError, match="pred_xyz of clip a must have shape"):
            load_labels(tmp_path)


def test_samples_of_one_clip_have_one_step(tmp_path: Path) -> None:
    content = samples(dt=0.1)
    content[1]["dt"] = 0.2
    js(content)(tmp_path)
    with pytest.raises(UserError, match="clip clip-0 at t0 0 us has samples of other steps"):
        load_labels(tmp_path)


def test_a_speed_that_only_some_clips_have_is_not_passed_over(tmp_path: Path) -> None:
    speeds = np.full(N, 5.0)
    speeds[2] = np.nan
    npz(clip_id=np.array(CLIPS), t0_us=np.arange(N) * SECOND, pred_xyz=XYZ, v0=speeds)(tmp_path)
    with pytest.raises(UserError, match="v0 of clip clip-2 holds NaN"):
        load_labels(tmp_path)


def test_seconds_are_rounded_to_microseconds(tmp_path: Path) -> None:
    js(rows(t0_us=None, t0_s=8.2, pred_xyz=lambda i: XYZ[i]))(tmp_path)  # 8.2 * 1e6 is less in float64
    assert load_labels(tmp_path).t0_us.tolist() == [8_200_000] * N


def test_what_was_driven_may_stand_beside_every_sample(tmp_path: Path) -> None:
    driven = np.repeat(XYZ[:, :1], K, 1)
    npz(clip_id=np.array(CLIPS), t0_us=np.arange(N) * SECOND, pred_xyz=XYZ, gt_xyz=driven)(tmp_path)
    truth = load_labels(tmp_path).ground_truth
    assert truth is not None
    assert np.abs(truth[..., :2].numpy() - XYZ[:, 0, :, :2]).max() < 1e-9


@pytest.mark.parametrize("rows_there", [N - 1, N + 1])
@pytest.mark.parametrize("key", ["t0_us", "v0", "source", "cot", "gt_xyz", "ego_history_xyz"])
def test_each_field_has_a_row_for_each_clip(tmp_path: Path, key: str, rows_there: int) -> None:
    """Rows are joined by their place: one too few or too many, and all behind it would be another clip's."""
    content = {
        "t0_us": np.arange(N) * SECOND,
        "v0": np.full(N, 5.0),
        "source": np.array(CLIPS),
        "cot": np.array(CLIPS),
        "gt_xyz": XYZ[:, 0],
        "ego_history_xyz": np.zeros((N, 16, 3)),
    }
    content[key] = np.resize(content[key], (rows_there, *content[key].shape[1:]))
    npz(clip_id=np.array(CLIPS), pred_xyz=XYZ, **content)(tmp_path)
    with pytest.raises(UserError, match=f"{N} clip_id but {rows_there} rows in {key}"):
        load_labels(tmp_path)


@pytest.mark.parametrize(
    ("said", "dt"),
    [
        ({"pred_tvals": (0.2 * np.arange(1, 65)).tolist()}, 0.2),
        ({"pred_tvals": (0.2 * np.arange(1, 65) + 1e-4 * (np.arange(64) % 2)).tolist()}, 0.200002),
        ({"pred_tvals": (0.2 * np.arange(1, 65) + 2e-2 * (np.arange(64) % 2)).tolist()}, None),
        ({"pred_tvals": (-0.2 * np.arange(1, 65)).tolist()}, None),
        ({"horizon_s": 12.8}, 0.2),  # of 64 steps
        ({"horizon_s": 0}, None),
        ({"fps": 5}, 0.2),
        ({"fps": 1e-3}, None),  # of 1000 s, which is no time step
        ({"fps": 0.9e-3}, None),
        ({"dt_ms": 200}, 0.2),
    ],
)
def test_the_length_of_a_step_is_said_in_one_of_many_ways(
    said: dict[str, Any], dt: float | None, tmp_path: Path
) -> None:
    js(rows(pred_xyz=lambda i: XYZ[i], **said))(tmp_path)
    if dt is None:
        with pytest.raises(UserError, match=rf"{next(iter(said))} of clip clip-0|dt is 1000"):
            load_labels(tmp_path)
    else:
        assert load_labels(tmp_path).dt == pytest.approx(dt, abs=2e-6)


@pytest.mark.parametrize(("steps", "named"), [(3, False), (4, True)])
def test_an_array_of_four_points_may_be_a_trajectory(steps: int, named: bool, tmp_path: Path) -> None:
    js(rows(my_key=lambda i: XYZ[i, :, :steps], dt=0.5))(tmp_path)
    with pytest.raises(UserError) as refused:
        load_labels(tmp_path)
    assert ("--map teacher=my_key" in str(refused.value)) is named
