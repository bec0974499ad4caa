"""Score a student: python scripts/eval.py checkpoint=outputs/train/LEFT/..., or runs side by side: 'compare=[A,B]'."""

from typing import Any

from alpamayo_toy.commands.launch import command, output_folder
from alpamayo_toy.config import validate
from alpamayo_toy.evaluation.config import EvalConfig


@command("eval")
def main(config: Any) -> None:
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
    main()
