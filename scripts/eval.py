"""Score a student: python scripts/eval.py checkpoint=outputs/train/LEFT/..., or runs side by side: 'compare=[A,B]'."""

import hydra
from omegaconf import DictConfig

from alpamayo_toy.commands.launch import one_line_errors, output_folder, run
from alpamayo_toy.config import register, validate
from alpamayo_toy.evaluation.config import EvalConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="eval")
@one_line_errors
def main(config: DictConfig) -> None:
    checked = validate(config, EvalConfig)

    folder = output_folder()
    if checked.compare:
        from alpamayo_toy.evaluation.comparison import compare

        print(compare(checked.compare, folder))
        print(f"comparison: {folder / 'comparison.json'}")
        return
    from alpamayo_toy.evaluation.checkpoint import evaluate_checkpoint
    from alpamayo_toy.evaluation.results import sentence, table

    metrics = evaluate_checkpoint(checked, folder)
    print(f"{table(metrics)}\n\n{sentence(metrics)}")
    print(f"metrics: {folder / 'metrics.json'}" + (f"\nlook: {folder / 'report.html'}" if checked.plot else ""))


if __name__ == "__main__":
    register()
    run(main)
