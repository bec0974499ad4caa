"""Ratios against the plain loop and the dense inverse, or how things grow: python scripts/benchmark.py [growth]"""

import sys

from alpamayo_toy.commands.ending import ending
from alpamayo_toy.commands.parser import Parser


@ending()
def main() -> None:
    parser = Parser(description="Time rollout, inverse and training step, side by side, or how all of it grows.")
    known = "speed: ratios, side by side (default); growth: with clips, batch, horizon, modes, width; on the CPU"
    parser.add_argument("what", nargs="?", choices=["speed", "growth"], default="speed", help=known)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=15, help="how often the contestants take turns")
    told = "another rollout (actions, v0) or inverse (waypoints, yaw, v0) for the same tables; may be repeated"
    parser.add_argument("--against", action="append", default=[], metavar="MODULE:FUNCTION", help=told)
    parser.add_argument("--clips", type=int, default=10**5, help="of the largest label set of growth")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    if options.what == "growth":
        from alpamayo_toy.commands import growth

        for line in growth.lines(options.clips, options.rounds):
            print(line, flush=True)
        return
    from alpamayo_toy.commands import benchmark
    from alpamayo_toy.kinematics.device import choose_device

    sys.path.insert(0, "")  # a peer in the folder where the user stands
    print(benchmark.run(str(choose_device(options.device)), options.rounds, tuple(options.against)))


if __name__ == "__main__":
    main()
