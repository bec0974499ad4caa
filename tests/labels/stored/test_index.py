"""labels.json of a set: whatever it says, each that reads it, and each that writes where it lies, ends in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broken_files import whole_set
from places import DATA

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.stored.building import merge
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.index import facts_in
from alpamayo_toy.teachers.generate import synthetic

Facts = dict[str, Any]
SAID: dict[str, Callable[[Facts], Any]] = {
    "a source that is no object": lambda facts: facts.update(sources=["own.npz"]),
    "a source without a name": lambda facts: facts["sources"][0].pop("name"),
    "a source of no number of clips": lambda facts: facts["sources"][0].update(clips="4"),
    "a reason that is no text": lambda facts: facts["sources"][0].update(unreadable=5),
    "sources by name": lambda facts: facts.update(sources={"own.npz": {}}),
    "a count that is no number": lambda facts: facts.update(dropped={"frame": None}),
    "what was left out without a name": lambda facts: facts.update(left_out=[5]),
    "no shards": lambda facts: facts.update(shards=[]),
    "a shard that is no object": lambda facts: facts["shards"].append(5),
    "a shard of no number of clips": lambda facts: facts["shards"][0].update(clips="a\nb"),
    "sources of v0 that are no counts": lambda facts: facts["shards"][0].update(v0_sources=5),
    "sums of one action": lambda facts: facts["shards"][0]["actions"].pop("a"),
    "two sums": lambda facts: facts["shards"][0]["actions"]["kappa"].pop(),
    "a sum that is no number": lambda facts: facts["shards"][0]["actions"].update(a=[1, None, 1.0]),
    "a sum that is not finite": lambda facts: facts["shards"][0]["actions"].update(a=[1, float("nan"), 1.0]),
    "a sum without end": lambda facts: facts["shards"][0]["actions"].update(a=[1, 10**400, 1.0]),
    "a digest that is no text": lambda facts: facts["shards"][0]["files"].update({"v0.npy": 5}),
}


@pytest.mark.parametrize("kind", SAID)
def test_an_index_that_says_something_else_is_one_line(kind: str, tmp_path: Path) -> None:
    path = whole_set(tmp_path)
    facts = facts_in(path)
    SAID[kind](facts)
    (path / "labels.json").write_text(json.dumps(facts))
    users: tuple[Callable[[], Any], ...] = (
        lambda: load_labels(path),
        lambda: merge([path], tmp_path / "merged"),
        lambda: convert([DATA / "labels.npz"], path),
        lambda: synthetic("ALL", 2, 1, 0, path, (1, 1)),
    )
    for user in users:
        with pytest.raises(UserError, match=r"labels\.json is no index of a label set") as caught:
            user()
        assert "\n" not in str(caught.value)
    assert json.loads((path / "labels.json").read_text())["fields"] == facts["fields"]
    assert not (tmp_path / "merged").exists()
