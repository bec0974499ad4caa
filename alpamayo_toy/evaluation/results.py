"""What an evaluation leaves: clips.csv with a row for each clip, the terminal's table, and runs side by side."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.describe import routes_said
from alpamayo_toy.evaluation.groups import Groups
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.metrics.intervals import MIN_UNITS, is_decided, over_clips, paired, units_of
from alpamayo_toy.metrics.scores import Scores

FORMAT = 1  # of comparison.json
KEYS = ("clip_id", "t0_us", "scenario", "waymo", "v0")
UNITS = {"miss": "%", "waymo_miss_3.0": "%", "waymo_miss_5.0": "%", "heading_error": "rad", "speed_error": "m/s"}
Clips = dict[str, list[Any]]
"""Columns of clips.csv by name: KEYS, then <target>.<predictor>.<metric>."""


def clips_of(labels: Labels, v0: Tensor, groups: dict[str, Groups], scored: dict[str, dict[str, Scores]]) -> Clips:
    """Every number of the student and its modes, and ADE or minADE of the others, for each clip."""
    found: Clips = {
        "clip_id": labels.clip_id.tolist(),
        "t0_us": labels.t0_us.tolist(),
        **{kind: [groups[kind].of(i) for i in range(len(labels))] for kind in ("scenario", "waymo")},
        "v0": v0.tolist(),
    }
    for target, rows in scored.items():
        for name, row in rows.items():
            for metric, values in row.per_clip.items():
                if name in ("student", "student_modes") or metric in ("ade", "min_ade"):
                    found[f"{target}.{name}.{metric}"] = values.tolist()
    return found


def write_clips(path: Path, clips: Clips) -> None:
    """As CSV, an empty cell for what does not exist."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(clips)
    numbers = [["" if isinstance(x, float) and math.isnan(x) else x for x in column] for column in clips.values()]
    writer.writerows(zip(*numbers, strict=True))
    with replacing(path) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))


def read_clips(path: Path) -> Clips:
    """What write_clips() wrote. Raises UserError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
        kinds = {"clip_id": str, "t0_us": int, "scenario": str, "waymo": str}
        clips = {
            name: [kinds.get(name, float)(value if value else "nan") for value in column]
            for name, column in columns.items()
        }
    except OSError:
        run, out = path.parent, path.parent / "eval" / "held_out"
        if not run.is_dir():
            raise UserError(f"there is no run's folder {run}") from None
        made = f"python scripts/eval.py checkpoint={run} output={out}"
        raise UserError(f"{run} holds no {path.name}; make one, then compare {out}: {made}") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is no table of clips: {error}") from None
    missing = [name for name in (*KEYS, "teacher.stationary.ade") if name not in clips]
    if missing or len(set(zip(clips["clip_id"], clips["t0_us"], strict=True))) < len(clips["t0_us"]):
        raise UserError(
            f"{path} is no table of clips: " + (f"no column {missing[0]}" if missing else "a clip is twice")
        )
    return clips


def _of_folds(run: str) -> Clips:
    """The clips of one folder, or of all that a pattern names. Raises UserError where they share some."""
    path = Path(run)
    named = Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))) if "*" in run else [path]
    folders = sorted(folder for folder in named if folder.is_dir() or "*" not in run)
    if not folders:
        raise UserError(f"there is no folder {run}")
    parts = [read_clips(folder / "clips.csv") for folder in folders]
    whole = {
        name: [value for part in parts for value in part[name]] for name in parts[0] if all(name in p for p in parts)
    }
    if len(set(zip(whole["clip_id"], whole["t0_us"], strict=True))) < len(whole["t0_us"]):
        raise UserError(f"{run}: some of its folders were scored on the same clips; folds have clips of their own")
    return whole


def table(metrics: dict[str, Any]) -> str:
    """The scores of metrics.json as aligned lines for a terminal."""
    lines = [f"{metrics['clips']} clips of {metrics['samples']} samples, split: {metrics['split']}"]
    recovered = metrics["v0_sources"].get("recovered", 0) + metrics["v0_sources"].get("smoothed", 0)
    if recovered:
        lines.append(f"v0 of {recovered} clips, which have no history, is that of the teacher's own trajectory")
    if metrics["route_source"] is not None:
        lines.append(f"routes are {routes_said(metrics)}")
    units = metrics["units"]
    few = "" if units["count"] >= MIN_UNITS else f": fewer than {MIN_UNITS}, too few for an interval"
    lines.append(f"95 % intervals over {units['count']} independent {units['kind']}{few}")
    for target, rows in metrics["scores"].items():
        lines += ["", *_rows(target.replace("_", " "), rows, metrics["not_available"])]
        lines += _differences(metrics["paired"][target])
    if metrics["ade_over_floor"] is not None:
        lines += ["", f"floor: {metrics['floor']['kind']}"]
        lines.append(f"ADE / floor {metrics['ade_over_floor']:.3f}   excess / floor {metrics['excess_over_floor']:.3f}")
    lines += said_of_distribution(metrics)
    own, theirs = metrics["action_std"]["student"], metrics["action_std"]["labels"]
    if any(not 2 / 3 < mine / other < 3 / 2 for mine, other in zip(own, theirs, strict=True)):
        spreads = [f"{a:.2f} m/s^2 and {kappa:.4f} 1/m" for a, kappa in (own, theirs)]
        lines.append(f"the student keeps its own action statistics: std {spreads[0]}; these labels have {spreads[1]}")
    failed = [name for name, passed in metrics["checks"].items() if passed is False]
    lines.append(f"checks: {'failed: ' + ', '.join(failed) if failed else 'passed'}")
    return "\n".join(lines)


def said_of_distribution(metrics: dict[str, Any]) -> list[str]:
    """The few lines about a student as a distribution."""
    found, ratio = metrics["distribution"], metrics["energy_over_teacher"]
    own = found["energy"]["teacher"]
    score = f"energy score [m] {_number(found['energy']['student']['mean'])}"
    lines = ["", score if own is None else f"{score}, the teacher's own {_number(own['mean'])}: {ratio:.3f} times that"]
    if found["calibration_error"] is not None:
        lines.append(f"probability of modes that is misplaced: {100 * found['calibration_error']:.1f} %")
    if found["regions"] is not None:
        held = ", ".join(
            f"{100 * value:.0f} % in those of {100 * float(k):.0f} %" for k, value in found["regions"].items()
        )
        lines.append(f"the teacher's end points in regions of the student's: {held}")
    if found["crowd"] is not None:
        nobody, best = found["crowd"]["nobody_drives_there"], found["crowd"]["min_ade"]
        lines.append(
            f"where none of {found['crowd']['drivers']} drivers goes: {100 * nobody['samples']:.1f} % of samples"
        )
        six = f"the six in the middle of the teacher's {_number(best['six_medoids_of_the_teacher'])}"
        lines.append(f"minADE [m] of the modes on the same clips {_number(best['modes'])}, of {six}")
    return lines


def _rows(target: str, rows: dict[str, Any], missing: dict[str, str]) -> list[str]:
    single = [name for name in ("fde_1.0", "fde_3.0", "fde_5.0", "fde") if name in rows["student"]]
    heads = ["ADE", "95 %", *(f"FDE {name[4:]} s" if name != "fde" else "FDE end" for name in single), "clips"]
    widths = (8, 18, *(11 for _ in single), 8)
    lines = [f"{'against ' + target + ' [m]':<26}" + "".join(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True))]
    for name, row in rows.items():
        if "ade" in row:
            ade, interval = row["ade"], _interval(row["ade"])
            cells = [_number(ade["mean"]), interval, *(_number(row.get(m, {}).get("mean")) for m in single)]
            cells.append(str(ade["clips"]))
            lines.append(f"{name:<26}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)))
    lines += [f"{name:<26}n/a: {why}" for name, why in missing.items()]
    several = {name: row for name, row in rows.items() if "min_ade" in row}
    for name, row in several.items():
        lines.append(f"{name:<26}minADE {_number(row['min_ade']['mean'])} {_interval(row['min_ade'])}")
        if "min_ade_3.0" in row:
            full, until = (_number(row[key]["mean"]) for key in ("min_ade_3.0", "min_ade_horizon_3.0"))
            lines.append(
                f"{'':<26}minADE at 3 s {full} of the best over the whole horizon, {until} of the best until then"
            )
    return lines


def _differences(found: dict[str, Any]) -> list[str]:
    """The student against what it must beat."""
    lines = []
    for name in ("ridge_route", "ridge", "decaying_hold", "constant_velocity"):
        entry = found.get(name)
        if entry and entry["mean"] is not None:
            lines.append(f"student - {name}: {entry['mean']:+.3f} {_interval(entry)}  {said_of(entry['decided'])}")
    return lines


def said_of(decided: bool | None) -> str:
    return {True: "a real difference", False: "not decided by these clips", None: "too few units to say"}[decided]


def _interval(entry: dict[str, Any]) -> str:
    return "" if entry["low"] is None else f"[{entry['low']:.3f}, {entry['high']:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def compare(runs: list[str], output_dir: Path) -> str:
    """Runs side by side on the clips that all of them were scored on, each paired with the first; comparison.json.

    A run is a folder with clips.csv, or a pattern of several, whose clips are put together: the folds of one. Raises
    UserError, also where one id stands for other clips.
    """
    tables = [_of_folds(run) for run in runs]
    keys = [dict(zip(zip(t["clip_id"], t["t0_us"], strict=True), range(len(t["v0"])), strict=True)) for t in tables]
    common = [key for key in keys[0] if all(key in other for other in keys[1:])]
    if not common:
        raise UserError(f"{' and '.join(runs)} have no clip in common")
    rows = [[places[key] for key in common] for places in keys]
    chosen = [
        {name: [column[i] for i in index] for name, column in t.items()} for t, index in zip(tables, rows, strict=True)
    ]
    for run, other in zip(runs[1:], chosen[1:], strict=True):
        for name in [name for name in chosen[0] if name.endswith(".stationary.ade") and name in other]:
            # the mean distance from the origin of what was driven: equal only where that is the same
            if not np.allclose(chosen[0][name], other[name], rtol=1e-5, atol=1e-5):
                raise UserError(f"{runs[0]} and {run} name other clips alike; score both on the same labels")
    units = units_of(np.array(chosen[0]["clip_id"]), torch.tensor(chosen[0]["t0_us"]))
    chosen = [_with_modes(table) for table in chosen]
    metrics = [name for name in chosen[0] if _is_compared(name) and all(name in other for other in chosen[1:])]
    found = {
        name: [_compared(torch.tensor(one[name]), torch.tensor(chosen[0][name]), units) for one in chosen]
        for name in metrics
    }
    content = {"format": FORMAT, "runs": runs, "clips": len(common), "units": int(units.max()) + 1, "metrics": found}
    write_json(output_dir / "comparison.json", content)
    return "\n".join(_side_by_side(content))


def _with_modes(table: Clips) -> Clips:
    """A run's columns; one trajectory is the nearest of its modes, so that it stands beside several."""
    alone = {
        name.replace(".student.", ".student_modes.min_"): column
        for name, column in table.items()
        if name.endswith((".student.ade", ".student.fde"))
    }
    return table | {name: column for name, column in alone.items() if name not in table}


def _is_compared(name: str) -> bool:
    """Every number of the student, and ADE or minADE of the others."""
    return ".student" in name or name.endswith((".ade", ".min_ade"))


def _compared(values: Tensor, first: Tensor, units: Tensor) -> dict[str, Any]:
    """A run's mean, and its difference to the first run clip by clip."""
    difference = paired(values, first, units)
    return {
        **over_clips(values.double(), units).as_dict(),
        "difference": {**difference.as_dict(), "decided": is_decided(difference)},
    }


def _side_by_side(content: dict[str, Any]) -> list[str]:
    lines = [f"{content['clips']} clips that all runs share, {content['units']} independent units"]
    lines += [f"{chr(ord('A') + i)} = {run}" for i, run in enumerate(content["runs"])]
    for name, entries in content["metrics"].items():
        metric = name.replace(".student_modes.", ".modes_").replace(".student.", ".")
        unit = UNITS.get(metric.partition(".")[2].removeprefix("modes_"), "m")
        means = "".join(f"{_shown(entry['mean'], unit):>12}" for entry in entries)
        lines.append(f"{metric + ' [' + unit + ']':<44}{means}")
        if ".student" not in name:
            interval = _interval(entries[0])
            lines[-1] += f"  {interval}" if interval else ""
        elif metric.endswith((".ade", ".fde", ".energy_score", ".modes_min_ade")):
            for i, entry in enumerate(entries[1:], 1):
                difference = entry["difference"]
                mean = "-" if difference["mean"] is None else f"{difference['mean']:+.3f}"
                said = f"{mean} {_interval(difference)}  {said_of(difference['decided'])}"
                lines.append(f"{'':<4}{chr(ord('A') + i)} - A: {said}")
    return lines


def _shown(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{100 * value:.1f}" if unit == "%" else f"{value:.3f}"
