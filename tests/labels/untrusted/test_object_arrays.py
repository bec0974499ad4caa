"""Object arrays of other people come back as lists of texts and numbers, and never larger than their file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import TEXTS, Rebuilt, laughing, object_array

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.archive import read_npz
from alpamayo_toy.labels.untrusted.object_arrays import read_list


def test_a_pickle_may_not_refer_to_itself_without_end() -> None:
    assert read_list(pickle.dumps(object_array([laughing(3)]), 4), "file") == [laughing(3)]
    with pytest.raises(UserError, match="far larger than its file"):
        read_list(pickle.dumps(object_array([laughing(30)]), 4), "file")
    for shape in (laughing(60), tuple(laughing(60)), (10**5000,), (2**62,) * 64, (1,) * 65):
        with pytest.raises(UserError, match="perhaps damaged"):
            read_list(pickle.dumps(object_array([Rebuilt(shape, b"")]), 4), "file")


def test_an_array_is_decoded_as_often_as_it_is_spelled_out() -> None:
    data = bytes(range(256)) * 40
    once = [Rebuilt((len(data),), bytes(bytearray(data))) for _ in range(20)]
    assert read_list(pickle.dumps(object_array(once), 4), "file") == [list(data)] * 20
    again = [Rebuilt((len(data),), data) for _ in range(20)]
    with pytest.raises(UserError, match="fewer bytes than its arrays need"):
        read_list(pickle.dumps(object_array(again), 4), "file")


ITEMS: list[list[Any]] = [
    TEXTS,
    [np.str_("a"), np.str_("bc"), None, "d"],
    [["a"], ["b", ["c", None]], [], ("d",)],
    [np.float32(2.5), np.int64(-3), np.uint8(200), np.bool_(True), np.float64("nan"), 1, 2.5, True, b"bytes"],
    [{"cot": ["a"]}, {1: "b"}],
    [object_array(["a", ["b"]]), "c"],
]


PLAIN = [
    TEXTS,
    ["a", "bc", None, "d"],
    ITEMS[2],
    [2.5, -3, 200, True, float("nan"), 1, 2.5, True, b"bytes"],
    ITEMS[4],
    [["a", ["b"]], "c"],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("case", range(len(ITEMS)))
def test_object_arrays_come_back(case: int, protocol: int) -> None:
    for module in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        data = pickle.dumps(object_array(ITEMS[case]), protocol)
        if protocol < 4:  # a longer text would have to be counted anew
            data = data.replace(b"numpy._core.multiarray", module)
        found = read_list(data, "file")
        assert repr(found) == repr(PLAIN[case])
        assert not any(isinstance(item, np.generic) for item in found)


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_in_object_arrays_become_nested_lists(protocol: int) -> None:
    arrays = [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
        np.array(["a", "bcd"]),
        np.array([[True], [False]]),
        np.array(3, dtype=np.int8),
    ]
    wanted = [*(array.tolist() for array in arrays[:-1]), [3]]
    assert read_list(pickle.dumps(object_array(arrays), protocol), "file") == wanted


@pytest.mark.parametrize(
    "array",
    [np.array(["2026-01-01"], "M8[s]"), np.zeros(2, "V8"), np.zeros(2, "c16"), np.zeros(2, [("a", "f4")])],
    ids=lambda array: str(array.dtype.kind),
)
def test_other_arrays_in_object_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"perhaps damaged: numpy's type|wants to call"):
        read_list(pickle.dumps(object_array([array]), 4), "file")


def test_object_arrays_of_several_axes_and_of_none(tmp_path: Path) -> None:
    two = np.array([["a", "b"], ["c", None], ["d", "e"]], dtype=object)
    path = tmp_path / "labels.npz"
    np.savez(path, two=two, turned=two.T, none=np.array("a", dtype=object), empty=np.empty((0, 3), object))
    found = read_npz(path)
    assert found == {"two": two.tolist(), "turned": two.T.tolist(), "none": ["a"], "empty": []}
