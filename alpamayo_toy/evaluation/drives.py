"""drive_checkpoint(): a student asked again and again on roads it has never seen, what scripts/drive.py does."""

import base64
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.closed_loop import (
    Driver,
    Drives,
    Situation,
    drive,
    steady_driver,
    straight_driver,
    student_driver,
    tracker_driver,
)
from alpamayo_toy.evaluation.config import DriveConfig, DriveOptions
from alpamayo_toy.evaluation.results import write_clips
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.kinematics.device import choose_device
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.metrics.comfort import from_actions, passes
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.driving import CORRIDOR, along_a_path, pulls_away
from alpamayo_toy.metrics.intervals import MIN_UNITS, of_share, over_clips
from alpamayo_toy.students.checkpoint import load_student
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.config import FileConfig, RoadConfig
from alpamayo_toy.teachers.road_teacher import OnRoad, RoadTeacher
from alpamayo_toy.teachers.scenarios import DRIVER
from alpamayo_toy.views.tensorboard import Logger

FORMAT = 1  # of drive.json
ROADS = 5  # of the numbers that seeds are mixed with: roads that no training or validation draws
EVENTS = ".drive"  # how event files of a drive end
SHORT_ROADS, SHORT_SECONDS = 64, 10.0  # of the drives during training
SHARES = ("left_corridor", "pulls_away", "comfort")


def drive_checkpoint(config: DriveConfig, output_dir: Path) -> dict[str, Any]:
    """Drive a student on random roads, beside its teacher, 'along the route' and 'straight on'.

    Writes drive.json, drives.csv, TensorBoard's events and, with plot, a picture, a film and drive.html. Raises
    UserError for a student that was trained without a route, and for scenarios that are no roads.
    """
    device = choose_device(config.device)
    student, trained = load_student(config.checkpoint)
    student.to(device)
    torch.set_num_threads(trained.trainer.threads)
    if not knows_its_way(student):
        raise UserError(
            f"{config.checkpoint} knows no route: asked again it cannot tell where it is, and will not drive;"
            " train one with scenario=ROAD and route among student.inputs"
        )
    from_file = isinstance(trained.teacher, FileConfig)
    scenario = config.scenario or (RoadConfig() if from_file else trained.scenario)
    if not isinstance(scenario, RoadConfig):
        raise UserError(f"scenario={getattr(scenario, 'name', 'ALL')} has no road to drive on; give scenario=ROAD")
    seed = trained.seed if config.seed is None else config.seed
    dt, options = student.rollout.dt, config.drive
    if options.every > student.horizon:
        raise UserError(f"drive.every must be at most {student.horizon}, the steps of a plan (got {options.every})")
    teacher = RoadTeacher(scenario, horizon=student.horizon, dt=dt)
    cars = teacher.cars(options.scenes, torch.Generator().manual_seed(mixed(seed, ROADS)), options.seconds).to(device)
    integrator = options.integrator or student.rollout.integrator
    drivers: dict[str, Driver] = {
        "student": hidden_from(student_driver(student), config.hide),
        "tracker": tracker_driver(options.every, dt),
        "along_the_route": steady_driver(options.every, dt),
        "straight_on": straight_driver(options.every),
    }
    found = {name: drive(driver, cars, options, integrator, dt, seed) for name, driver in drivers.items()}
    rows = {name: _judged(made, cars, integrator, dt) for name, made in found.items()}
    planned = teacher.plans(cars, cars.history.new_zeros(options.scenes, 1, len(DRIVER)))[:, 0]
    rows["student"] |= {
        "plan_ade": distance(found["student"].plan, planned).mean(-1),
        "plan_jump": found["student"].jump,
    }
    units = torch.arange(options.scenes)
    content = {
        "command": "drive",
        "format": FORMAT,
        "checkpoint": config.checkpoint,
        "scenario": scenario.name,
        "seed": seed,
        "hidden": config.hide,
        "drive": {**asdict(options), "integrator": integrator, "dt": dt, "corridor_m": CORRIDOR},
        "summary": {
            who: {
                name: (of_share(values.cpu()) if name in SHARES else over_clips(values.cpu(), units)).as_dict()
                for name, values in row.items()
            }
            for who, row in rows.items()
        },
    }
    write_json(output_dir / "drive.json", content)
    columns = {f"{who}.{name}": values.tolist() for who, row in rows.items() for name, values in row.items()}
    write_clips(output_dir / "drives.csv", {"road": units.tolist(), **columns})
    pictures = _pictures(output_dir, content, found, cars, dt) if config.plot else {}
    _log(output_dir, content, pictures)
    return content


def knows_its_way(student: Student) -> bool:
    """Whether it is shown a route."""
    return student.route_points > 0 and "route" in student.encoder.inputs


def short_drive(student: Student, cars: OnRoad) -> dict[str, float]:
    """What is watched during training: 10 s on these roads, asked every second step to be cheap."""
    dt, integrator = student.rollout.dt, student.rollout.integrator
    driven = drive(student_driver(student), cars, DriveOptions(seconds=SHORT_SECONDS, every=2), integrator, dt)
    found = along_a_path(cars.along, driven.along, driven.beside, driven.heading_error)
    return {name: float(found[name].mean()) for name in ("left_corridor", "lateral_rms", "progress")}


def hidden_from(driver: Driver, inputs: list[str]) -> Driver:
    """The same driver, who is not shown these inputs: NaN, which a student knows as 'missing'."""
    if not inputs:
        return driver

    def act(scene: Scene, now: Situation) -> Tensor:
        nothing: dict[str, Any] = {name: torch.full_like(getattr(scene, name), torch.nan) for name in inputs}
        return driver(replace(scene, **nothing), now)

    return act


def _judged(drives: Drives, cars: OnRoad, integrator: str, dt: float) -> dict[str, Tensor]:
    """Every number of these drives, by name (N,) each."""
    passed = passes(from_actions(drives.actions, drives.states, cars.v0, dt, integrator))["all"]
    return {
        **along_a_path(cars.along, drives.along, drives.beside, drives.heading_error),
        "pulls_away": pulls_away(cars.v0, drives.states[..., 3], dt),
        "comfort": passed.to(cars.v0.dtype),
    }


HEADS = {
    "left_corridor": "left lane",
    "lateral_rms": "rms [m]",
    "lateral_p95": "p95 [m]",
    "heading_end": "heading",
    "progress": "way [m]",
    "pulls_away": "from rest",
    "comfort": "comfort",
}
"""What the terminal shows of each driver."""


def table(content: dict[str, Any]) -> str:
    """drive.json as aligned lines for a terminal."""
    options, summary = content["drive"], content["summary"]
    scenes = options["scenes"]
    lines = [
        f"{scenes} roads of {options['seconds']:g} s, asked every {options['every']} steps, delay {options['delay']},"
        f" noise {options['noise']:g}, {options['integrator']}"
        + (f", hidden: {', '.join(content['hidden'])}" if content["hidden"] else ""),
        "95 % intervals over roads" if scenes >= MIN_UNITS else f"fewer than {MIN_UNITS} roads: no intervals",
        "",
        f"{'driver':<18}" + "".join(f"{head:>11}" for head in HEADS.values()),
    ]
    for who, row in summary.items():
        lines.append(f"{who:<18}" + "".join(f"{_shown(name, row[name]['mean']):>11}" for name in HEADS))
    student = summary["student"]
    left, rms = student["left_corridor"], student["lateral_rms"]
    lines += ["", f"left the corridor of {options['corridor_m']:g} m: {_interval('left_corridor', left)}"]
    lines.append(f"lateral rms [m]: {_interval('lateral_rms', rms)}")
    lines.append(f"ADE of its first plan from the tracker's [m]: {_interval('plan_ade', student['plan_ade'])}")
    if student["plan_jump"]["mean"] is not None:
        lines.append(f"from plan to plan [m]: {_interval('plan_jump', student['plan_jump'])}")
    return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if name in SHARES else f"{value:.3f}"


def _interval(name: str, entry: dict[str, Any]) -> str:
    ends = "" if entry["low"] is None else f" [{_shown(name, entry['low'])}, {_shown(name, entry['high'])}]"
    return _shown(name, entry["mean"]) + ends


def _pictures(
    output_dir: Path, content: dict[str, Any], found: dict[str, Drives], cars: OnRoad, dt: float
) -> dict[str, Path]:
    """Roads from above with the drives on them, a film of one, and the page that shows both beside the numbers."""
    from alpamayo_toy.views import drives
    from alpamayo_toy.views.web_page import keyed, render

    folder = output_dir / "figures"
    pictures = {"roads": folder / "roads.png", "film": folder / "drive.gif"}
    few = len(found["student"].plans)
    roads, student = cars.roads.path.points[:few].cpu(), found["student"]
    states, plans, tracker = student.states[:few].cpu(), student.plans.cpu(), found["tracker"].states[:few].cpu()
    titles = [f"{float(limit):.0f} m/s at most" for limit in cars.roads.limit[:few]]
    every = content["drive"]["every"]
    drives.from_above(pictures["roads"], titles, roads, states, tracker, plans, CORRIDOR, every * dt)
    drives.film(pictures["film"], roads[0], states[0], plans[0], CORRIDOR, dt, every)
    encoded = {name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()}
    page = render("drive.html", found=keyed(content), pictures=encoded, shares=SHARES)
    with replacing(output_dir / "drive.html") as file:
        file.write(page.encode(errors="replace"))
    return pictures


def _log(output_dir: Path, content: dict[str, Any], pictures: dict[str, Path]) -> None:
    """The same for TensorBoard."""
    for old in output_dir.glob(f"events.out.tfevents.*{EVENTS}"):
        old.unlink()
    log = Logger(output_dir, suffix=EVENTS)
    means = {f"drive/{name}": entry["mean"] for name, entry in content["summary"]["student"].items()}
    log.scalars({name: mean for name, mean in means.items() if mean is not None}, 0)
    log.text("drive/table", table(content))
    for name, picture in pictures.items():
        log.picture(f"drive/{name}", picture, 0)
    log.close()
