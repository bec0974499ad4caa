"""mlp_head(): hidden layers from a scene's embedding to the numbers that modes are made of."""

from itertools import pairwise

from torch import nn

from alpamayo_toy.students.config import StudentConfig


def mlp_head(config: StudentConfig, outputs: int) -> nn.Sequential:
    """(B, embedding) -> (B, outputs), of one mode raw actions, a and kappa interleaved; all zero at first."""
    widths = [config.embedding] + [config.width] * config.layers
    hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
    output = nn.Linear(widths[-1], outputs)
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    return nn.Sequential(*hidden, output)
