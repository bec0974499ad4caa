"""Families: files of a folder that hold samples of the same clips, as shards of a fixed number of rows do."""

import re
from collections.abc import Hashable
from pathlib import Path

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats import flat_columns
from alpamayo_toy.labels.formats.containers import document
from alpamayo_toy.labels.formats.fields import Names
from alpamayo_toy.labels.formats.records import has_teacher, records

SNIFFED = 1 << 16  # bytes of a JSON file in which the number of a sample is looked for
KEYS = re.compile(rb'"(\w+)"\s*:')


def families(paths: list[Path], names: Names) -> dict[Path, list[Path]]:
    """Of files that share clips whose samples are numbered: the first of them, and the others in their order."""
    first_with: dict[Hashable, int] = {}
    joint = list(range(len(paths)))

    def head(i: int) -> int:
        return i if joint[i] == i else head(joint[i])

    for i, path in enumerate(paths):
        try:
            keys = _keys(path, names)
        except (UserError, OSError, RecursionError):  # which reading it will say
            continue
        for key in keys:
            other = head(first_with.setdefault((path.parent, path.suffix, key), i))
            joint[max(other, head(i))] = min(other, head(i))
    found: dict[Path, list[Path]] = {}
    for i, path in enumerate(paths):
        if head(i) != i:
            found.setdefault(paths[head(i)], []).append(path)
    return found


def _keys(path: Path, names: Names) -> set[tuple[str, str]]:
    """The clips and times of a file whose rows number their samples; none of any other."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return flat_columns.keys_of(path, names)
    if suffix not in (".json", ".jsonl", ".ndjson"):
        return set()
    with path.open("rb") as file:
        said = {key.decode(errors="replace") for key in KEYS.findall(file.read(SNIFFED))}
    if not any((meaning := names.of(key)) and meaning.field == "sample" for key in said):
        return set()
    content = document(path, names)
    if not has_teacher(content, names):
        return set()
    found = set()
    for record in records(content, names, path.stem):
        values = {meaning.field: value for key, value in record.values.items() if (meaning := names.of(key))}
        if "sample" in values and isinstance(values.get("clip_id"), str | int):
            found.add((str(values["clip_id"]), str(values.get("t0"))))
    return found
