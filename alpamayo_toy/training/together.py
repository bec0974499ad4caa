"""fit_together(): one student in several processes of this machine, what trainer.processes asks for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.hints import command_line
from alpamayo_toy.processes import end_with_parent, prepared, start_method
from alpamayo_toy.training.config import TrainConfig
from alpamayo_toy.training.loop import NEEDS, fit

SAID = f"{UserError.__name__}: "  # how PyTorch hands on what a process raised


def fit_together(config: TrainConfig, output_dir: Path) -> dict[str, Any]:
    """fit() in config.trainer.processes processes, each on its share of every batch; returns what metrics.json holds.

    Where one of them dies or raises, all end. Raises what it raised, or UserError that says which of them died, and
    Interrupted after SIGINT or SIGTERM.
    """
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=config.trainer.processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method=start_method(),
        max_restarts=0,
        monitor_interval=0.1,
    )
    prepared(__name__, *NEEDS)
    try:
        with _quietly():
            found: dict[int, dict[str, Any]] = elastic_launch(launch, _rank)(config, output_dir)
    except SignalException as stop:
        raise Interrupted(f"stopped; {_saved(output_dir)}", stop.sigval) from None
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        said = _said(failure)
        if said.startswith(SAID):
            raise UserError(said.removeprefix(SAID)) from None
        what = f"was killed by signal {-failure.exitcode}" if failure.exitcode < 0 else f"ended: {said}"
        which = f"process {failure.local_rank} of {config.trainer.processes}"
        raise UserError(f"{which} {what}; {_saved(output_dir)}") from None
    return found[0]


def _rank(config: TrainConfig, output_dir: Path) -> dict[str, Any]:
    """What each process does."""
    end_with_parent()
    return fit(config, output_dir)


def _saved(output_dir: Path) -> str:
    """What is left of the run, and how it goes on."""
    last = output_dir / "checkpoints" / "last.pt"
    if not last.exists():
        return "there is no checkpoint yet"
    return f"the last checkpoint is {last}; continue: {command_line('train', trainer__resume=output_dir)}"


def _said(failure: ProcessFailure) -> str:
    """What a process raised, as Kind: message; what PyTorch says of one that was killed."""
    told = failure.message
    return str(told["message"] if isinstance(told, dict) else told)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what PyTorch logs of processes that end: it is raised."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
