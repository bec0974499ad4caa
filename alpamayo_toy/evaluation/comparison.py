"""compare(): runs side by side, clip by clip; batches seed by seed, which alone says something of methods."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.results import Clips, interval_said, number_said, read_clips
from alpamayo_toy.files import write_json
from alpamayo_toy.metrics.intervals import Interval, is_decided, over_clips, paired, students_t, units_of, welchs_t

FORMAT = 1  # of comparison.json
UNITS = {"miss": "%", "waymo_miss_3.0": "%", "waymo_miss_5.0": "%", "heading_error": "rad", "speed_error": "m/s"}
ROUNDING = 1e-5  # of a number: what differs by less differs by nothing
WITH_DIFFERENCE = (".ade", ".fde", ".energy_score", ".modes_min_ade")
SAID = {
    "clips": {
        True: "differ on these clips; one seed says nothing of the method",
        False: "not decided by these clips",
        None: "too few units to say",
    },
    "seeds": {True: "a real difference", False: "not decided by these seeds", None: "too few seeds to say"},
}


def compare(runs: list[str], output_dir: Path) -> str:
    """Runs or batches side by side on the clips that all of them were scored on, each paired with the first, and with
    every baseline.

    A run is a folder with clips.csv, a batch one with a run in each seed-N; a pattern names several of them, the folds
    of one, whose clips are put together. Of runs, intervals are over clips. Of batches they are over the seeds that all
    of them have (Student's t), each paired with the same seed; where they share none, over all of each (Welch's t).
    Writes comparison.json. Raises UserError, also where one id stands for other clips.
    """
    found = [_tables(run) for run in runs]
    kinds = [None not in tables for tables in found]
    if len(set(kinds)) > 1:
        batch, run = runs[kinds.index(True)], runs[kinds.index(False)]
        raise UserError(f"{batch} is a batch and {run} a single run; compare batches with batches")
    sides, paired_seeds = _aligned(runs, found)
    names = [name for name in sides[0][0] if _is_compared(name) and all(name in t for side in sides for t in side)]
    content: dict[str, Any] = {
        "format": FORMAT,
        "runs": runs,
        "over": "seeds" if kinds[0] else "clips",
        "paired": paired_seeds,
        "clips": len(sides[0][0]["t0_us"]),
        "units": len(sides[0]) if kinds[0] else int(_units(sides[0][0]).max()) + 1,
        "metrics": {
            name: [
                _by_seed(side, sides[0], paired_seeds, name) if kinds[0] else _by_clip(side[0], sides[0][0], name)
                for side in sides
            ]
            for name in names
        },
    }
    write_json(output_dir / "comparison.json", content)
    return "\n".join(_side_by_side(content))


def _tables(run: str) -> dict[int | None, Clips]:
    """The clips of a run under None, those of a batch by seed. Raises UserError where there are none."""
    folders = _folders(run)
    if any(next(folder.glob("seed-*"), None) for folder in folders):
        run = f"{run}/seed-*"
    if "seed-*" not in Path(run).parts:
        return {None: _together(run, folders)}
    place = Path(run).parts[::-1].index("seed-*")  # from the end: a folder above may be called so too
    seeds: dict[int | None, list[Path]] = {}
    for folder in _folders(run):
        number = re.fullmatch(r"seed-(\d+)", folder.parts[-1 - place])
        if number and (folder / "clips.csv").exists():  # a seed that failed has none
            seeds.setdefault(int(number[1]), []).append(folder)
    if not seeds:
        raise UserError(f"{run}: none of its seeds has a clips.csv")
    return {seed: _together(run, parts) for seed, parts in sorted(seeds.items(), key=lambda pair: pair[0] or 0)}


def _aligned(runs: list[str], found: list[dict[int | None, Clips]]) -> tuple[list[list[Clips]], bool]:
    """Of each run its tables, one for each seed, on common clips; and whether the same seeds stand at the same place.

    Seeds that all have are paired. Where there are none, all seeds of each stand for it.
    """
    shared = [seed for seed in found[0] if all(seed in other for other in found[1:])]
    if shared:
        by_seed = [_on_common_clips(runs, [tables[seed] for tables in found]) for seed in shared]
        return [list(side) for side in zip(*by_seed, strict=True)], True
    names = [run for run, tables in zip(runs, found, strict=True) for _ in tables]
    every = iter(_on_common_clips(names, [table for tables in found for table in tables.values()]))
    return [[next(every) for _ in tables] for tables in found], False


def _folders(run: str) -> list[Path]:
    """One folder, or all that a pattern names."""
    path = Path(run)
    if "*" not in run:
        return [path]
    found = sorted(part for part in Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))) if part.is_dir())
    if not found:
        raise UserError(f"there is no folder {run}")
    return found


def _together(run: str, folders: list[Path]) -> Clips:
    """The clips of folds as those of one run, one trajectory as the nearest of its modes where it has no others."""
    parts = [read_clips(folder / "clips.csv") for folder in folders]
    whole = {
        name: [value for part in parts for value in part[name]] for name in parts[0] if all(name in p for p in parts)
    }
    if len(set(zip(whole["clip_id"], whole["t0_us"], strict=True))) < len(whole["t0_us"]):
        raise UserError(f"{run}: some of its folders were scored on the same clips; folds have clips of their own")
    alone = {
        name.replace(".student.", ".student_modes.min_"): column
        for name, column in whole.items()
        if name.endswith((".student.ade", ".student.fde"))
    }
    return whole | {name: column for name, column in alone.items() if name not in whole}


def _on_common_clips(runs: list[str], tables: list[Clips]) -> list[Clips]:
    """The rows of the clips that all tables have, in the first one's order."""
    keys = [{key: i for i, key in enumerate(zip(t["clip_id"], t["t0_us"], strict=True))} for t in tables]
    common = [key for key in keys[0] if all(key in other for other in keys[1:])]
    if not common:
        why = "synthetic scenes follow from the seed, a file's clips held out from its split"
        raise UserError(f"{' and '.join(dict.fromkeys(runs))} have no clip in common: {why}; score them on the same")
    rows = [[places[key] for key in common] for places in keys]
    chosen = [{n: [column[i] for i in index] for n, column in t.items()} for t, index in zip(tables, rows, strict=True)]
    for run, other in zip(runs[1:], chosen[1:], strict=True):
        for name in [name for name in chosen[0] if name.endswith(".stationary.ade") and name in other]:
            # the mean distance from the origin of what was driven: equal only where that is the same
            if not np.allclose(chosen[0][name], other[name], rtol=1e-5, atol=1e-5):
                raise UserError(f"{runs[0]} and {run} name other clips alike; score both on the same labels")
    return chosen


def _is_compared(name: str) -> bool:
    """Every number of the student, and ADE or minADE of the others."""
    return ".student" in name or name.endswith((".ade", ".min_ade"))


def _units(table: Clips) -> Tensor:
    return units_of(np.array(table["clip_id"]), torch.tensor(table["t0_us"]))


def _by_clip(table: Clips, first: Clips, name: str) -> dict[str, Any]:
    """A run's mean over clips, and the difference clip by clip: to the first run, of its student to a baseline."""
    own, units = _column(table, name), _units(table)
    mine, other = (own, _column(first, name)) if ".student" in name else (_column(table, _beside(name)), own)
    return _entry(over_clips(own, units), paired(mine, other, units))


def _by_seed(tables: list[Clips], first: list[Clips], paired_seeds: bool, name: str) -> dict[str, Any]:
    """A batch's mean over seeds of each one's mean over clips, and the difference, of paired seeds one by one."""
    clips, own = len(tables[0]["t0_us"]), _means(tables, name)
    mine, other = (own, _means(first, name)) if ".student" in name else (_means(tables, _beside(name)), own)
    if paired_seeds or ".student" not in name:
        difference = _over_seeds([a - b for a, b in zip(mine, other, strict=True)], clips)
    else:
        low, high = welchs_t(mine, other) or (None, None)
        difference = Interval(float(np.mean(mine) - np.mean(other)), low, high, len(mine), clips)
    return _entry(_over_seeds(own, clips), difference)


def _beside(name: str) -> str:
    """What of the student stands beside a baseline's ADE or minADE."""
    return f"{name.partition('.')[0]}." + ("student_modes.min_ade" if name.endswith(".min_ade") else "student.ade")


def _means(tables: list[Clips], name: str) -> list[float]:
    return [float(_column(table, name).nanmean()) for table in tables]


def _column(table: Clips, name: str) -> Tensor:
    return torch.tensor(table[name], dtype=torch.float64)


def _over_seeds(values: list[float], clips: int) -> Interval:
    low, high = students_t(values) or (None, None)
    return Interval(float(np.mean(values)), low, high, len(values), clips)


def _entry(own: Interval, difference: Interval) -> dict[str, Any]:
    """What comparison.json says of one number of one run."""
    decided = is_decided(difference)
    nothing = abs(difference.mean) <= ROUNDING * abs(own.mean)
    return {**own.as_dict(), "difference": {**difference.as_dict(), "decided": decided and not nothing}}


def _side_by_side(content: dict[str, Any]) -> list[str]:
    kind, over = ("batches", "seeds") if content["over"] == "seeds" else ("runs", "independent units")
    lines = [f"{content['clips']} clips that all {kind} share, {content['units']} {over}"]
    lines += [f"{chr(ord('A') + i)} = {run}" for i, run in enumerate(content["runs"])]
    for name, entries in content["metrics"].items():
        metric = name.replace(".student_modes.", ".modes_").replace(".student.", ".")
        unit = UNITS.get(metric.partition(".")[2].removeprefix("modes_"), "m")
        means = "".join(f"{_shown(entry['mean'], unit):>12}" for entry in entries)
        lines.append(f"{metric + ' [' + unit + ']':<44}{means}")
        beside = ".student" not in name
        if beside:
            lines[-1] = f"{lines[-1]}  {interval_said(entries[0])}".rstrip()
        if beside or metric.endswith(WITH_DIFFERENCE):
            for i, entry in list(enumerate(entries))[0 if beside else 1 :]:
                difference = entry["difference"]
                if difference["mean"] is not None:
                    who, said = chr(ord("A") + i), SAID[content["over"]][difference["decided"]]
                    to = "it" if beside else "A"
                    lines.append(f"    {who} - {to}: {difference['mean']:+.3f} {interval_said(difference)}  {said}")
    return lines


def _shown(value: float | None, unit: str) -> str:
    return f"{100 * value:.1f}" if unit == "%" and value is not None else number_said(value)
