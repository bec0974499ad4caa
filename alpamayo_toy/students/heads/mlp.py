"""mlp_head(): hidden layers from a scene's embedding to the raw actions of every step."""

from itertools import pairwise

from torch import nn

from alpamayo_toy.students.config import StudentConfig


def mlp_head(config: StudentConfig, horizon: int) -> nn.Sequential:
    """(B, embedding) -> raw actions (B, 2 T), a and kappa interleaved; the output layer starts at zero."""
    widths = [config.embedding] + [config.width] * config.layers
    hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
    output = nn.Linear(widths[-1], horizon * 2)
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    return nn.Sequential(*hidden, output)
