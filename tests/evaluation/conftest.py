"""Students that the tests of evaluation share."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import run_script


@pytest.fixture(scope="session")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student that is shown everything and one that sees its speed only, both briefly trained on LEFT, at once."""
    short = ("trainer.steps=800", "trainer.batch_size=64", "trainer.val_every=400", "trainer.pictures=0")
    few = ("teacher.scenes=2048", "teacher.val_scenes=128")
    inputs = {"shown": "[scenario,v0,history,context]", "masked": "[v0]"}
    folders = {name: tmp_path_factory.mktemp(name) for name in inputs}

    def train(name: str) -> None:
        options = ("scenario=LEFT", *short, *few, f"student.inputs={inputs[name]}", "hydra.run.dir=.")
        run_script("train", options, folders[name]).check_returncode()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(train, inputs))
    return folders
