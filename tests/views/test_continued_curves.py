"""The event files of a run that was continued, as TensorBoard reads them: every step once."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alpamayo_toy.views.tensorboard import CURVES, Logger


def test_what_was_said_up_to_the_checkpoint_stays_and_what_came_behind_it_is_said_anew(tmp_path: Path) -> None:
    for first, steps in ((0, (1, 2, 3)), (2, (3, 4))):  # killed after step 3, continued from the checkpoint of step 2
        log = Logger(tmp_path, first, suffix=f".{first}")
        for step in steps:
            log.scalars({"val/ade": float(10 * first + step)}, step)
        log.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    points = [(event.step, event.value) for event in read.Scalars(CURVES["val/ade"][0])]
    assert points == [(1, 1.0), (2, 2.0), (3, 23.0), (4, 24.0)]
