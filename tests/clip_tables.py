"""A run's folder with a table of clips, as an evaluation leaves it."""

from pathlib import Path

import numpy as np

from alpamayo_toy.evaluation.results import write_clips

N = 40


def write_run(folder: Path, shift: float, seed: int = 0, v0: float = 5.0) -> str:
    """A run's folder with a table of clips whose errors are shifted by so much."""
    errors = np.random.default_rng(seed).uniform(1, 2, N) + shift
    columns = {
        "clip_id": [f'clip "{i}", é' for i in range(N)],
        "t0_us": list(range(N)),
        "scenario": ["LEFT"] * N,
        "waymo": ["STRAIGHT"] * N,
        "v0": [v0] * N,
        "teacher.student.ade": errors.tolist(),
        "teacher.student.miss": [float(e > 1.5) for e in errors],
        "teacher.stationary.ade": [2 * v0] * N,
        "teacher.ridge.ade": [float("nan")] * N,
    }
    write_clips(folder / "clips.csv", columns)
    return str(folder)
