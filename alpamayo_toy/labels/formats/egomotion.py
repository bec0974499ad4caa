"""PhysicalAI-AV's egomotion Parquet: a recorded drive as poses, cut into windows of 1.5 s before t0 and 6.4 s after it.

Columns timestamp (int64, us), qx, qy, qz, qw and x, y, z (m) in the clip's anchor frame, about 100 Hz and sparser.
Velocities, accelerations and curvature are left aside. Needs pyarrow.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import HORIZON
from alpamayo_toy.labels.formats.raw import BEYOND, LARGEST, RawClips
from alpamayo_toy.labels.untrusted.parquet_file import batches, opened, pyarrow

QUATERNION = ("qx", "qy", "qz", "qw")
POSITION = ("x", "y", "z")
STEP_US = 100_000
PAST, FUTURE = 15 * STEP_US, HORIZON * STEP_US
OFFSETS = np.arange(-15, HORIZON + 1) * STEP_US
LONGEST_GAP_US = 500_000
MOST_ROWS = 10_000_000  # a day at 100 Hz
MOST_WINDOWS = 100_000
ROWS_AT_ONCE = 65_536


def matches(names: Collection[str]) -> bool:
    """Whether these are the columns of egomotion Parquet."""
    return {"timestamp", *QUATERNION, *POSITION} <= set(names)


def clips(path: Path, every_s: float = 1.0) -> Iterator[RawClips]:
    """All windows of a drive at once, one every every_s seconds from the first that fits; each bears the drive's name.

    Positions follow the not-a-knot cubic spline through the samples, rotations slerp, both only between the first and
    the last sample. Windows in which samples are more than 0.5 s apart are left out. Raises UserError.
    """
    if not every_s > 0:
        raise UserError(f"{path}: windows must be more than 0 s apart (got every_s={every_s})")
    times, positions, quaternions = _recording(path)
    t0 = _window_starts(path, times, max(round(every_s * 1e6), 1))
    at = t0[:, None] + OFFSETS
    seconds, asked = (times - times[0]) * 1e-6, (at - times[0]) * 1e-6
    xyz = _spline(seconds, positions, asked)
    turned = _matrices(_slerp(seconds, quaternions, asked))
    to_ego = turned[:, 15].transpose(0, 2, 1)
    xyz = (xyz - xyz[:, 15:16]) @ to_ego.transpose(0, 2, 1)
    rotation = to_ego[:, None] @ turned
    name = np.full(len(t0), path.name.split(".")[0])
    yield RawClips(
        clip_id=name,
        source=name,
        t0_us=t0,
        teacher=xyz[:, None, 16:],
        rotation=rotation[:, None, 16:],
        history=xyz[:, :16],
        history_rotation=rotation[:, :16],
        recorded=True,
    )


def _recording(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (n,) us, ascending, positions (n, 3), quaternions (n, 4), of length 1 and without jumps of sign."""
    pa, _ = pyarrow(path)
    names = ["timestamp", *QUATERNION, *POSITION]
    with opened(path) as file:
        _check_columns(path, file, names)
        table = pa.concat_tables(batches(path, file, ROWS_AT_ONCE, names))
        columns = {name: table.column(name).combine_chunks() for name in names}
        nulls = [columns[name].is_null().to_numpy(zero_copy_only=False) for name in names]
        times = columns["timestamp"].cast("int64").fill_null(0).to_numpy()
        poses = np.stack([columns[name].cast("float64").to_numpy(zero_copy_only=False) for name in names[1:]], 1)
    _refuse_row(path, np.any(nulls, axis=0) | ~np.isfinite(poses).all(1), "holds NaN, infinite values or null")
    _refuse_row(path, (np.abs(poses) > LARGEST).any(1), f"holds {BEYOND}")
    lengths = np.linalg.norm(poses[:, :4], axis=1)
    _refuse_row(
        path, ~((lengths > 1e-6) & np.isfinite(lengths)), "holds a quaternion of length 0, which is no rotation"
    )
    order = np.argsort(times, kind="stable")
    times, positions, quaternions = times[order], poses[order, 4:], (poses[:, :4] / lengths[:, None])[order]
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1.0, 1.0).cumprod()
    quaternions[1:] *= flips[:, None]
    first = np.ones(len(times), dtype=bool)
    first[1:] = times[1:] != times[:-1]
    moved = np.abs(np.diff(np.hstack([positions, quaternions]), axis=0)).max(1) > 1e-6
    other = moved & ~first[1:]
    if other.any():
        raise UserError(f"{path}: timestamp {times[int(other.argmax())]} is there twice with different poses; keep one")
    return times[first], positions[first], quaternions[first]


def _check_columns(path: Path, file: Any, names: list[str]) -> None:
    import pyarrow.types as types  # type: ignore[import-untyped]

    schema = file.schema_arrow
    for name in names:
        if schema.names.count(name) != 1:
            raise UserError(f"{path} must have one column {name} (got {schema.names.count(name)})")
        kind, check = schema.field(name).type, types.is_integer if name == "timestamp" else types.is_floating
        if not check(kind):
            wanted = "whole microseconds as int64" if name == "timestamp" else "floats"
            raise UserError(f"{path}: column {name} must hold {wanted} (got {kind})")
    rows = file.metadata.num_rows
    if not 1 < rows <= MOST_ROWS:
        raise UserError(f"{path} holds {rows} poses; a drive's recording has 2 to {MOST_ROWS}")


def _refuse_row(path: Path, wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        raise UserError(f"{path}: row {int(wrong.argmax())} {what}; repair it or take it out")


def _window_starts(path: Path, times: np.ndarray, every_us: int) -> np.ndarray:
    """t0 (n,) us of the windows that lie within the recording and meet no gap."""
    length = int(times[-1]) - int(times[0])
    if length < PAST + FUTURE:
        needed = (PAST + FUTURE) / 1e6
        raise UserError(f"{path} is a recording of {length / 1e6:.2f} s; a window takes {needed:.1f} s")
    if length // every_us > MOST_WINDOWS:
        wide = f"{length / 1e6:.0f} s, one every {every_us / 1e6} s"
        raise UserError(f"{path}: {wide}, make more than {MOST_WINDOWS} windows; are its timestamps microseconds?")
    t0 = np.arange(times[0] + PAST, times[-1] - FUTURE + 1, every_us)
    gaps = np.flatnonzero(np.diff(times) > LONGEST_GAP_US)
    begun = np.searchsorted(times[gaps], t0 + FUTURE, side="left")
    ended = np.searchsorted(times[gaps + 1], t0 - PAST, side="right")
    whole: np.ndarray = t0[begun == ended]
    if len(whole) == 0:
        raise UserError(f"{path}: every window has samples more than {LONGEST_GAP_US / 1e6} s apart; none is left")
    return whole


def _spline(t: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The not-a-knot cubic spline through values (n, d) at ascending times t (n,), at other times (...) -> (..., d)."""
    slopes = _slopes(t, values)
    i = (np.searchsorted(t, asked, side="right") - 1).clip(0, len(t) - 2)
    h = (t[i + 1] - t[i])[..., None]
    u = (asked - t[i])[..., None] / h
    rise = values[i + 1] - values[i]
    bent = slopes[i] * h - rise, slopes[i + 1] * h - rise
    result: np.ndarray = values[i] + u * rise + u * (1 - u) * ((1 - u) * bent[0] - u * bent[1])
    return result


def _slopes(t: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Derivatives (n, d) of that spline at its n >= 4 knots: a tridiagonal system, eliminated row by row."""
    h = np.diff(t)
    d = np.diff(values, axis=0) / h[:, None]
    lower, diagonal, upper = np.empty((3, len(t)))
    right: np.ndarray = np.empty_like(values)
    lower[1:-1], diagonal[1:-1], upper[1:-1] = h[1:], 2 * (h[1:] + h[:-1]), h[:-1]
    right[1:-1] = 3 * (h[1:, None] * d[:-1] + h[:-1, None] * d[1:])
    for end, (a, b), (first, second) in ((0, h[:2], d[:2]), (-1, h[:-3:-1], d[:-3:-1])):
        diagonal[end], lower[end], upper[end] = b, a + b, a + b
        right[end] = ((3 * a + 2 * b) * b * first + a * a * second) / (a + b)
    for i in range(1, len(t)):
        share = lower[i] / diagonal[i - 1]
        diagonal[i] -= share * upper[i - 1]
        right[i] -= share * right[i - 1]
    right[-1] /= diagonal[-1]
    for i in range(len(t) - 2, -1, -1):
        right[i] = (right[i] - upper[i] * right[i + 1]) / diagonal[i]
    return right


def _slerp(t: np.ndarray, quaternions: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) at times (...) between those at t (n,), at constant angular speed."""
    i = (np.searchsorted(t, asked, side="right") - 1).clip(0, len(t) - 2)
    a, b = quaternions[i], quaternions[i + 1]
    u = (asked - t[i]) / (t[i + 1] - t[i])
    angle = 2 * np.arctan2(np.linalg.norm(b - a, axis=-1), np.linalg.norm(b + a, axis=-1))
    small = angle < 1e-6  # where the sines vanish a straight line is the same to 1e-13
    sine = np.where(small, 1.0, np.sin(angle))
    left = np.where(small, 1 - u, np.sin((1 - u) * angle) / sine)
    right = np.where(small, u, np.sin(u * angle) / sine)
    mixed: np.ndarray = left[..., None] * a + right[..., None] * b
    mixed /= np.linalg.norm(mixed, axis=-1, keepdims=True)
    return mixed


def _matrices(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4), the scalar last."""
    v, w = quaternions[..., :3], quaternions[..., 3]
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    result: np.ndarray = np.eye(3) + 2 * (w[..., None, None] * cross + cross @ cross)
    return result
