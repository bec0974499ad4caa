"""Students that the tests of evaluation share."""

from pathlib import Path

import pytest
from composed import train_config

from alpamayo_toy.training.loop import fit


@pytest.fixture(scope="session")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student that is shown everything and one that sees its speed only, both briefly trained on LEFT."""
    short = ("trainer.steps=800", "trainer.batch_size=64", "trainer.val_every=400", "trainer.pictures=0")
    few = ("teacher.scenes=2048", "teacher.val_scenes=128")
    folders = {}
    for name, inputs in (("shown", "[scenario,v0,history,context]"), ("masked", "[v0]")):
        folders[name] = tmp_path_factory.mktemp(name)
        fit(train_config("scenario=LEFT", *short, *few, f"student.inputs={inputs}"), folders[name])
    return folders
