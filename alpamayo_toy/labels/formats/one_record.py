"""What one record says: which field each of its names is, how its axes are read, and what must not be passed over.

Axes of trajectories are (..., T, 2 or 3). What stands in front is a batch of clips where ids, times or tracks of
several clips say so, and sets and samples otherwise; axes of length 1 say nothing.
"""

import math
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import DT
from alpamayo_toy.labels.formats import drives
from alpamayo_toy.labels.formats.acted import pairs_of, refuse_unsaid, rolled_out
from alpamayo_toy.labels.formats.containers import Failed, Unsaid
from alpamayo_toy.labels.formats.fields import (
    OF_OTHERS,
    OF_STEPS,
    OF_TIMES,
    OF_TRACKS,
    Meaning,
    Names,
    tokens,
)
from alpamayo_toy.labels.formats.raw import RawClips, matrices_of
from alpamayo_toy.labels.formats.records import Record, is_array, is_track, shape_of
from alpamayo_toy.labels.untrusted.arrays import integer, integers, name_of, names, numbers, points, rotations, seconds
from alpamayo_toy.labels.untrusted.memory import check_shape
from alpamayo_toy.labels.untrusted.texts import flat_text, texts_of

SHORTEST = 30  # steps; fewer of 0.1 s are so short a plan that the step is likely another one
TRACKS = ("teacher", "ground_truth", "history")


class OneRecord:
    """One record: its keys by the fields that they name, the surest first."""

    def __init__(self, record: Record, names: Names, path: Path, i: int) -> None:
        self.record, self.names, self.path, self.i = record, names, path, i
        self.keys: dict[str, list[str]] = {}
        self.scale: dict[str, float] = {}
        self.unread: list[str] = []
        ranked: dict[str, list[tuple[int, int, str]]] = {}
        for key, value in record.values.items():
            meaning: Meaning | None = names.of(key)
            if meaning is None:
                self.unread.append(key)
            elif value is not None:
                ranked.setdefault(meaning.field, []).append((meaning.rank, key.count("."), key))
                self.scale[key] = meaning.scale
        for field, keys in ranked.items():
            self.keys[field] = [key for _, _, key in sorted(keys)]
        self.called = ""
        self.ids = self._ids()
        if not self.called:
            name = record.name if self.ids is None or len(self.ids) > 1 else self.ids[0]
            self.called = name_of(f"{path}: clip_id", name, i)

    def clips(self) -> tuple[RawClips, np.ndarray | None]:
        """The clips of the record, and the number of the one sample that each of them is, where they are such."""
        self._refuse_units()
        refuse_unsaid(f"{self.path}: clip {self.called}", self.record.values, self.names)
        tracks = {field: self._track(field) for field in TRACKS}
        acted, pairs = self._value("actions") if tracks["teacher"] is None else (None, None)
        if acted is not None:
            tracks["teacher"] = (acted, pairs_of(self._where(acted), pairs))
        if tracks["teacher"] is None:
            if tracks["ground_truth"] is not None and tracks["history"] is not None and not self._named_teacher():
                return self._recorded(), None
            self._lacking()
        n = self._count(tracks)
        teacher, shape = self._samples(tracks["teacher"], n)
        n, k, t = shape
        truth = self._beside("ground_truth", tracks["ground_truth"], n, t, k)
        history = self._beside("history", tracks["history"], n, None, 1)
        dt = self._step(t)
        t0 = self._t0(n)
        self._refuse_passed_over(t)
        clip_id = self._clip_ids(n)
        text = self._texts(n, k)
        raw = RawClips(
            clip_id=clip_id,
            source=self._strings("source", n, np.full(n, self.path.name)),
            t0_us=t0,
            teacher=teacher.reshape(n, k, t, 3),
            rotation=self._turned("rotation", tracks["teacher"], (n, k, t)),
            ground_truth=truth,
            ground_truth_rotation=self._turned("ground_truth_rotation", tracks["ground_truth"], (n, t)),
            history=history,
            history_rotation=self._turned("history_rotation", tracks["history"], (n, -1)),
            v0=self._v0(n),
            text=text[0],
            nested_text=text[1],
            dt=dt,
            notes=self._notes(),
        )
        return rolled_out(raw, self._where(acted)) if acted is not None else raw, self._sample(n, k)

    def _where(self, key: str) -> str:
        return f"{self.path}: {key}" if self.ids and len(self.ids) > 1 else f"{self.path}: {key} of clip {self.called}"

    def _value(self, field: str) -> tuple[str | None, Any]:
        """The surest key of a field and what it holds."""
        keys = self.keys.get(field)
        return (keys[0], self.record.values[keys[0]]) if keys else (None, None)

    def _named_teacher(self) -> bool:
        return any(self._is(key, "teacher") for key in self.record.values)

    def _is(self, key: str, field: str) -> bool:
        meaning = self.names.of(key)
        return meaning is not None and meaning.field == field

    def _lacking(self) -> NoReturn:
        named = [key for key in self.record.values if self._is(key, "teacher") and self.names.is_sure(key)]
        why = next((str(v)[:100] for k, v in self.record.values.items() if "error" in tokens(k) and v), "")
        said = f"{self.path}: clip {self.called} has no {named[0] if named else 'pred_xyz'}"
        raise (Failed if named else UserError)(said + (f" ({why})" if why else ""))

    def _refuse_units(self) -> None:
        for key, value in self.record.values.items():
            words = tokens(key)
            if words & {"normalized", "normalised"} and isinstance(value, bool | int | float) and value:
                raise Unsaid(f"{self._where(key)} says that its numbers are normalised; export metres")
            if words & {"unit", "units"} and isinstance(value, str) and value.lower() not in METRES:
                raise Unsaid(f"{self._where(key)} says {value[:40]!r}; export metres in the ego frame at t0")

    def _track(self, field: str) -> tuple[str, np.ndarray] | None:
        """The key and positions (..., T, 3) of a field. Raises UserError where two keys of it disagree."""
        keys = self.keys.get(field, [])
        if len(keys) > 1:
            keys = [key for key in keys if is_array(self.record.values[key])] or keys[:1]
        if not keys:
            return None
        chosen, *rest = keys
        first = self._positions(chosen)
        for key in rest if field not in self.names.by_hand else ():
            other = self._positions(key)
            a, b = (array.reshape(-1, *array.shape[-2:])[..., :2] for array in (first, other))
            if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=AS_PRINTED, equal_nan=True):
                option = f"--map {field}={chosen}"
                raise Unsaid(f"{self._where(key)} says something else than {chosen}; choose one: {option}")
        return chosen, first

    def _positions(self, key: str) -> np.ndarray:
        where, value = self._where(key), self.record.values[key]
        array = numbers(where, value)
        columns = 3 if "xyz" in key.lower() else 2 if "xy" in key.lower() else 0
        if columns and (array.ndim == 1 or (array.ndim > 1 and array.shape[-1] > 3)) and array.size:
            array = self._unfolded(where, array, columns)
        if array.ndim < 2 or array.shape[-1] not in (2, 3) or 0 in array.shape:
            wanted = "[K][T][3]" if self._is(key, "teacher") else "[T][3]"
            wanted = "(N, T, 3) or (N, K, T, 3)" if self.ids and len(self.ids) > 1 else wanted
            counts = "; flat numbers need n_traj and n_future beside them" if array.ndim == 1 else ""
            raise UserError(f"{where} must have shape {wanted} (got {list(array.shape)}){counts}")
        return points(where, array, array.ndim, "(..., T, 3)")

    def _unfolded(self, where: str, array: np.ndarray, columns: int) -> np.ndarray:
        """Rows of numbers, one waypoint after the other, as (..., T, columns), by the counts that stand beside."""
        steps, samples = (self._number(field) for field in ("steps", "samples"))
        length = array.shape[-1]
        if steps is None and samples is not None and array.ndim == 1 and length % (samples * columns) == 0:
            steps = length // (samples * columns)
        if steps is None and length == 64 * columns:
            steps = 64
        if steps is None or steps < 1 or length % (steps * columns):
            return array
        return array.reshape(*array.shape[:-1], -1, steps, columns)

    def _number(self, field: str) -> int | None:
        key, value = self._value(field)
        return None if key is None or np.size(value) != 1 else integer(self._where(key), value)

    def _count(self, tracks: dict[str, tuple[str, np.ndarray] | None]) -> int | None:
        """How many clips the record is of; None where nothing says so."""
        if self.ids is not None:
            return len(self.ids)
        if self.keys.get("clip_id"):
            return 1
        for field in ("history", "ground_truth"):
            track = tracks[field]
            if track is not None:
                return max(1, math.prod(track[1].shape[:-2]))
        _, times = self._value("t0")
        return max(1, math.prod(shape_of(times))) if times is not None and math.prod(shape_of(times)) > 1 else None

    def _samples(self, track: Any, n: int | None) -> tuple[np.ndarray, tuple[int, int, int]]:
        """The teacher and its (N, K, T)."""
        key, array = track
        lead, t = list(array.shape[:-2]), array.shape[-2]
        if n is None:
            n = lead[0] if len(lead) > 2 and lead[0] > 1 else 1
            if len(lead) == 2 and min(lead) > 1:
                raise Unsaid(
                    f"{self._where(key)} has axes {tuple(array.shape)}: clips or sets? Give each clip its clip_id"
                )
        while n > 1 and lead and lead[0] == 1:
            lead = lead[1:]
        if n > 1:
            self._require_rows(key, lead[0] if lead else 1, n)
        check_shape(self._where(key), k := math.prod(lead) // max(n, 1), t)
        return array, (n, k, t)

    def _beside(
        self, field: str, track: tuple[str, np.ndarray] | None, n: int, t: int | None, k: int
    ) -> np.ndarray | None:
        """Ground truth or history as (N, T, 3). Raises UserError for other rows or steps."""
        if track is None:
            return None
        key, array = track
        rows = math.prod(array.shape[:-2])
        check_shape(self._where(key), 1, array.shape[-2])
        if t is not None and array.shape[-2] != t:
            raise UserError(
                f"{self.path}: clip {self.called}: {key} has {array.shape[-2]} steps, {self._value('teacher')[0]} {t}"
            )
        flat = array.reshape(rows, *array.shape[-2:])
        if rows == n * k > n and (flat.reshape(n, k, -1) == flat.reshape(n, k, -1)[:, :1]).all():
            return flat[::k].copy()
        self._require_rows(key, rows, n)
        return flat

    def _turned(self, field: str, track: tuple[str, np.ndarray] | None, shape: tuple[int, ...]) -> np.ndarray | None:
        key, value = self._value(field)
        if track is not None and self.names.has_heading(track[0]):
            return matrices_of(track[1][..., 2]).reshape(*shape, 3, 3)
        if key is None or track is None:
            return None
        array, like = numbers(self._where(key), value), track[1]
        lead, wanted = ([size for size in shape if size > 1] for shape in (array.shape[:-2], like.shape[:-1]))
        fits = array.shape[-2:] == (3, 3) and lead == wanted
        if fits or (array.ndim == 1 and array.size == math.prod(like.shape[:-1]) * 9):
            array = array.reshape(*like.shape[:-1], 3, 3)
        matrices = rotations(self._where(key), array, like)
        assert matrices is not None
        return matrices.reshape(*shape, 3, 3)

    def _step(self, t: int) -> float:
        """Seconds of a step: by hand, as the file says, or Alpamayo's where its plans are as long as Alpamayo's."""
        if self.names.dt is not None:
            return self.names.dt
        key, value = self._value("dt")
        if key is not None:
            if is_array(value) and len(set(numbers(self._where(key), value).ravel().tolist())) == 1:
                value = numbers(self._where(key), value).ravel()[:1]
            return round(seconds(self._where(key), value) * self.scale[key], 6)
        key, value = self._value("times")
        if key is not None and is_array(value):
            times = numbers(self._where(key), value).reshape(-1)
            steps = np.diff(times[-t:])
            if len(times) % t or not (steps > 0).all() or not np.allclose(steps, steps.mean(), rtol=1e-2):
                raise UserError(f"{self._where(key)} are no times of {t} steps of one length in seconds")
            return round(float(steps.mean()), 6)
        key, value = self._value("duration")
        if key is not None:
            if not isinstance(value, int | float) or not 0 < value < 1e9:
                raise UserError(f"{self._where(key)} must be a number of seconds (got {str(value)[:40]!r})")
            return round(value / t, 6)
        key, value = self._value("rate")
        if key is not None:
            rate = numbers(self._where(key), value)
            if rate.size != 1 or not 1e-3 <= rate.item() <= 1e4:
                raise UserError(f"{self._where(key)} must be one number of steps a second (got {str(value)[:40]})")
            return round(1 / float(rate.item()), 6)
        unread = self._unread(OF_STEPS)
        if unread is not None:
            option = "fps" if tokens(unread) & {"fps", "hz", "freq", "frequency"} else "dt"
            raise Unsaid(
                f"{self._where(unread)} may be the length of a step: say so (--map {option}={unread}),"
                f" or that it is nothing (--map ignore={unread})"
            )
        if t < SHORTEST:
            raise Unsaid(
                f"{self.path}: clip {self.called} has {t} steps and no length of a step is said;"
                " add dt in seconds to the file, or say it: --map dt=0.5"
            )
        return DT

    def _t0(self, n: int) -> np.ndarray:
        """t0 in microseconds (n,) int64, 0 where nothing is said."""
        key, value = self._value("t0")
        if key is None:
            unread = self._unread(OF_TIMES)
            if unread is not None:
                raise Unsaid(
                    f"{self._where(unread)} may be the time of t0 in a unit that is not said;"
                    f" say it: --map t0_us={unread} (or t0_ns, t0_ms, t0_s), or --map ignore={unread}"
                )
            return np.zeros(n, dtype=np.int64)
        if self.scale[key] == 1.0:
            many = isinstance(value, list | tuple) or (isinstance(value, np.ndarray | Tensor) and np.ndim(value) > 0)
            if self.ids is not None and len(self.ids) > 1:
                found = integers(f"{self.path}: {key}", value if many else np.asarray(value))
            elif many:
                found = integers(f"{self.path}: {key}", np.asarray(value).reshape(-1))
            else:
                found = np.array([integer(self._where(key), value)])
        else:
            with np.errstate(over="ignore"):
                scaled = numbers(self._where(key), value).reshape(-1) * self.scale[key]
            if not (np.abs(scaled) < 2.0**63).all():
                raise UserError(f"{self._where(key)} must hold seconds (got {str(value)[:100]})")
            found = np.round(scaled).astype(np.int64)
        self._require_rows(key, len(found), n)
        return found

    def _require_rows(self, key: str, rows: int, n: int) -> None:
        """Raise UserError where a field has other rows than there are clips."""
        if rows != n:
            said = self._value("clip_id")[0] or "clips"
            wanted = f"; {said} must have one text for each clip" if self.ids is None and said != "clips" else ""
            raise UserError(f"{self.path}: {n} {said} but {rows} rows in {key}; rows are joined by their place{wanted}")

    def _ids(self) -> list[str] | None:
        """The ids of a list of them; None where there is one or none."""
        key, value = self._value("clip_id")
        if key is None:
            return None
        if isinstance(value, np.ndarray | Tensor):
            value = value.tolist()
        levels = 0
        while isinstance(value, list | tuple) and len(value) == 1 and levels < 4:
            value, levels = value[0], levels + 1
        if isinstance(value, list | tuple) and value and not isinstance(value[0], list | tuple | dict):
            if shape_of(self.record.values[key])[-1:] != (len(value),):
                raise UserError(f"{self.path}: {key} must have one text for each clip")
            return [name_of(f"{self.path}: {key}", one, i) for i, one in enumerate(value)]
        self.called = name_of(f"{self.path}: {key}", value, self.i)
        return None

    def _clip_ids(self, n: int) -> np.ndarray:
        if self.ids is not None:
            return names(f"{self.path}: clip_id", self.ids)
        if n == 1:
            return np.array([self.called])
        return np.array([f"{self.called}-{i}" for i in range(n)])

    def _strings(self, field: str, n: int, default: np.ndarray) -> np.ndarray:
        key, value = self._value(field)
        if key is None:
            return default
        flat = value.tolist() if isinstance(value, np.ndarray) else value
        if not isinstance(flat, list):
            return names(f"{self.path}: {key}", [flat] * n)
        self._require_rows(key, len(flat), n)
        return names(f"{self.path}: {key}", flat)

    def _v0(self, n: int) -> np.ndarray | None:
        key, value = self._value("v0")
        if key is None:
            return None
        found = numbers(self._where(key), value).astype(np.float64).reshape(-1)
        self._require_rows(key, len(found), n)
        return None if np.isnan(found).all() else found

    def _sample(self, n: int, k: int) -> np.ndarray | None:
        """Which sample of its clip a record of one is."""
        if k != 1:
            return None
        key, value = self._value("sample")
        if key is None:
            return None if self.record.sample is None else np.full(n, self.record.sample)
        array = np.asarray(value if not isinstance(value, Tensor) else value.numpy()).reshape(-1)
        if array.dtype.kind not in "iu" or len(array) != n:
            return None
        return array.astype(np.int64)

    def _texts(self, n: int, k: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """text (N,) or, of as many texts as samples, (N, K); and whether they were nested."""
        key, value = self._value("text")
        if key is None:
            return (np.array([""] * n, dtype=object), np.zeros(n, dtype=bool)) if n == 1 else (None, None)
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if n > 1 and not isinstance(value, list | tuple):
            raise UserError(f"{self.path}: {key} must have one text for each clip")
        rows = [value] if n == 1 else value
        self._require_rows(key, len(rows), n)
        try:
            several = [texts_of(row, k) for row in rows] if k > 1 else []
            if several and all(row is not None for row in several):
                return np.array(several, dtype=object).reshape(n, k), np.zeros(n, dtype=bool)
            flat = [flat_text(row) for row in rows]
        except ValueError as error:
            what = f"the text of clip {self.called}" if n == 1 else f"{key}:"
            raise UserError(f"{self.path}: {what} {error}") from None
        return np.array([text for text, _ in flat], dtype=object), np.array([nested for _, nested in flat])

    def _recorded(self) -> RawClips:
        """A recorded drive: what happened is the one sample."""
        content = {}
        for field, name in RECORDED.items():
            key, value = self._value(field)
            if key is not None:
                content[name] = value
        key, track = self._value("ground_truth")
        assert key is not None
        t = shape_of(track)[-2] if len(shape_of(track)) > 1 else 0
        if self.names.dt is not None or "dt" not in content:
            content["dt"] = self._step(t) if t else DT
        _, times = self._value("t0")
        if times is not None:
            content["t0_us"] = self._t0(max(1, math.prod(shape_of(times))))
        self._refuse_passed_over(t)
        (raw,) = drives.clips(content, self.path)
        return raw.noted(self._notes())

    def _unread(self, words: frozenset[str]) -> str | None:
        """A key that no row has, holds numbers, and may be about time by its words."""
        for key in self.unread:
            value = self.record.values[key]
            plain = isinstance(value, int | float) and not isinstance(value, bool)
            if (plain or is_array(value)) and tokens(key) & words and not tokens(key) & OF_OTHERS:
                return key
        return None

    def _refuse_passed_over(self, t: int) -> None:
        for key in self.unread:
            value = self.record.values[key]
            as_long = is_track(key, value) and (tokens(key) & OF_TRACKS or shape_of(value)[-2] == t)
            if as_long or "(a second prediction)" in key:
                raise Unsaid(
                    f"{self._where(key)} could matter and is not understood; say what it is"
                    f" (--map ground_truth={key}, or history) or that it is nothing (--map ignore={key})"
                )

    def _notes(self) -> frozenset[str]:
        said = {f"not read: {key}" for key in self.unread}
        return frozenset(said if self.keys.get("t0") else {*said, "no time of t0 is said: 0 is taken"})


METRES = ("m", "metre", "metres", "meter", "meters", "")
AS_PRINTED = 2e-3  # m: what rounding for print does to a trajectory
RECORDED = {
    "ground_truth": "ego_future_xyz",
    "ground_truth_rotation": "ego_future_rot",
    "history": "ego_history_xyz",
    "history_rotation": "ego_history_rot",
    "clip_id": "clip_id",
    "source": "source",
    "text": "cot",
    "dt": "dt",
}
"""What recorded drives call the fields."""
