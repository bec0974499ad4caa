"""What scripts/benchmark.py takes, and the report that it makes: of speed, or of growth."""

import sys

from alpamayo_toy.commands.ending import ending
from alpamayo_toy.commands.parser import Parser

CLIPS = 10**5  # of the largest label set of growth


@ending()
def main() -> None:
    """Print the report that the command line asks for."""
    parser = Parser(description="Time rollout, inverse and training step, side by side, or how all of it grows.")
    known = "speed: ratios, side by side (default); growth: with clips, batch, horizon, modes, width; on the CPU"
    parser.add_argument("what", nargs="?", choices=["speed", "growth"], default="speed", help=known)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=15, help="how often the contestants take turns")
    told = "another rollout (actions, v0) or inverse (waypoints, yaw, v0) for the same tables; may be repeated"
    parser.add_argument("--against", action="append", default=[], metavar="MODULE:FUNCTION", help=told)
    parser.add_argument("--clips", type=int, help=f"of the largest label set of growth; {CLIPS}")
    options = parser.parse_args()
    if options.what == "growth" and (options.device != "cpu" or options.against):
        parser.error("growth is measured on the CPU and against nobody: leave --device and --against")
    if options.what == "speed" and options.clips is not None:
        parser.error("--clips is an option of growth")
    import torch  # after the options are read, which takes no second

    torch.set_num_threads(1)
    if options.what == "growth":
        from alpamayo_toy.commands import growth

        for line in growth.lines(CLIPS if options.clips is None else options.clips, options.rounds):
            print(line, flush=True)
        return
    from alpamayo_toy.commands import benchmark
    from alpamayo_toy.kinematics.device import choose_device

    sys.path.insert(0, "")  # a peer in the folder where the user stands
    print(benchmark.run(str(choose_device(options.device)), options.rounds, tuple(options.against)))
