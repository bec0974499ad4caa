"""Train a student: python scripts/train.py scenario=LEFT, or teacher=file teacher.path=labels.json."""

from typing import Any

from alpamayo_toy.commands.launch import command, curves, noted, output_folder, resumed
from alpamayo_toy.config import validate
from alpamayo_toy.ranks import launched
from alpamayo_toy.training.config import TrainConfig


@command("train")
def main(config: Any) -> None:
    checked = resumed(validate(config, TrainConfig))
    from alpamayo_toy.evaluation.results import sentence, table
    from alpamayo_toy.training.loop import fit

    ranks = launched()
    folder = noted(output_folder()) if ranks.leads else output_folder()
    if ranks.alone and checked.trainer.processes > 1:
        from alpamayo_toy.training.together import fit_together

        metrics = fit_together(checked, folder)
    else:
        metrics = fit(checked, folder)
    if ranks.leads:
        print(f"{table(metrics)}\n\n{sentence(metrics)}\nrun: {folder}\nlook: {curves(folder)}")


if __name__ == "__main__":
    main()
