"""Ratios against the plain loop, in one run and one table: python scripts/benchmark.py [--device cuda]"""

import argparse


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the rollout and a training step against the plain loop.")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=15, help="how often the contestants take turns")
    options = parser.parse_args()
    import torch

    from alpamayo_toy import benchmark

    torch.set_num_threads(1)
    print(benchmark.run(options.device, options.rounds))


if __name__ == "__main__":
    main()
