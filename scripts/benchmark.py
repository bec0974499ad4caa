"""Ratios against the plain loop and the dense inverse, in one run: python scripts/benchmark.py [--device cuda]"""

import sys

from alpamayo_toy.commands.ending import ending
from alpamayo_toy.commands.parser import Parser


@ending()
def main() -> None:
    parser = Parser(description="Time rollout, inverse and training step, side by side.")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=15, help="how often the contestants take turns")
    told = "another rollout (actions, v0) or inverse (waypoints, yaw, v0) for the same tables; may be repeated"
    parser.add_argument("--against", action="append", default=[], metavar="MODULE:FUNCTION", help=told)
    options = parser.parse_args()
    import torch

    from alpamayo_toy.commands import benchmark
    from alpamayo_toy.kinematics.device import choose_device

    torch.set_num_threads(1)
    sys.path.insert(0, "")  # a peer in the folder where the user stands
    print(benchmark.run(str(choose_device(options.device)), options.rounds, tuple(options.against)))


if __name__ == "__main__":
    main()
