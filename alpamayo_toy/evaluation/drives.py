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
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Scene
from alpamayo_toy.metrics.comfort import from_actions, passes
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.driving import CORRIDOR, PATIENCE, along_a_path, from_rest, stopping
from alpamayo_toy.metrics.intervals import MIN_UNITS, of_share, over_clips
from alpamayo_toy.ranks import ALONE, Ranks
from alpamayo_toy.students.checkpoint import load_student
from alpamayo_toy.students.own import own_class
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import FileConfig, RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.teacher import synthetic_teacher
from alpamayo_toy.teachers.tracker import DRIVER
from alpamayo_toy.training.config import to_dict
from alpamayo_toy.views.tensorboard import Logger
from alpamayo_toy.views.web_page import About, keyed, now_said, render

FORMAT = 1  # of drive.json
ROADS = 5  # of the numbers that seeds are mixed with: roads that no training or validation draws
EVENTS = ".drive"  # how event files of a drive end
SHORT_ROADS, SHORT_SECONDS = 64, 10.0  # of the drives during training
WATCHED = ("left_corridor", "lateral_rms", "progress")  # of them
LATER = 6.0  # s, when it is looked whether a car that began beside its lane is back on it
SHARES = ("left_corridor", "on_heading", "pulls_away", "under_way", "stops", "stops_as_tracker", "comfort")


def drive_checkpoint(config: DriveConfig, output_dir: Path) -> dict[str, Any]:
    """Drive a student on roads of a scenario, beside its teacher, 'along the route' and 'straight on'.

    Writes drive.json, drives.csv, TensorBoard's events and, with plot, a picture, a film and drive.html. Raises
    UserError for a student that was trained without a route, unless it is to drive blind.
    """
    device = choose_device(config.device)
    student, trained = load_student(config.checkpoint, own_class(config.student))
    student.to(device)
    torch.set_num_threads(trained.trainer.threads)
    if not student.follows_a_route and not config.blind:
        raise UserError(
            f"{config.checkpoint} knows no route: asked again it cannot tell where it is, and will not drive;"
            " train one with route among student.inputs (blind=true drives it all the same)"
        )
    from_file = isinstance(trained.teacher, FileConfig)
    scenario = config.scenario or (RoadConfig() if from_file else trained.scenario)
    seed = trained.seed if config.seed is None else config.seed
    dt, options = student.rollout.dt, config.drive
    if options.every > student.horizon:
        raise UserError(f"drive.every must be at most {student.horizon}, the steps of a plan (got {options.every})")
    teacher = synthetic_teacher(scenario, SyntheticConfig(), student.horizon, dt)
    generator = torch.Generator().manual_seed(mixed(seed, ROADS))
    cars = teacher.cars(options.scenes, generator, options.seconds, first=True).beside(options.offset_m).to(device)
    integrator = options.integrator or student.rollout.integrator
    drivers: dict[str, Driver] = {
        "student": hidden_from(student_driver(student), config.hide),
        "tracker": tracker_driver(options.every, dt),
        "along_the_route": steady_driver(options.every, dt),
        "straight_on": straight_driver(options.every),
    }
    found = {name: drive(driver, cars, options, integrator, dt, seed) for name, driver in drivers.items()}
    end = found["tracker"].along[:, -1]
    rows = {name: _judged(made, cars, end, integrator, dt) for name, made in found.items()}
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
        "scenario": getattr(scenario, "name", "ALL"),
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
    names = (*Scenario.__members__, *teacher.own_scenarios)
    about = About(config.checkpoint, now_said(), to_dict(trained))
    pictures = _pictures(output_dir, content, about, found, cars, names, dt) if config.plot else {}
    _log(output_dir, content, pictures)
    return content


def short_drive(student: Student, cars: Cars, ranks: Ranks = ALONE) -> dict[str, float]:
    """What is watched during training: 10 s on these roads, asked every second step to be cheap; cars: a rank's."""
    dt, integrator, found = student.rollout.dt, student.rollout.integrator, dict[str, Tensor]()
    if len(cars.v0):  # there may be more ranks than roads
        driven = drive(student_driver(student), cars, DriveOptions(seconds=SHORT_SECONDS, every=2), integrator, dt)
        found = along_a_path(cars.along, driven.along, driven.beside, driven.heading_error)
    everyones = ranks.gathered({name: values.cpu() for name, values in found.items() if name in WATCHED})
    return {name: float(torch.cat([part[name] for part in everyones if part]).mean()) for name in WATCHED}


def hidden_from(driver: Driver, inputs: list[str]) -> Driver:
    """The same driver, who is not shown these inputs: NaN, which a student knows as 'missing'."""
    if not inputs:
        return driver

    def act(scene: Scene, now: Situation) -> Tensor:
        nothing: dict[str, Any] = {name: torch.full_like(getattr(scene, name), torch.nan) for name in inputs}
        return driver(replace(scene, **nothing), now)

    return act


def _judged(drives: Drives, cars: Cars, tracker_end: Tensor, integrator: str, dt: float) -> dict[str, Tensor]:
    """Every number of these drives, by name (N,) each; tracker_end (N,) m along is where the tracker came to."""
    passed = passes(from_actions(drives.actions, drives.states, cars.v0, dt, integrator))["all"]
    speed, line = drives.states[..., 3], cars.stop_line()
    if cars.course is not None:  # a drive that ends before one has had time to stop says nothing of it
        line = torch.where(cars.course.done + PATIENCE <= speed.shape[1] * dt, line, torch.nan)
    as_tracker = stopping(torch.where(line.isnan(), torch.nan, tracker_end), drives.along, speed)
    later = round(LATER / dt)
    after = drives.beside[:, later - 1].abs() if drives.beside.shape[1] >= later else torch.full_like(line, torch.nan)
    return {
        **along_a_path(cars.along, drives.along, drives.beside, drives.heading_error),
        "lateral_6s": after,
        **from_rest(cars.v0, speed, dt),
        **stopping(line, drives.along, speed),
        "stops_as_tracker": as_tracker["stops"],
        "comfort": passed.to(cars.v0.dtype),
    }


HEADS = {
    "left_corridor": "left lane",
    "lateral_rms": "rms [m]",
    "lateral_p95": "p95 [m]",
    "lateral_6s": "6 s [m]",
    "heading_end": "yaw [rad]",
    "progress": "way [m]",
    "pulls_away": "from rest",
    "under_way": "2 m/s",
    "stops": "stops",
    "overshoot": "over [m]",
    "comfort": "comfort",
}
"""What the terminal shows of each driver, where there is something to show."""


def table(content: dict[str, Any]) -> str:
    """drive.json as aligned lines for a terminal."""
    options, summary = content["drive"], content["summary"]
    scenes = options["scenes"]
    heads = {
        name: head for name, head in HEADS.items() if any(row[name]["mean"] is not None for row in summary.values())
    }
    lines = [
        f"{content['scenario']}: {scenes} roads of {options['seconds']:g} s, asked {_every(options['every'])},"
        f" delay {options['delay']}, noise {options['noise']:g}, {options['integrator']}"
        + (f", hidden: {', '.join(content['hidden'])}" if content["hidden"] else ""),
        "95 % intervals over roads" if scenes >= MIN_UNITS else f"fewer than {MIN_UNITS} roads: no intervals",
        "",
        f"{'driver':<18}" + "".join(f"{head:>11}" for head in heads.values()),
    ]
    for who, row in summary.items():
        lines.append(f"{who:<18}" + "".join(f"{_shown(name, row[name]['mean']):>11}" for name in heads))
    student = summary["student"]
    said = {
        "left_corridor": f"left the corridor of {options['corridor_m']:g} m",
        "lateral_rms": "lateral rms [m]",
        "on_heading": "within 10 degrees of the road's heading at the end",
        "stops_as_tracker": "stands within 1 m of where the tracker does",
        "under_way": "from rest, above 2 m/s after 5 s",
        "plan_ade": "ADE of its first plan from the tracker's [m]",
        "plan_jump": "from plan to plan [m]",
    }
    known = [
        f"{words}: {_interval(name, student[name])}"
        for name, words in said.items()
        if student[name]["mean"] is not None
    ]
    return "\n".join([*lines, "", *known])


def _every(steps: int) -> str:
    return "at every step" if steps == 1 else f"every {steps} steps"


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if name in SHARES else f"{value:.3f}"


def _interval(name: str, entry: dict[str, Any]) -> str:
    ends = "" if entry["low"] is None else f" [{_shown(name, entry['low'])}, {_shown(name, entry['high'])}]"
    return _shown(name, entry["mean"]) + ends


def _pictures(
    output_dir: Path,
    content: dict[str, Any],
    about: About,
    found: dict[str, Drives],
    cars: Cars,
    names: tuple[str, ...],
    dt: float,
) -> dict[str, Path]:
    """Roads from above with the drives on them, a film of one, and the page that shows both beside the numbers."""
    from alpamayo_toy.views import drives

    folder = output_dir / "figures"
    pictures = {"roads": folder / "roads.png", "film": folder / "drive.gif"}
    few = len(found["student"].plans)
    roads, student = cars.roads.path.points[:few].cpu(), found["student"]
    states, plans, tracker = student.states[:few].cpu(), student.plans.cpu(), found["tracker"].states[:few].cpu()
    limits, scenarios = cars.roads.limit[:few].tolist(), cars.scenario[:few].tolist()
    titles = [
        f"{limit:.0f} m/s at most" if number == UNKNOWN_SCENARIO else f"{names[number]}, {v0:.0f} m/s"
        for limit, number, v0 in zip(limits, scenarios, cars.v0[:few].tolist(), strict=True)
    ]
    every = content["drive"]["every"]
    stops = cars.roads.path.at(cars.stop_line().unsqueeze(-1))[0][:few, 0].cpu()
    drives.from_above(pictures["roads"], titles, roads, states, tracker, plans, stops, CORRIDOR, every * dt)
    drives.film(pictures["film"], roads[0], states[0], plans[0], CORRIDOR, dt, every)
    encoded = {name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()}
    page = render("drive.html", found=keyed(content), about=about, pictures=encoded, shares=SHARES)
    with replacing(output_dir / "drive.html") as file:
        file.write(page.encode(errors="replace"))
    return pictures


def _log(output_dir: Path, content: dict[str, Any], pictures: dict[str, Path]) -> None:
    """The same for TensorBoard."""
    for old in output_dir.glob(f"events.out.tfevents.*{EVENTS}"):
        old.unlink()
    log = Logger(output_dir, suffix=EVENTS)
    log.text("drive/table", table(content))
    for name, picture in pictures.items():
        log.picture(f"roads/{name}", picture, 0)
    log.close()
