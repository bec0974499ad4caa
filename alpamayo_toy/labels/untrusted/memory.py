"""How much of the machine's memory one file may take."""

import os


def half_of_memory() -> int:
    """Bytes of half the machine's memory; 4 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30
