"""The records check themselves."""

from dataclasses import replace

import pytest
from places import DATA

from alpamayo_toy import Labels, load_labels


def test_labels_check_themselves() -> None:
    labels: Labels = load_labels(DATA / "labels.npz")
    with pytest.raises(ValueError, match=r"v0 must have shape \(24,\)"):
        replace(labels, v0=labels.v0[:3])
    with pytest.raises(ValueError, match="scenario_source must be file or future"):
        replace(labels, scenario_source="guess")
