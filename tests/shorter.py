"""What a run of the tests does less of: validations drive 8 roads of 1 s, not 64 of 10 s, half of a short run."""

from alpamayo_toy.evaluation import drives
from alpamayo_toy.training import loop

drives.SHORT_ROADS = loop.SHORT_ROADS = 8
drives.SHORT_SECONDS = loop.SHORT_SECONDS = 1.0
