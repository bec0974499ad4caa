"""Train a student: python scripts/train.py scenario=LEFT, or teacher=file teacher.path=labels.json."""

import shlex

import hydra
from omegaconf import DictConfig

from alpamayo_toy.commands.launch import noted, one_line_errors, output_folder, resumed, run
from alpamayo_toy.config import register, validate
from alpamayo_toy.training.config import TrainConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = resumed(validate(config, TrainConfig))
    from alpamayo_toy.evaluation.results import sentence, table
    from alpamayo_toy.training.loop import fit

    folder = noted(output_folder())
    metrics = fit(checked, folder)
    print(f"{table(metrics)}\n\n{sentence(metrics)}")
    print(f"run: {folder}\nlook: tensorboard --logdir {shlex.quote(str(folder.parents[1]))}")


if __name__ == "__main__":
    register()
    run(main)
