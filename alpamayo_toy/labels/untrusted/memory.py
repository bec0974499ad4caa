"""How much of the machine's memory one file may take."""

import os
from pathlib import Path

from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers.config import LONGEST

ALWAYS, TIMES = 20 << 20, 20  # bytes that any file may unpack to, and how often its own size
MOST_SAMPLES = 4096  # trajectories of a clip
PACKED: dict[Path, int] = {}
"""The bytes that files of a zip take in it, while it is unpacked: what they unpack to is measured by these."""


def check_unpacked(path: Path, size: int) -> None:
    """Raise UserError for a file that holds so many bytes, its numbers as float64, though it is a fraction of that.

    Packed well or repeating itself, a small file may ask for any amount of memory, and of time.
    """
    own = PACKED.get(path, path.stat().st_size)
    if size > max(ALWAYS, TIMES * own):
        raise UserError(
            f"{path} has {own} bytes and unpacks to {size} and more, over {TIMES} times as many; leave out what is no"
            " label, or write it unpacked (numpy.savez, Parquet without compression or dictionaries)"
        )


def check_shape(where: str, samples: int, steps: int) -> None:
    """Raise UserError for more samples of a clip, or more steps, than any teacher gives."""
    if samples > MOST_SAMPLES or steps > LONGEST:
        most = f"at most {MOST_SAMPLES} samples of {LONGEST} steps are read"
        raise UserError(f"{where} has {samples} samples of {steps} steps; {most}")


def half_of_memory() -> int:
    """Bytes of half the machine's memory; 4 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30
