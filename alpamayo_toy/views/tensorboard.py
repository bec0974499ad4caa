"""What TensorBoard shows: curves with units and words, histograms, pictures, options, and a table of runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.metadata import create_summary_metadata
from torch import Tensor
from torch.utils.tensorboard.summary import histogram, hparams, text

from alpamayo_toy.views.events import EventFile
from alpamayo_toy.views.web_page import flat

CURVES = {
    "ADE/validation": (
        "ADE/validation [m]",
        "Mean distance of the student to its teacher's samples, on clips held out.",
    ),
    # names that others read out of the table of runs
    "final/ade": ("final/ade", "ADE [m] of the checkpoint that is kept so far: what the run is to end with."),
    "final/excess": ("final/excess", "The same checkpoint's excess over floor."),
    "loss/total": ("loss/total", "What is minimised: the terms beside it, each times its weight."),
    "loss/position": ("loss/position [m]", "The energy score; of one trajectory its mean distance to the samples."),
    "loss/action": ("loss/action", "Smooth L1 on normalised actions."),
    "loss/winner": (
        "loss/winner",
        "Of several modes: distance of the nearest one, and cross-entropy of which that is.",
    ),
    "drive/left_corridor": ("roads/left the corridor", "Share of 64 roads on which a 2 m corridor was left."),
    "drive/lateral_rms": ("roads/lateral rms [m]", "How far beside the path, on 64 roads of 10 s."),
    "drive/progress": ("roads/progress [m]", "Distance along the path, on 64 roads of 10 s."),
    "train/gradient_norm": ("train/gradient_norm", "Before it is clipped to optimizer.clip_norm."),
    "train/learning_rate": ("train/learning_rate", "AdamW's step size: warm-up, then half a cosine."),
    "train/steps_per_second": ("train/steps_per_second", "Validation and pictures left out."),
    "val/ade": ("val/ade", "ADE [m], as in the chart on top."),
    "val/fde": ("val/fde [m]", "Distance at the end of the horizon."),
    "val/energy": (
        "val/energy score [m]",
        "Of the student as a distribution; less is better, the teacher's own is the best.",
    ),
    "val/min_ade": ("val/minADE of the modes [m]", "Of the mode that is nearest to each sample."),
    "val/ade_over_floor": ("val/ADE over floor", "1 is the best that a single trajectory can do."),
    "val/excess_over_floor": (
        "val/excess over floor",
        "Distance to the median of the teacher's samples, over the floor.",
    ),
}
"""What a curve is called where it is looked at, with its unit, and what it is. Groups stand in alphabetical order."""
BINS = np.concatenate([-np.geomspace(1e-12, 1e20, 774)[::-1], [0], np.geomspace(1e-12, 1e20, 774)])
"""Of histograms: a tenth wider from one to the next, wherever the values lie."""
BESIDE = "beside"  # the folder of the lines that a validation is looked at beside: the floor and a baseline


class Logger:
    """Writes the event file of one run's folder; a continued run passes its step, and later points are dropped."""

    def __init__(self, folder: Path, first_step: int = 0, suffix: str = "") -> None:
        self.folder, self.suffix = folder, suffix
        self.purge_step = first_step + 1 if first_step > 0 else None  # what stands at the step itself was said
        self.events = self._written_to(folder)
        self.beside: dict[str, EventFile] = {}

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Points of curves, by the names that CURVES knows."""
        for name, value in values.items():
            self.events.add(_point(name, value), step)

    def lines(self, name: str, values: dict[str, float], step: int) -> None:
        """Points of other lines in the chart of a curve: runs of their own, as it has one line a run."""
        for line, value in values.items():
            if line not in self.beside:
                self.beside[line] = self._written_to(self.folder / BESIDE / line)
            self.beside[line].add(_point(name, value), step)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        self.events.add(histogram(name, values.numpy(), BINS), step)

    def picture(self, name: str, png: Path, step: int) -> None:
        """A PNG file as it is: what one sees there is the file in the run's folder."""
        image = Summary.Image(encoded_image_string=png.read_bytes())
        self.events.add(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def text(self, name: str, content: str) -> None:
        """Preformatted text."""
        self.markdown(name, "\n".join("    " + line for line in content.splitlines()))

    def options(self, name: str, options: dict[str, Any]) -> None:
        """A table of options, nested ones by their dotted names."""
        rows = [f"| {key} | {json.dumps(value)} |" for key, value in flat(options).items()]
        self.markdown(name, "\n".join(["| option | value |", "|---|---|", *rows]))

    def markdown(self, name: str, content: str) -> None:
        self.events.add(text(name, content), None)

    def hparams(self, options: dict[str, Any], results: dict[str, float]) -> None:
        """Options and results in this run itself, for TensorBoard's comparison of runs, which ticks what differs.

        It looks for what differs only where no run says itself which options there are.
        """
        plain = {name: v if isinstance(v, bool | int | float | str) else str(v) for name, v in options.items()}
        for part in hparams({**results, **plain}, {})[1:]:
            self.events.add(part, None)

    def close(self) -> None:
        for events in (self.events, *self.beside.values()):
            events.close()

    def _written_to(self, folder: Path) -> EventFile:
        return EventFile(folder, self.purge_step, self.suffix)


def _point(name: str, value: float) -> Any:
    tag, what = CURVES.get(name, (name, ""))
    return Summary(value=[Summary.Value(tag=tag, simple_value=value, metadata=create_summary_metadata("", what))])
