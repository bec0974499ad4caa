"""Check: is a label file sound? Per clip, errors that drop it and warnings that are counted; and a verdict on all."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy.kinematics.trajectory import DT, HORIZON, Labels
from alpamayo_toy.labels.formats.raw import RawClips, labels_of
from alpamayo_toy.labels.repeats import Seen
from alpamayo_toy.labels.soundness import faults
from alpamayo_toy.labels.untrusted.texts import one_line

ERRORS = {
    "damaged": "is no longer the file that labels.json vouches for: copy or convert the set again",
    "unreadable": "cannot be read: see what its reader says, and export it again",
    "non_finite": "holds NaN or infinite values: export the clip again",
    "horizon": "has another number of steps than the file's other clips, or fewer than 4: keep one horizon per file",
    "time_step": "has another time step than the file's other clips, or none in seconds: resample, or keep files apart",
    "t0_included": "begins with the origin itself: drop the first row, the first step is t0 + dt",
    "not_a_rotation": "has matrices that are no rotations: write orthonormal 3x3 matrices, or leave rotations out",
    "left_handed": "turns one way while its rotations turn the other: y must point left and yaw run counter-clockwise",
    "frame": "is not in the ego frame at t0: move t0 to the origin and turn it so that the car faces along x",
    "teleporting": "jumps further than a car can drive: look for lost frames, mixed clips or another unit than metres",
    "duplicate": "came before with the same id and t0 but other trajectories: keep one, or number samples (sample_idx)",
}
WARNINGS = {
    "repeated": "came before with the same id, t0 and trajectories: only the first is kept",
    "repeated_samples": "has a sample that came twice with the same numbers: only the first is kept",
    "standing_still": "stays within 0.5 m in every sample: it teaches to stand, too many of these teach nothing else",
    "reversing": "drives backwards faster than 0.5 m/s for longer than 0.5 s: make sure that the car did",
    "kinematic_fit": "is no trapezoid rollout, its actions return it with a mean error above 0.1 m: expect that floor",
    "v0_history": "starts more than 1 m/s off the speed of its history, or the one stated: is that of the same t0?",
    "coarse": "has positions on a grid of half precision or of whole millimetres: actions are noise, export float32",
    "empty_text": "has an empty text: nothing can be learnt from its words",
    "nested_text": "has its text in lists in lists: they were joined",
    "straight_line": "is exactly straight at constant speed in every sample: probably a dummy, not a teacher's",
    "no_history": "has no history though the file has one, perhaps a failed download: students that need it learn less",
    "route_away": "has a route that begins more than 5 m from the car: in another frame, or meant to?",
    "route_jumps": "has a route whose neighbouring points lie more than 6.3 m apart: resample it at 80/19 m",
    "route_bends": "has a route that bends sharper than any car, above 0.41 1/m: noise, or a car that reversed",
    "horizon_unusual": f"has another horizon than {HORIZON} steps: students and published numbers are not comparable",
    "time_step_unusual": f"has another time step than {DT} s: students and published numbers are not comparable",
    "leakage": "is in more than one split: scores on it are not to be trusted, split by clip or drive",
}

ROUTES = {
    "": "from a source that is not told",
    "file": "from the file",
    "recorded": "recorded: cut from what was driven, an oracle of where",
    "future": "future: cut from the clip's own future, an oracle of where and how far",
}
"""What each route_source means."""

NAMED = 20  # clips that a report names for each code
SHOWN = 3  # and a table
UNREAD = 30  # names of what was not read, in a table
ASIDE = 10  # files


class Check:
    """What is wrong with the clips of one file or set, added batch by batch as they stream in.

    horizon and dt (s) are what the clips must have; where None, the first batch with a clip in it decides. Of each clip
    kept, id and digest stay in memory, about 300 bytes.
    """

    def __init__(self, name: str, horizon: int | None = None, dt: float | None = None) -> None:
        self.name, self.horizon, self.dt = name, horizon, dt
        self._clips = self._kept = 0
        self._samples: set[int] = set()
        self._sources: set[str] = set()
        self._counts: dict[str, int] = {}
        self._named: dict[str, list[str]] = {}
        self._routes: dict[str, int] = {}
        self._fits: list[np.ndarray] = []
        self._seen = Seen()
        self._aside: dict[str, str] = {}
        self._notes: set[str] = set()
        self._repeating: dict[str, list[int]] = {}  # of each file its clips, and how many of them came before

    def add(self, raw: RawClips) -> np.ndarray:
        """Judge a batch: (N,) bool, the clips to keep, which have no error and did not come before."""
        return self.judged(raw)[0]

    def judged(self, raw: RawClips) -> tuple[np.ndarray, Labels | None]:
        """What add() returns, and the labels of the clips to keep; None without one."""
        labels: Labels | None = None
        if not len(raw):
            return np.zeros(0, dtype=bool), labels
        self.horizon = raw.shape[1] if self.horizon is None else self.horizon
        self.dt = float(raw.dt) if self.dt is None else self.dt
        with np.errstate(all="ignore"), torch.no_grad():
            found = {**self._of_the_file(raw), **faults.errors(raw)}
            keep: np.ndarray = ~np.logical_or.reduce(list(found.values()))
            found |= self._met_again(raw, keep)
            keep &= ~found["duplicate"] & ~found["repeated"]
            if keep.any():
                sound = raw.select(keep)
                labels = labels_of(sound, Path())
                warnings, fit = faults.warnings(sound, labels)
                found |= {code: faults.spread(mask, keep) for code, mask in warnings.items()}
                self._fits.append(fit)
        self._count(raw, found, keep)
        return keep, labels

    def unreadable(self, why: str) -> None:
        """Count a clip, or a file of them, that its reader gave up; the report has the reader's words for a name."""
        self._clips += 1
        self._tell("unreadable", 1, [why])

    def left_aside(self, file: str, why: str) -> None:
        """List a file that holds no labels; it is counted nowhere."""
        self._aside[file] = why

    def damaged(self, file: str) -> None:
        """Count a file of a set whose bytes have changed, whatever its clips look like."""
        self._tell("damaged", 1, [file])

    def summaries(self) -> list[str]:
        """The files that hold nothing but clips of other files; they are left aside."""
        return [file for file, (clips, again) in self._repeating.items() if clips == again]

    def report(self) -> dict[str, Any]:
        """The verdict and what it rests on: JSON, codes in the order of ERRORS and WARNINGS, those not met left out."""
        fits = np.concatenate(self._fits) if self._fits else None
        summaries = self.summaries()
        repeating = sum(self._repeating[file][0] for file in summaries)
        counts = dict(self._counts)
        if repeating:
            counts["repeated"] -= repeating
        counts = {code: count for code, count in counts.items() if count}
        found = {
            "format": 1,
            "name": self.name,
            "clips": self._clips - repeating,
            "kept": self._kept,
            "samples": sorted(self._samples),
            "horizon": self.horizon,
            "dt": self.dt if self.dt is not None and math.isfinite(self.dt) else None,
            "sources": len(self._sources),
            "routes": dict(sorted(self._routes.items())),
            "errors": self._said(ERRORS, counts),
            "warnings": self._said(WARNINGS, counts | self._unusual()),
            "left_aside": self._aside | dict.fromkeys(summaries, "holds nothing but clips of other files"),
            "notes": sorted(self._notes),
            "kinematic_fit": {
                "mean": None if fits is None else round(float(fits.mean()), 6),
                "p99": None if fits is None else round(float(np.percentile(fits, 99)), 6),
                "max": None if fits is None else round(float(fits.max()), 6),
            },
        }
        broken = not self._kept or "damaged" in counts
        return {
            **found,
            "verdict": "unusable" if broken else "warnings" if found["errors"] or found["warnings"] else "sound",
        }

    @property
    def verdict(self) -> int:
        """0 sound; 1 warnings, or errors while clips are left; 2 no clip is left, or a set has changed."""
        return ("sound", "warnings", "unusable").index(self.report()["verdict"])

    def _of_the_file(self, raw: RawClips) -> faults.Masks:
        """Errors of a clip beside the others: all of a batch have one horizon and one time step."""
        steps = raw.shape[1]
        return {
            "horizon": np.full(len(raw), steps != self.horizon or steps < faults.STEPS),
            "time_step": np.full(
                len(raw), not (faults.usable_step(raw.dt) and math.isclose(raw.dt, self.dt or 0, rel_tol=1e-4))
            ),
        }

    def _met_again(self, raw: RawClips, sound: np.ndarray) -> faults.Masks:
        """Sound clips that came before; the new ones are remembered."""
        some = raw.select(sound)
        keys = zip(some.clip_id.tolist(), some.t0_us.tolist(), strict=True)
        repeated, duplicate = (faults.spread(mask, sound) for mask in self._seen.again(keys, some.teacher))
        for file, again in zip(raw.origin if raw.origin is not None else (), repeated, strict=False):
            tally = self._repeating.setdefault(file, [0, 0])
            tally[0] += 1
            tally[1] += int(again)
        return {"duplicate": duplicate, "repeated": repeated}

    def _count(self, raw: RawClips, found: faults.Masks, keep: np.ndarray) -> None:
        self._clips += len(raw)
        self._kept += int(keep.sum())
        self._samples.add(raw.shape[0])
        self._notes |= raw.notes
        self._sources.update(map(str, np.unique(raw.source)))
        if raw.route is not None:
            known = int(np.isfinite(raw.route[keep, 0]).all(-1).sum())
            self._routes[raw.route_source] = self._routes.get(raw.route_source, 0) + known
        for code, mask in found.items():
            rows = np.flatnonzero(mask)
            if len(rows):
                self._tell(code, len(rows), [f"{raw.clip_id[i]} {raw.t0_us[i]}" for i in rows[:NAMED]])

    def _tell(self, code: str, count: int, names: list[str]) -> None:
        self._counts[code] = self._counts.get(code, 0) + count
        self._named[code] = (self._named.get(code, []) + names)[:NAMED]

    def _unusual(self) -> dict[str, int]:
        """Warnings of the file as a whole: how many clips they touch, which are not named."""
        found = {
            "horizon_unusual": self.horizon not in (None, HORIZON),
            "time_step_unusual": self.dt is not None and not math.isclose(self.dt, DT, rel_tol=1e-4),
        }
        return {code: self._kept for code, is_so in found.items() if is_so and self._kept}

    def _said(self, sentences: dict[str, str], counts: dict[str, int]) -> dict[str, Any]:
        return {
            code: {"count": counts[code], "clips": list(self._named.get(code, [])), "says": says}
            for code, says in sentences.items()
            if code in counts
        }


def table(report: dict[str, Any]) -> str:
    """A report to be read at a terminal."""
    samples = ", ".join(map(str, report["samples"])) or "no"
    head = f"{one_line(report['name'])}: {report['clips']} clips, {report['kept']} kept, {samples} samples a clip"
    if report["horizon"] is not None:
        head += f", {report['horizon']} steps of {_number(report['dt'])} s, sources: {report['sources']}"
    lines = [head]
    for kind in ("errors", "warnings"):
        for code, entry in report[kind].items():
            lines.append(f"  {kind[:-1]:<8}{entry['count']:>8}  {code}: {entry['says']}")
            shown = [one_line(clip) for clip in entry["clips"][:SHOWN]]
            more = [f"and {entry['count'] - len(shown)} more"] if entry["count"] > len(shown) else []
            lines += [f"{'':20}{', '.join(shown + more)}"] if shown else []
    for source, count in report["routes"].items():
        lines.append(f"  routes of {count} clips, {ROUTES[source]}")
    unread = [note.removeprefix("not read: ") for note in report["notes"] if note.startswith("not read: ")]
    if unread:
        lines.append(f"  not read: {', '.join(map(one_line, unread[:UNREAD]))}" + _more(len(unread) - UNREAD))
    lines += [f"  {one_line(note)}" for note in report["notes"] if not note.startswith("not read: ")]
    aside = Counter(Path(file).name for file in report["left_aside"])
    if aside:
        shown = [one_line(name) + (f" ({count} of them)" if count > 1 else "") for name, count in aside.items()]
        lines.append(f"  left aside, no labels of their own: {', '.join(shown[:ASIDE])}{_more(len(shown) - ASIDE)}")
    fit = report["kinematic_fit"]
    if fit["mean"] is not None:
        lines.append(f"  as actions and back: mean {fit['mean']:.4f} m, p99 {fit['p99']:.4f} m, max {fit['max']:.4f} m")
    words = {
        "sound": "sound: nothing to complain about",
        "warnings": "usable, with a look at the above",
        "unusable": "unusable: " + ("it is damaged" if "damaged" in report["errors"] else "no clip is left"),
    }
    if report["verdict"] == "warnings" and report["errors"]:
        words["warnings"] = f"usable without {report['clips'] - report['kept']} of {report['clips']} clips"
    return "\n".join([*lines, words[report["verdict"]]])


def leakage(parts: Mapping[str, Iterable[tuple[str, int]]]) -> list[str]:
    """The clip ids, sorted, that more than one split holds, at whatever t0: split name -> (clip_id, t0_us) of each."""
    owner: dict[str, str] = {}
    shared = {clip for name, keys in parts.items() for clip, _ in keys if owner.setdefault(clip, name) != name}
    return sorted(shared)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
