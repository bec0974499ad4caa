"""How often the 95 % intervals hold the truth: python scripts/coverage.py [--draws 1000] [--values LABELS]"""

from pathlib import Path

from alpamayo_toy.commands.ending import ending
from alpamayo_toy.commands.parser import Parser


@ending()
def main() -> None:
    parser = Parser(description="Measure the coverage of the 95 % intervals on data of known mean.")
    parser.add_argument("--draws", type=int, default=1000, help="sets of data for each row of the table")
    parser.add_argument("--values", type=Path, help="a label file whose minADE per clip is one of the populations")
    options = parser.parse_args()
    import torch

    from alpamayo_toy.evaluation import coverage

    torch.set_num_threads(1)
    print(coverage.run(options.draws, options.values))


if __name__ == "__main__":
    main()
