"""What an evaluation leaves: clips.csv with a row for each clip, and the terminal's table."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.describe import routes_said
from alpamayo_toy.evaluation.groups import Groups
from alpamayo_toy.files import replacing
from alpamayo_toy.hints import command_line
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.metrics.intervals import MIN_UNITS
from alpamayo_toy.metrics.scores import Scores

KEYS = ("clip_id", "t0_us", "scenario", "waymo", "v0")
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
        made = command_line("eval", checkpoint=run, output=out)
        raise UserError(f"{run} holds no {path.name}; make one, then compare {out}: {made}") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is no table of clips: {error}") from None
    missing = [name for name in (*KEYS, "teacher.stationary.ade") if name not in clips]
    if missing or len(set(zip(clips["clip_id"], clips["t0_us"], strict=True))) < len(clips["t0_us"]):
        raise UserError(
            f"{path} is no table of clips: " + (f"no column {missing[0]}" if missing else "a clip is twice")
        )
    return clips


def table(metrics: dict[str, Any]) -> str:
    """The scores of metrics.json as aligned lines for a terminal."""
    lines = [f"{metrics['clips']} clips of {metrics['samples']} samples, split: {metrics['split']}"]
    recovered = metrics["v0_sources"].get("recovered", 0) + metrics["v0_sources"].get("smoothed", 0)
    if recovered:
        lines.append(f"v0 of {recovered} clips, which have no history, is that of the teacher's own trajectory")
    if said := routes_said(metrics):
        lines.append(f"routes are {said}")
    units = metrics["units"]
    few = "" if units["count"] >= MIN_UNITS else f": fewer than {MIN_UNITS}, too few for an interval"
    lines.append(f"95 % intervals over {units['count']} independent {units['kind']}{few}")
    for target, rows in metrics["scores"].items():
        lines += ["", *_rows(target.replace("_", " "), rows, metrics["not_available"])]
        lines += _differences(metrics["paired"][target])
    if metrics["ade_over_floor"] is not None:
        lines += ["", f"floor: the best single answer, as estimated ({metrics['floor']['kind'].replace('_', ' ')})"]
        lines.append(f"ADE / floor {metrics['ade_over_floor']:.3f}   excess / floor {metrics['excess_over_floor']:.3f}")
    lines += said_of_distribution(metrics)
    own, theirs = metrics["action_std"]["student"], metrics["action_std"]["labels"]
    if any(not 2 / 3 < mine / other < 3 / 2 for mine, other in zip(own, theirs, strict=True)):
        spreads = [f"{a:.2f} m/s^2 and {kappa:.4f} 1/m" for a, kappa in (own, theirs)]
        lines.append(f"the student keeps its own action statistics: std {spreads[0]}; these labels have {spreads[1]}")
    failed = [name for name, passed in metrics["checks"].items() if passed is False]
    lines.append(f"checks: {'failed: ' + ', '.join(failed) if failed else 'passed'}")
    if None in metrics["checks"].values():
        lines[-1] += " (not whether speeds are negative, which its integrator allows)"
    return "\n".join(lines)


def sentence(metrics: dict[str, Any]) -> str:
    """How good the student is, in one sentence; one that answers with several trajectories as a distribution first."""
    found, said = metrics["distribution"], "the student"
    if found["modes"] * found["samples"] > 1:
        said += f" is {found['energy']['student']['mean']:.3f} m off as a distribution (energy score)"
        if metrics["energy_over_teacher"] is not None:
            own = found["energy"]["teacher"]["mean"]
            said += f", {metrics['energy_over_teacher']:.2f} times the teacher's own {own:.3f} m"
        said += "; its likeliest trajectory"
    said += f" is {metrics['student']['ade']:.3f} m off on average (ADE)"
    ratio, floor = metrics["ade_over_floor"], metrics["floor"]["ade"]
    if ratio is not None:
        said += f", {ratio:.2f} times the floor of {floor:.3f} m, the best that one answer can do as estimated"
    baselines = {name: entry["ade"] for name, entry in metrics["baselines"].items()}
    if baselines:
        best = min(baselines, key=lambda name: baselines[name])
        said += f"; the best baseline, {best.replace('_', ' ')}, is {baselines[best]:.3f} m off"
    return f"{said}."


def said_of_distribution(metrics: dict[str, Any]) -> list[str]:
    """The few lines about a student as a distribution."""
    found, ratio = metrics["distribution"], metrics["energy_over_teacher"]
    own = found["energy"]["teacher"]
    score = f"energy score [m] {number_said(found['energy']['student']['mean'])}"
    score += "" if own is None else f", the teacher's own {number_said(own['mean'])}"
    lines = ["", score if ratio is None else f"{score}: {ratio:.3f} times that"]
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
        six = f"the six in the middle of the teacher's {number_said(best['six_medoids_of_the_teacher'])}"
        lines.append(f"minADE [m] of the modes on the same clips {number_said(best['modes'])}, of {six}")
    return lines


def _rows(target: str, rows: dict[str, Any], missing: dict[str, str]) -> list[str]:
    single = [name for name in ("fde_1.0", "fde_3.0", "fde_5.0", "fde") if name in rows["student"]]
    heads = ["ADE", "95 %", *(f"FDE {name[4:]} s" if name != "fde" else "FDE end" for name in single), "clips"]
    widths = (8, 18, *(11 for _ in single), 8)
    lines = [f"{'against ' + target + ' [m]':<26}" + "".join(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True))]
    for name, row in rows.items():
        if "ade" in row:
            ade, interval = row["ade"], interval_said(row["ade"])
            cells = [number_said(ade["mean"]), interval, *(number_said(row.get(m, {}).get("mean")) for m in single)]
            cells.append(str(ade["clips"]))
            lines.append(f"{name:<26}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)))
    reasons = dict.fromkeys(missing.values())
    lines += [f"n/a: {why} ({', '.join(name for name in missing if missing[name] == why)})" for why in reasons]
    several = {name: row for name, row in rows.items() if "min_ade" in row}
    for name, row in several.items():
        lines.append(f"{name:<26}minADE {number_said(row['min_ade']['mean'])} {interval_said(row['min_ade'])}")
        if "min_ade_3.0" in row:
            full, until = (number_said(row[key]["mean"]) for key in ("min_ade_3.0", "min_ade_horizon_3.0"))
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
            lines.append(f"student - {name}: {entry['mean']:+.3f} {interval_said(entry)}  {said_of(entry['decided'])}")
    return lines


def said_of(decided: bool | None) -> str:
    return {True: "a difference on these clips", False: "not decided by these clips", None: "too few units to say"}[
        decided
    ]


def interval_said(entry: dict[str, Any]) -> str:
    """[low, high], nothing where there is none."""
    return "" if entry["low"] is None else f"[{entry['low']:.3f}, {entry['high']:.3f}]"


def number_said(value: float | None) -> str:
    """To the millimetre."""
    return "-" if value is None else f"{value:.3f}"
