"""The community's pair of files: what does not fit is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written import N, community

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coc_texts": ["go"]}, "4 clip_ids but 1 rows in coc_texts"),
        ({"trajectory_rot": np.zeros((N, 64, 3))}, r"trajectory_rot must have shape \[4, 64, 3, 3\]"),
        ({"trajectory_xyz": np.zeros((N, 64 * 3 + 1))}, r"trajectory_xyz must have shape \(N, T, 3\)"),
        ({"t0_us": np.zeros(N)}, "t0_us must hold integers"),
    ],
)
def test_community_files_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    community(tmp_path, **change)
    with pytest.raises(UserError, match=message):
        load_labels(tmp_path / "train_labels.npz")


def test_a_history_of_another_length_or_alone_is_named(tmp_path: Path) -> None:
    community(tmp_path)
    np.savez(tmp_path / "train_ego_history.npz", ego_history_xyz=np.zeros((2, 16, 3)))
    with pytest.raises(UserError, match=r"4 clip_ids but 2 rows in train_ego_history\.npz"):
        load_labels(tmp_path)
    with pytest.raises(UserError, match="holds a history only"):
        load_labels(tmp_path / "train_ego_history.npz")
