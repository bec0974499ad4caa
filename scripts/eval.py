"""Score a trained student: python scripts/eval.py checkpoint=outputs/train/LEFT/..."""

import hydra
from omegaconf import DictConfig

from alpamayo_toy.config import EvalConfig, register, validate
from alpamayo_toy.launch import one_line_errors, output_folder, run


@hydra.main(version_base="1.3", config_path="../configs", config_name="eval")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, EvalConfig)
    from alpamayo_toy.evaluation import evaluate_checkpoint, table

    folder = output_folder()
    print(table(evaluate_checkpoint(checked, folder)))
    print(f"metrics: {folder / 'metrics.json'}")


if __name__ == "__main__":
    register()
    run(main)
