"""What a command turns into a single line and an exit code instead of a traceback."""

import re
from collections.abc import Iterator


class UserError(ValueError):
    """A mistake of the user: the message names the file, clip or key, says what is wrong and what to do."""


class Interrupted(Exception):
    """A signal ended the run after it had saved itself; the message says how to go on."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message, signal_number)  # both, so that another process gets it whole
        self.exit_code = 128 + signal_number

    def __str__(self) -> str:
        return str(self.args[0])


def shortened(value: object) -> str:
    """A value of any kind and size as a message shows it: one short line."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        size = value.bit_length() if isinstance(value, int) else len(value) if isinstance(value, str | bytes) else 0
        text = f"{size} bits" if isinstance(value, int) and size > 99 else repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, list | tuple | dict) else kind


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def out_of_memory(error: BaseException) -> bool:
    """Of Python, NumPy, a GPU, or PyTorch on a CPU, which has no exception of its own for it."""
    return any(
        isinstance(cause, MemoryError)
        or type(cause).__name__ == "OutOfMemoryError"
        or re.search("out of memory|can't allocate memory", str(cause), re.IGNORECASE)
        for cause in causes(error)
    )


def require(holds: bool, key: str, wanted: str, got: object) -> None:
    """Raise UserError naming an option, what it must be and what it is, unless it holds."""
    if not holds:
        endless = isinstance(got, int) and got.bit_length() > 99  # Python itself prints no more than 4300 digits
        raise UserError(f"{key} must be {wanted} (got {shortened(got) if endless else repr(got)[:300]})")
