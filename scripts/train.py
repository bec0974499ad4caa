"""Train a student: python scripts/train.py scenario=LEFT, or teacher=file teacher.path=labels.json."""

import shlex
from typing import Any

from alpamayo_toy.commands.launch import command, noted, output_folder, resumed
from alpamayo_toy.config import validate
from alpamayo_toy.training.config import TrainConfig


@command("train")
def main(config: Any) -> None:
    checked = resumed(validate(config, TrainConfig))
    from alpamayo_toy.evaluation.results import sentence, table
    from alpamayo_toy.training.loop import fit

    folder = noted(output_folder())
    metrics = fit(checked, folder)
    print(f"{table(metrics)}\n\n{sentence(metrics)}")
    print(f"run: {folder}\nlook: tensorboard --logdir {shlex.quote(str(folder.parents[1]))}")


if __name__ == "__main__":
    main()
