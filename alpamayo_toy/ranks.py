"""Ranks: the processes that train one student together, and which of them this one is."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from alpamayo_toy.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Value = TypeVar("Value")
_groups: list[object] = []
"""Until the process ends: where a DistributedDataParallel is the last to let go of a group, PyTorch waits with Python's
lock for a thread that may want it."""
PATIENCE = 2.0  # s, in which whoever started the processes sees which of them ended first, and ends the others


class Left(UserError):
    """Another of the processes has ended, and this one cannot go on without it."""


@dataclass(frozen=True)
class Ranks:
    """This is number rank of size processes, and number local of those on its machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes files."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    def share(self, rows: "Tensor") -> "Tensor":
        """Its rows of a tensor (n, ...): the ranks' shares, one after the other, are all of them, each once."""
        return rows.tensor_split(self.size)[self.rank]

    def batches(self, count: int, size: int) -> "Iterable[Tensor]":
        """The numbers of its share of so many rows, in batches of that size; none where there are fewer than ranks."""
        import torch

        rows = self.share(torch.arange(count))
        return rows.split(size) if len(rows) else ()

    def gathered(self, value: Value) -> list[Value]:
        """What all of them hold, by rank; each has to ask."""
        if self.alone:
            return [value]
        from torch import distributed

        found: list[Value] = [value] * self.size
        distributed.all_gather_object(found, value)
        return found


ALONE = Ranks()


def launched() -> Ranks:
    """What torchrun, or trainer.processes, says of this process in its environment; ALONE without either."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    return Ranks(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


@contextmanager
def joined(device: "torch.device") -> Iterator[Ranks]:
    """The ranks of a run, linked for as long as the block lasts. Raises Left in it where one of the others ends."""
    ranks = launched()
    if ranks.alone:
        yield ranks
        return
    from torch import distributed

    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    _groups.append(distributed.group.WORLD)
    try:
        yield ranks
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        time.sleep(PATIENCE)
        raise Left(f"process {ranks.rank} of {ranks.size} waits for another one, which has ended") from None
    finally:
        distributed.destroy_process_group()
