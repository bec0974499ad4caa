"""Texts of a file: flattened where they are lists in lists, and shown in a message of one line."""

import ast
import warnings

MAX_TEXT_DEPTH, MAX_TEXT_LEAVES, MAX_TEXT, MAX_JOINED = 8, 1000, 10_000, 100_000


def flat_text(value: object) -> tuple[str, bool]:
    """One text of an item, and whether it was nested.

    A str is itself, None is empty, lists and tuples of texts (or of dicts of them) are their non-empty texts joined by
    spaces, and so is a str that spells out such a list. Anything else is its str, cut at MAX_TEXT. ValueError for more
    than MAX_TEXT_DEPTH levels, MAX_TEXT_LEAVES texts or MAX_JOINED characters.
    """
    if value is None:
        return "", False
    inner = _spelled_out(value) if isinstance(value, str) else value
    if isinstance(inner, str):
        check_length(len(inner))
        return inner, False
    leaves = _leaves(inner)
    if not isinstance(inner, (list, tuple)):
        return str(inner)[:MAX_TEXT], False
    texts = ["" if leaf is None else leaf if isinstance(leaf, str) else str(leaf)[:MAX_TEXT] for leaf in leaves]
    check_length(sum(map(len, texts)), "a nested text")
    return " ".join(filter(None, texts)), True


def check_length(characters: int, what: str = "a text") -> None:
    """Raise ValueError for a text of more than any teacher says of a clip."""
    if characters > MAX_JOINED:
        raise ValueError(f"{what} has {characters} characters; at most {MAX_JOINED} are read")


def texts_of(value: object, k: int) -> list[str] | None:
    """The k texts of an item, one a sample, however they are nested; None where it does not hold so many."""
    inner = _spelled_out(value) if isinstance(value, str) else value
    if not isinstance(inner, (list, tuple)):
        return None
    leaves = _leaves(inner)
    if len(leaves) != k or not all(isinstance(leaf, str) for leaf in leaves):
        return None
    check_length(sum(len(str(leaf)) for leaf in leaves))
    return list(map(str, leaves))


def shown(text: str) -> str:
    """Text of a file as it may stand in a message: one short line."""
    return text[:200].encode("unicode_escape").decode()


def one_line(message: str) -> str:
    """A message, whatever of a file it repeats, as one printable line; a long one is cut in its middle."""
    cut = message if len(message) <= 900 else f"{message[:600]} ... {message[-250:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _spelled_out(text: str) -> object:
    """The list that a text spells out, or the text."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]") and len(text) < MAX_TEXT):
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in what is only tried
            value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _leaves(value: object) -> list[object]:
    """What lies in lists, tuples and values of dicts, in order; an empty one counts, so that many of them end too."""
    leaves: list[object] = []
    open_: list[tuple[object, int]] = [(value, 0)]
    while open_:
        item, depth = open_.pop()
        if isinstance(item, (list, tuple, dict)) and len(item) > 0:
            if depth == MAX_TEXT_DEPTH or len(item) > MAX_TEXT_LEAVES:
                raise ValueError(f"a text is nested deeper than {MAX_TEXT_DEPTH} or in more than {MAX_TEXT_LEAVES}")
            inside = item.values() if isinstance(item, dict) else item
            open_.extend((part, depth + 1) for part in reversed(list(inside)))
        else:
            leaves.append(None if isinstance(item, (list, tuple, dict)) else item)
            if len(leaves) > MAX_TEXT_LEAVES:
                raise ValueError(f"a nested text holds more than {MAX_TEXT_LEAVES} texts")
    return leaves
