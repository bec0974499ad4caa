"""What one record says, on its borders: short plans, two keys of one field, times between microseconds, rows beside."""

from pathlib import Path

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
