"""Whatever rollout and inverse are given: ValueError or TypeError that names the argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from alpamayo_toy import UnicycleRollout, estimate_v0, recover_v0, trajectory_to_actions

WRONG: dict[str, Any] = {
    "a number": 3.0,
    "a list": [[0.0, 0.0]] * 8,
    "nothing": None,
    "text": "text",
    "numpy": np.zeros((8, 2)),
    "float8": torch.zeros(8, 2).to(torch.float8_e4m3fn),
    "integers": torch.zeros(8, 2, dtype=torch.int64),
    "complex": torch.zeros(8, 2, dtype=torch.complex64),
    "sparse": torch.zeros(8, 2).to_sparse(),
    "meta": torch.zeros(8, 2, device="meta"),
    "nested": torch.nested.nested_tensor([torch.zeros(8, 2)]),
}
CALLS: dict[str, tuple[Callable[..., Any], dict[str, torch.Tensor]]] = {
    "rollout": (UnicycleRollout(), {"actions": torch.zeros(8, 2), "v0": torch.tensor(3.0)}),
    "inverse": (
        trajectory_to_actions,
        {"waypoints": torch.zeros(8, 2), "yaw": torch.zeros(8), "v0": torch.tensor(3.0)},
    ),
    "estimate_v0": (estimate_v0, {"history_waypoints": torch.zeros(8, 2), "history_yaw": torch.zeros(8)}),
    "recover_v0": (recover_v0, {"waypoints": torch.zeros(8, 2)}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_tensor_of_numbers_is_named(name: str, kind: str) -> None:
    call, given = CALLS[name]
    for argument in given:
        with pytest.raises((TypeError, ValueError), match=f"^{argument} must be a"):
            call(**{**given, argument: WRONG[kind]})
    call(**given)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dt", [0, None, 1e-6, "0.1", -0.1, float("nan"), float("inf"), True, [0.1], torch.tensor(0.1)])
def test_a_time_step_that_is_none_is_named(name: str, dt: Any) -> None:
    call, given = CALLS[name]
    with pytest.raises((TypeError, ValueError), match=r"^dt must be"):
        UnicycleRollout(dt) if name == "rollout" else call(**given, dt=dt)


def test_numbers_of_numpy_are_time_steps() -> None:
    actions, v0 = torch.ones(8, 2), torch.tensor(3.0)
    for dt in (np.float64(0.1), np.float32(0.5), 1):
        assert torch.equal(UnicycleRollout(dt)(actions, v0), UnicycleRollout(float(dt))(actions, v0))
