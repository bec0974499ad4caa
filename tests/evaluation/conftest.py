"""Students that the tests of evaluation share."""

from functools import partial
from pathlib import Path

import pytest
from composed import train_config
from once import made_once

from alpamayo_toy.training.loop import fit


@pytest.fixture(scope="session")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student that is shown everything and one that sees its speed only, both briefly trained on LEFT."""
    short = ("trainer.batch_size=64", "trainer.pictures=0")
    few = ("teacher.scenes=2048", "teacher.val_scenes=128", "teacher.reveal=scene")
    folders = {}
    for name, steps, inputs in (("shown", 900, "[scenario,v0,history,context]"), ("masked", 200, "[v0]")):
        long = (f"trainer.steps={steps}", f"trainer.val_every={steps // 2}")
        config = train_config("scenario=LEFT", *short, *long, *few, f"student.inputs={inputs}")
        folders[name] = made_once(tmp_path_factory, name, partial(fit, config))
    return folders
