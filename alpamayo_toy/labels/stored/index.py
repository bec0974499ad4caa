"""labels.json, the index of a set: what it says of the set's clips and shards, written last and checked first."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import write_json

FORMAT = 1
INDEX = "labels.json"
KIND = "alpamayo_toy label set"
FRAME = "ego frame at t0: x forward, y left, metres; yaw in radians counter-clockwise; v in m/s; first point t0 + dt"
NEEDED = ("clip_id", "t0_us", "v0", "teacher", "scenario", "source", "v0_source")
MOST = 1e100  # that a sum of actions may be: their means can be squared


def is_set(path: Path) -> bool:
    """A folder whose labels.json says that it is one, or that file itself."""
    index = path / INDEX if path.is_dir() else path
    if index.name != INDEX or not index.is_file():
        return False
    with index.open("rb") as file:
        return KIND.encode() in file.read(200)


def facts_in(folder: Path) -> dict[str, Any]:
    """What the index of a set says, whether its shards are there or not. Raises UserError."""
    with reading_set(folder):
        facts: dict[str, Any] = json.loads((folder / INDEX).read_bytes())
        if facts["format"] != FORMAT:
            raise UserError(f"{folder / INDEX} has format {facts['format']}; this version reads {FORMAT}")
        _check_facts(facts)
        return facts


@contextmanager
def reading_set(folder: Path) -> Iterator[None]:
    """What reading a set raises, as a UserError that names it."""
    try:
        yield
    except (OSError, EOFError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno == errno.EMFILE:
            raise UserError(f"{folder} has more files than this process may open; raise the limit: ulimit -n") from None
        raise UserError(f"{folder} is no whole label set: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder / INDEX} is no index of a label set: {error!r:.200}") from None


def _check_facts(facts: Any) -> None:
    """Raise ValueError, KeyError or TypeError for an index that does not say what every set says."""
    counts = {name: facts[name] for name in ("samples", "horizon", "history_poses")}
    wrong = [name for name, count in counts.items() if type(count) is not int or not 0 <= count < 2**31]
    wrong += [name for name in ("fields", "context_names", "left_out", "shards") if not isinstance(facts[name], list)]
    listed = ("fields", "context_names", "left_out")
    wrong += [name for name in listed if not all(isinstance(text, str) for text in facts[name])]
    wrong += ["texts"] if type(facts.get("texts", 1)) is not int or facts.get("texts", 1) < 1 else []
    wrong += ["dt"] if type(facts["dt"]) not in (int, float) else []
    wrong += ["scenario_source"] if not isinstance(facts["scenario_source"], str) else []
    wrong += ["route_source"] if not isinstance(facts.get("route_source", ""), str) else []
    wrong += ["sources"] if not isinstance(facts["sources"], list) or not all(map(_is_source, facts["sources"])) else []
    wrong += ["dropped"] if not _are_counts(facts["dropped"]) else []
    wrong += ["shards"] if not facts["shards"] or not all(map(_is_entry, facts["shards"])) else []
    wrong += [name for name in NEEDED if name not in facts["fields"]]
    if wrong:
        raise ValueError(f"{wrong[0]} is missing or not what it should be")


def _is_source(source: Any) -> bool:
    """Whether an index says of a file what convert, split and generate say."""
    if not isinstance(source, dict) or "name" not in source or type(source.get("clips", 0)) is not int:
        return False
    return all(isinstance(source.get(name, ""), str) for name in ("name", "aside", "unreadable"))


def _is_entry(entry: Any) -> bool:
    """Whether an index says of a shard what ShardWriter says."""
    if not isinstance(entry, dict) or type(entry["clips"]) is not int or not isinstance(entry["name"], str):
        return False
    sums = [entry["actions"][name] for name in ("a", "kappa")]
    numbers = [number for some in sums for number in some]
    return (
        all(len(some) == 3 for some in sums)
        and all(type(number) in (int, float) and abs(number) < MOST for number in numbers)
        and _are_counts(entry["v0_sources"])
        and all(isinstance(digest, str) for digest in entry["files"].values())
    )


def _are_counts(counts: Any) -> bool:
    return isinstance(counts, dict) and all(type(count) is int for count in counts.values())


def write_index(folder: Path, common: dict[str, Any], entries: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    """labels.json, with which the set exists."""
    v0_sources: dict[str, int] = {}
    for entry in entries:
        for name, count in entry["v0_sources"].items():
            v0_sources[name] = v0_sources.get(name, 0) + count
    facts = {
        "kind": KIND,
        "format": FORMAT,
        "clips": sum(entry["clips"] for entry in entries),
        **common,
        "frame": FRAME,
        "v0_sources": v0_sources,
        "actions": _statistics([entry["actions"] for entry in entries]),
        **rest,
        "shards": entries,
    }
    write_json(folder / INDEX, facts)


def _statistics(sums: list[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation out of action_sums."""
    found = {}
    for name in ("a", "kappa"):
        count, total, squares = (sum(entry[name][i] for entry in sums) for i in range(3))
        mean = total / max(count, 1)
        found[name] = {"mean": mean, "std": max(squares / max(count, 1) - mean**2, 0.0) ** 0.5}
    return found
