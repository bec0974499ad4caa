"""Failures of somebody else's code: one line that says what went wrong and what to do, and how long to wait."""

import re
from collections.abc import Mapping

from alpamayo_toy.errors import UserError, causes, out_of_memory

MESSAGE = 200  # characters of a message that are repeated
WAIT_S, LONGEST_S = 60.0, 300.0  # before a busy hub is asked again; it counts requests by five minutes
TERMS = "accept its terms on the hub, then log in there: hf auth login"
CACHED = "it is not in the cache; name the right --cache and revision, or run once without --offline"
HINTS: dict[str | int, str] = {
    "GatedRepoError": TERMS,
    "RepositoryNotFoundError": "neither a folder here nor a name on the hub that you may see",
    "RevisionNotFoundError": "the hub has no such revision",
    "OfflineModeIsEnabled": CACHED,
    "LocalEntryNotFoundError": CACHED,
    401: TERMS,
    403: TERMS,
    404: "the hub has no such name",
    429: "the hub was asked too often; --retry 5 waits for it",
}
"""What `labels.py generate` says to do, by the name of an exception's class or the status of the answer it carries."""


def why(error: BaseException, hints: Mapping[str | int, str] = HINTS) -> str:
    """A failure in one line, with what to do about it where that is known."""
    if isinstance(error, UserError):
        return str(error)
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:MESSAGE]}"
    if out_of_memory(error):
        return f"{said}; memory is too small for it"
    known = (key for cause in causes(error) for key in (type(cause).__name__, _status(cause)) if key in hints)
    hint = next(known, None)
    return said if hint is None else f"{said}; {hints[hint]}"


def pause_s(error: BaseException, attempt: int) -> float:
    """Seconds to wait after failure 0, 1, ...: none, but where a hub is busy what it says, or longer each time."""
    for cause in causes(error):
        status = _status(cause)
        if status == 429 or 500 <= status < 600:
            headers = getattr(getattr(cause, "response", None), "headers", {})
            told = re.search(r"^\d+$|;t=(\d+)", headers.get("Retry-After") or headers.get("RateLimit") or "")
            return min(float(told[1] or told[0]) if told else WAIT_S * 2**attempt, LONGEST_S)
    return 0.0


def _status(error: BaseException) -> int:
    """The HTTP status of the answer that an exception carries, 0 where it carries none."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status if isinstance(status, int) else 0
