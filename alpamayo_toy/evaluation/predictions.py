"""write_predictions(): what a student predicts of labels, clip by clip, for whoever goes on with it."""

from pathlib import Path
from typing import Any

import numpy as np

from alpamayo_toy.files import replacing
from alpamayo_toy.kinematics.trajectory import Labels, Prediction
from alpamayo_toy.labels.untrusted.parquet_file import pyarrow


def write_predictions(path: Path, labels: Labels, prediction: Prediction) -> None:
    """The M trajectories of N clips, in the ego frame at t0.

    .npz: clip_id (N,), t0_us (N,), v0 (N,), actions (N, M, T, 2), trajectories (N, M, T, 4), probabilities (N, M), dt.
    .parquet: a row for each clip and trajectory, sample_idx and probability, lists a, kappa, x, y, yaw, v of T numbers.
    Raises UserError where pyarrow is not installed.
    """
    arrays: dict[str, Any] = {
        name: getattr(prediction, name).numpy() for name in ("actions", "trajectories", "probabilities")
    }
    if path.suffix == ".npz":
        arrays |= {"clip_id": labels.clip_id.astype(str), "t0_us": labels.t0_us.numpy(), "v0": labels.v0.numpy()}
        with replacing(path) as file:
            np.savez_compressed(file, dt=labels.dt, **arrays)
        return
    pa, pq = pyarrow(path)
    n, m = arrays["probabilities"].shape
    of_clip = np.repeat(np.arange(n), m)
    columns: dict[str, Any] = {
        "clip_id": labels.clip_id[of_clip].tolist(),
        "t0_us": labels.t0_us.numpy()[of_clip],
        "v0": labels.v0.numpy()[of_clip],
        "sample_idx": np.tile(np.arange(m, dtype=np.int32), n),
        "probability": arrays["probabilities"].ravel(),
    }
    for name, values in (("a kappa", arrays["actions"]), ("x y yaw v", arrays["trajectories"])):
        for i, column in enumerate(name.split()):
            columns[column] = list(values[..., i].reshape(n * m, -1))
    with replacing(path) as file:
        pq.write_table(pa.table({**columns, "dt": np.full(n * m, labels.dt)}), file)
