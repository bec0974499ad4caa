"""Files of other people: what is written in them is never executed, and none takes much memory or time."""

import builtins
import contextlib
import io
import os
import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted import pickles
from alpamayo_toy.labels.untrusted.archive import read_npz, read_pt
from alpamayo_toy.labels.untrusted.memory import half_of_memory
from alpamayo_toy.labels.untrusted.object_arrays import read_list
from alpamayo_toy.labels.untrusted.pickles import scan
from alpamayo_toy.labels.untrusted.texts import flat_text, one_line

TEXTS = ["Slow down for the lead vehicle", "", "Überholen \N{SNOWMAN}", "Nudge left"]
MEMORY = 200 * 2**20


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Rebuilt:
    """Pickles as an array of the numbers 0 to 255, whose shape and bytes are what they like."""

    def __init__(self, shape: object, data: bytes) -> None:
        self.state = 1, shape, np.dtype("u1"), False, data

    def __reduce__(self) -> tuple[Any, ...]:
        return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


def object_array(items: list[Any]) -> np.ndarray:
    return np.fromiter(items, dtype=object, count=len(items))


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An npz file of members as they are given."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(shape: object, data: bytes, descr: str = "|O") -> bytes:
    """A member of an npz file whose header says what it likes."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def pt(path: Path, edit: Callable[[dict[str, bytes]], object], content: object = None) -> Path:
    """A file of torch.save whose members were edited."""
    buffer = io.BytesIO()
    torch.save({"x": torch.ones(3)} if content is None else content, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    return npz(path, members, zipfile.ZIP_STORED)


def pt_of(path: Path, data: bytes) -> Path:
    return pt(path, lambda members: members.update({"archive/data.pkl": data}))


def edited(path: Path, old: bytes, new: bytes) -> Path:
    """A pt file of three ones in whose pickle something was replaced."""

    def edit(members: dict[str, bytes]) -> None:
        assert old in members["archive/data.pkl"]
        members["archive/data.pkl"] = members["archive/data.pkl"].replace(old, new)

    return pt(path, edit)


def attacks(marker: Path) -> dict[str, Calls]:
    """What would make a marker file, by the name that must be told, which protocols below 3 spell as Python 2 did."""
    script = f"open({str(marker)!r}, 'w').close()"
    return {
        "posix.system": Calls(os.system, f"touch {marker}"),
        "__builtin__.exec|builtins.exec": Calls(builtins.exec, script),
        "__builtin__.eval|builtins.eval": Calls(builtins.eval, script),
        "io.open": Calls(builtins.open, str(marker), "w"),
        "(subprocess|commands).Popen": Calls(subprocess.Popen, ["touch", str(marker)]),
    }


NAMES = list(attacks(Path("marker")))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", NAMES)
def test_no_call_is_executed(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    call = attacks(marker)[name]
    plain = pickle.dumps(call, protocol)
    nested = pickle.dumps(object_array(["text", ["deeper", call]]), protocol)
    for data in (plain, nested):
        with pytest.raises(UserError, match=rf"^file holds a pickle that wants to call ({name});"):
            read_list(data, "file")
        path = npz(tmp_path / "labels.npz", {"text.npy": npy((2,), data)})
        with pytest.raises(UserError, match=rf"labels.npz: text holds .* wants to call ({name});"):
            read_npz(path)
    for data in (plain, pickle.dumps({"x": ["deeper", call]}, protocol)):
        with pytest.raises(UserError, match=rf"labels.pt holds .* wants to call ({name});"):
            read_pt(pt_of(tmp_path / "labels.pt", data))
    assert not marker.exists()
    (tmp_path / "attack.pkl").write_bytes(plain)
    loads_it = [sys.executable, "-m", "pickle", str(tmp_path / "attack.pkl")]
    subprocess.run(loads_it, check=True, stdout=subprocess.DEVNULL)
    for _ in range(100):
        if marker.exists():
            break
        time.sleep(0.02)
    assert marker.exists(), "the attack must be one"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cos\nsystem\n(S'x'\ntR.", "wants to call os.system"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93.", "instruction POP"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94]h\x00h\x01\x93.", "wants to call os.system"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", "wants to call numpy.dtype.__init__"),
        (b"\x80\x04\x8c\x02o\n\x8c\x01s\x93.", r"wants to call o\\n\.s"),
        (b"\x80\x04N\x8c\x06system\x93.", "hides the name"),
        (b"\x80\x04\x93.", "hides the name"),
        (b"(ios\nsystem\n.", "wants to call os.system"),
        (b"(inumpy\ndtype\n.", "instruction INST"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"\x80\x02\x83\x01\x01.", "instruction EXT2"),
        (b"\x80\x02\x84\x01\x01\x01\x01.", "instruction EXT4"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "instruction NEWOBJ"),
        (b"\x80\x04cnumpy\ndtype\n)}\x92.", "instruction NEWOBJ_EX"),
        (b"(cnumpy\ndtype\no.", "instruction OBJ"),
        (b"Pname\n.", "instruction PERSID"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"Nr\x00\x00\x00\x80.", "memo index"),
        (b"Np-1\n.", "no valid pickle"),
        (b"h\x05.", "memo 5 was never stored"),
        (b"\x8d" + (2**60).to_bytes(8, "little") + b"ab.", "no valid pickle, perhaps cut off"),
        (b"\x8e" + (2**60).to_bytes(8, "little") + b"ab.", "no valid pickle, perhaps cut off"),
        (b"\x80\x04\x95" + (2**60).to_bytes(8, "little") + b"N.", "a frame of"),
        (b"N.N.", "more bytes follow"),
        (b"NN.", "before it is finished"),
        (b"(N.", "takes more than there is|before it is finished"),
        (b"N", "no valid pickle"),
        (b"", "no valid pickle"),
        (b"R.", "takes more than there is"),
        (b"Nt.", "a group ends"),
        (b"(" * 2000 + b"l" * 2000 + b".", "nested or grouped too deeply"),
        (b"(" + b"N" * 1_000_001 + b"t.", "nested or grouped too deeply"),
        (b")" + b"\x85" * 100_000 + b".", "lie in each other"),
        (b"\x80\x04]\x94h\x00a.", "lie in each other"),
        (b"}))s.", "a dict key"),
        (b"}(\x8a\x0a" + b"\x01" * 10 + b"Nu.", "a dict key"),
        (b"N" + b"K\x01b.", "perhaps damaged"),
        (b"cnumpy\ndtype\n}b.", "sets the state"),
        (b"cnumpy\ndtype\n(N}X\x08\x00\x00\x00__call__K\x01stb.", "sets the state"),
        (b"cnumpy\nndarray\n.", "in place of a text"),
        (b"cnumpy._core.multiarray\n_reconstruct\n(NNNtR.", "without content"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.", "latin1"),
        (b"Q.", "takes more"),
        (b"NQ.", "outside itself"),
        (b"K\x01.", "a pickled int"),
    ],
)
def test_a_broken_pickle_is_refused_in_one_line(data: bytes, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=message) as caught:
        read_list(data, "file")
    assert str(caught.value).startswith("file ")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 5


def laughing(levels: int, width: int = 10) -> list[Any]:
    value: list[Any] = ["ha"]
    for _ in range(levels):
        value = [value] * width
    return value


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


@pytest.mark.parametrize(
    ("value", "text", "nested"),
    [
        ("Slow down", "Slow down", False),
        ("[STOP]", "[STOP]", False),
        ("[" * 500 + "]" * 500, "[" * 500 + "]" * 500, False),
        ("[" + "-" * 9000 + "1]", "[" + "-" * 9000 + "1]", False),
        ("[" + "1+" * 4000 + "1]", "[" + "1+" * 4000 + "1]", False),
        ("['a'('b')]", "['a'('b')]", False),
        ("['Slow down']", "Slow down", True),
        ('[["a"], ["b"]]', "a b", True),
        ("['" + "x" * 10_000 + "']", "['" + "x" * 10_000 + "']", False),
        (None, "", False),
        ([[["a"]]], "a", True),
        ((["a", "", None], "b", 3), "a b 3", True),
        ([{"cot": "a"}, "b"], "a b", True),
        ([], "", True),
        (2.5, "2.5", False),
        ({"a": 1}, "{'a': 1}", False),
        (b"x" * 20_000, str(b"x" * 20_000)[:10_000], False),
    ],
)
def test_flat_text(value: object, text: str, nested: bool) -> None:
    assert flat_text(value) == (text, nested)


@pytest.mark.parametrize(
    "value",
    [
        laughing(8),
        laughing(50),
        laughing(5, 100),
        {"a": laughing(50)},
        [[[[[[[[["a"]]]]]]]]],
        ["a"] * 1001,
        [[]] * 1001,
        ["a" * 10_000] * 11,
        "[" * 9 + "'a'" + "]" * 9,
        10**5000,
    ],
    ids=range(10),
)
def test_flat_text_ends(value: object) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"nested|digits"):
        flat_text(value)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("clip \N{SNOWMAN} \\n is sound", "clip \N{SNOWMAN} \\n is sound"),
        ("a\nb\x1b[2J\0", "a\\nb\\x1b[2J\\x00"),
        ("\ud800 and \u2028", "\\ud800 and \\u2028"),
        ("x" * 900, "x" * 900),
        ("x" * 600 + "y" * 51 + "z" * 250, "x" * 600 + " ... " + "z" * 250),
    ],
    ids=range(5),
)
def test_a_message_is_one_printable_line(message: str, line: str) -> None:
    assert one_line(message) == line


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


ARRAYS: dict[str, np.ndarray] = {
    "floats": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "big": np.arange(6, dtype=">f8").reshape(3, 2),
    "big_text": np.array(["a", "bc"]).astype(">U2"),
    "text": np.array(TEXTS),
    "bytes": np.array([b"a", b"bc"]),
    "flags": np.array([True, False]),
    "scalar": np.array(0.1),
    "empty": np.zeros((0, 384), np.float32),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "labels.npz", **ARRAYS, objects=object_array(TEXTS))
    found = read_npz(tmp_path / "labels.npz")
    assert found.pop("objects") == TEXTS
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        other = found[name]
        assert isinstance(other, np.ndarray)
        np.testing.assert_array_equal(other, array)
        assert other.dtype == array.dtype.newbyteorder("=")


def test_zeros_pack_well_and_are_read(tmp_path: Path) -> None:
    zeros = np.zeros((1000, 64, 128), np.float32)
    np.savez_compressed(tmp_path / "labels.npz", zeros=zeros, clip_id=np.arange(1000))
    assert (tmp_path / "labels.npz").stat().st_size < zeros.nbytes / 500
    np.testing.assert_array_equal(read_npz(tmp_path / "labels.npz")["zeros"], zeros)


PICKLED = pickle.dumps(object_array(["a", "b"]), 4)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy((10**12,), b"\0" * 64, "<f8"), "takes 8000000000000 bytes but holds 64"),
        (npy((10**12, 10**12), b"", "<f8"), "takes 8000"),
        (npy((10**12,), PICKLED), "which cannot be; write strings as dtype str"),
        (npy((10**12, 0), b"", "<f8"), "no array has the shape"),
        (npy((0, 10**12), b""), "no array has the shape"),
        (npy((10**12,), b"", "<U0"), "holds <U0"),
        (npy((-1,), b"", "<f8"), "what is no length"),
        (npy((2.0,), b"", "<f8"), "says nothing that numpy wrote"),
        (npy((3,), b"\0" * 23, "<f8"), "takes 24 bytes but holds 23"),
        (npy((3,), b"\0" * 25, "<f8"), "takes 24 bytes but holds 25"),
        (npy((1,), b"\xff" * 4, "<U1"), "characters that do not exist"),
        (npy((1,), b"\0" * 16, "<c16"), "holds complex128"),
        (npy((1,), b"\0" * 8, "<M8[s]"), "numbers or texts are needed"),
        (npy((1,), b"\0" * 8, "|V8"), "numbers or texts are needed"),
        (npy((3,), PICKLED), "holds 2 items"),
        (npy((1,), PICKLED + b"\0" * 100_000), "which cannot be"),
        (npy((1,), PICKLED + b"\0"), "more bytes follow"),
        (npy((), b"", "<f8") * 2, "perhaps cut off|takes 8 bytes"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "says nothing that numpy wrote"),
        (b"\x93NUMPY\x01\x00\x00\x20" + b"-" * 8191 + b"1", "says nothing that numpy wrote"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "says nothing that numpy wrote"),
        (b"\x93NUMPY\x03\x00\x02\x00\x00\x00{}", "header of version"),
        (b"\x93NUMPY", "perhaps cut off"),
        (b"text", "is no numpy array"),
        (b"", "is no numpy array"),
    ],
    ids=range(25),
)
def test_a_member_that_is_not_what_it_says_is_refused(tmp_path: Path, member: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_npz(npz(tmp_path / "labels.npz", {"x.npy": member}))
    assert "labels.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "a/b.npy", "a\\b.npy", "folder/", ".npy", "C:x.npy", ".x.npy"])
def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="which is no array's name"):
        read_npz(npz(tmp_path / "labels.npz", {name: npy((1,), b"\0", "|u1")}))


def test_other_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, one = tmp_path / "labels.npz", npy((1,), b"\0", "|u1")
    refused = {
        "holds x twice": {"x": one, "x.npy": one},
        "holds 1001 arrays": {f"x{i}": one for i in range(1001)},
        "holds 17 object arrays": {f"x{i}": npy((2,), PICKLED) for i in range(17)},
    }
    for message, members in refused.items():
        with pytest.raises(UserError, match=message):
            read_npz(npz(path, members))
    with pytest.raises(UserError, match="is packed in another way than numpy does"):
        read_npz(npz(path, {"x": one}, zipfile.ZIP_BZIP2))
    data = bytearray(npz(path, {"x": one}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="x is encrypted"):
        read_npz(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="holds one bare array"):
        read_npz(path)
    with pytest.raises(UserError, match="no valid npz file"):
        read_npz(tmp_path / "nowhere.npz")
    monkeypatch.setattr(os, "sysconf", lambda name: 10)
    with pytest.raises(UserError, match=r"more than half of the memory \(50\); convert it in parts"):
        read_npz(npz(path, {"x": one}))


def test_half_of_the_memory_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError(f"unrecognized configuration name {name}")

    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3000}.__getitem__)
    assert half_of_memory() == 6_144_000
    monkeypatch.setattr(os, "sysconf", unknown)
    assert half_of_memory() == 4 * 2**30
    monkeypatch.delattr(os, "sysconf")
    assert half_of_memory() == 4 * 2**30


def test_one_giant_among_small_members_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    np.savez_compressed(path, clip_id=np.arange(10), v0=np.zeros(10), teacher=np.zeros(10_000_000))
    with pytest.raises(UserError, match="teacher has 10000000 rows where others have 10; leave it out"):
        read_npz(path)


def test_a_pickle_of_very_many_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
    with pytest.raises(UserError, match="more than 1000 pickle instructions; write it in parts"):
        read_list(b"]" + b"Na" * 600 + b".", "file")


def test_a_directory_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff" * 2 + (32 * 2**20).to_bytes(4, "little") + bytes(4) + bytes(2)
    path.write_bytes(bytes(32 * 2**20) + end)
    for read in (read_npz, read_pt):
        with pytest.raises(UserError, match="is no"):
            read(path)


def content() -> dict[str, Any]:
    return {
        "pred": torch.arange(24.0).reshape(2, 3, 4),
        "view": torch.arange(6).reshape(2, 3).T,
        "same": torch.ones(2),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(0.5, dtype=torch.float64),
        "wanted": torch.ones(2, requires_grad=True),
        "clip_id": TEXTS,
        "rest": [1, -(2**40), 2.5, None, True, (1, "a"), {"k": []}],
    }


def same(found: Any, wanted: Any) -> bool:
    """Equal values of equal kinds."""
    if isinstance(wanted, torch.Tensor):
        return isinstance(found, torch.Tensor) and found.dtype == wanted.dtype and torch.equal(found, wanted)
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, (list, tuple)):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


def test_a_file_of_torch_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "labels.pt"
    torch.save(content(), path)
    assert same(read_pt(path), content())
    assert same(read_pt(path), torch.load(path, weights_only=True))
    shared = torch.arange(10)
    torch.save([shared, shared[2:4], {"again": shared}, torch.Size([3])], path)
    assert same(read_pt(path), [shared, shared[2:4], {"again": shared}, (3,)])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"K\x03tq", b"J\xff\xff\xff\x7ftq", "needs more than the archive holds"),
        (b"K\x03\x85", b"J\xff\xff\xff\x7f\x85", "larger than the file"),
        (b"K\x03\x85", b"K\x04\x85", "out of bounds"),
        (b"K\x03\x85", b"J\xff\xff\xff\xff\x85", "what is no length"),
        (b"K\x01\x85", b"J\xff\xff\xff\xff\x85", "what is no length"),
        (b"QK\x00", b"QK\x01", "out of bounds"),
        (b"QK\x00", b"QJ\xff\xff\xff\xff", "perhaps damaged"),
        (b"FloatStorage", b"DoubleStorage", "needs more than the archive holds"),
        (b"ctorch\nFloatStorage", b"ctorch.storage\n_load_from_bytes", "wants to call torch.storage._load_from_bytes"),
        (b"_rebuild_tensor_v2", b"_rebuild_tensor", "wants to call torch._utils._rebuild_tensor;"),
        (b"storage", b"stopage", "is no storage"),
        (b"QK\x00K\x03\x85", b"Q.K\x00K\x03\x85", "more bytes follow"),
        (b"s.", b"s}b.", "perhaps damaged"),
        (b"q\rs.", b"q\r(K\x01K\x02tbs.", "sets the state"),
        (b"OrderedDict\n", b"Counter\n", "wants to call collections.Counter"),
    ],
    ids=range(15),
)
def test_a_tensor_that_is_not_what_it_says_is_refused(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_pt(edited(tmp_path / "labels.pt", old, new))
    assert "labels.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_strides_of_zero_repeat_only_as_much_as_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "labels.pt"
    torch.save(torch.zeros(1).expand(100), path)
    assert same(read_pt(path), torch.zeros(100))
    torch.save(torch.zeros(1).expand(10**9), path)
    with pytest.raises(UserError, match="larger than the file"):
        read_pt(path)
    tensor = torch.zeros(100_000)
    torch.save([tensor] * 100, path)
    with pytest.raises(UserError, match="far larger than its file"):
        read_pt(path)


def test_keys_whose_hash_never_ends_are_refused(tmp_path: Path) -> None:
    spelled = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(100))
    with pytest.raises(UserError, match="a dict key is neither text nor a small whole number"):
        read_pt(pt_of(tmp_path / "labels.pt", b"\x80\x02}" + spelled + b"Ns."))
    assert read_list(pickle.dumps(object_array([{"a": 1, 2: "b"}]), 4), "file") == [{"a": 1, 2: "b"}]


def test_other_files_of_torch_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.pt"
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"save it again with torch\.save of PyTorch 1\.6 or newer"):
        read_pt(path)
    torch.save({"x": np.zeros(3)}, path)
    with pytest.raises(UserError, match=r"wants to call numpy.*_reconstruct;.*store tensors.*no numpy arrays"):
        read_pt(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UserError, match=r"wants to call torch\.nn\.modules\.linear\.Linear"):
        read_pt(path)
    np.savez(path.with_suffix(".npz"), x=np.zeros(3))
    with pytest.raises(UserError, match=r"is no file of torch\.save: it has 0 members"):
        read_pt(path.with_suffix(".npz"))
    with pytest.raises(UserError, match="it has 2 members"):
        read_pt(pt(path, lambda members: members.update({"other/data.pkl": b"N."})))
    with pytest.raises(UserError, match="other byte order"):
        read_pt(pt(path, lambda members: members.update({"archive/byteorder": b"big"})))
    with pytest.raises(UserError, match="is packed"):
        read_pt(npz(path, {"archive/data.pkl": b"N" * 1000}))


def test_a_scan_refuses_what_is_not_allowed() -> None:
    with pytest.raises(UserError, match=r"^here holds a pickle that wants to call posix\.system; it was not opened$"):
        scan(pickle.dumps(Calls(os.system, "true")), "here", {("numpy", "dtype")})
    scan(pickle.dumps(Calls(os.system, "true"), 2), "here", {("posix", "system"), ("nt", "system")})


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole file of each kind."""
    folder = tmp_path_factory.mktemp("valid")
    objects = object_array([*TEXTS, np.str_("a"), ["b"], None, np.float32(1), np.arange(3)])
    np.savez(folder / "labels.npz", text=objects, clip_id=np.array(TEXTS), teacher=np.ones((4, 2, 3, 2)))
    torch.save(content(), folder / "labels.pt")
    return {suffix: (folder / f"labels{suffix}").read_bytes() for suffix in (".npz", ".pt")}


def outcome(path: Path, data: bytes) -> str | None:
    """What a file of these bytes holds, or None if it was refused in one line."""
    path.write_bytes(data)
    try:
        return repr(read_npz(path) if path.suffix == ".npz" else read_pt(path))
    except UserError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return None


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, valid: dict[str, bytes], suffix: str) -> None:
    path, data = tmp_path / f"labels{suffix}", valid[suffix]
    assert outcome(path, data) is not None
    assert not any(outcome(path, data[:length]) for length in range(len(data)))


def test_a_pickle_cut_off_anywhere_is_refused() -> None:
    for protocol in range(6):
        data = pickle.dumps(object_array([*TEXTS, ["b"], None, np.float32(1)]), protocol)
        for length in range(len(data)):
            with pytest.raises(UserError):
                read_list(data[:length], "file")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of the bytes: flipped, replaced, cut out, inserted, repeated, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(changed))
        end = min(len(changed), start + rng.randint(1, 8))
        changes: list[Callable[[], object]] = [
            lambda i=start: changed.__setitem__(i, changed[i] ^ (1 << rng.randrange(8))),  # type: ignore[misc]
            lambda i=start: changed.__setitem__(i, rng.choice((0, 1, 0x7F, 0x80, 0xFF))),  # type: ignore[misc]
            lambda i=start, j=end: changed.__delitem__(slice(i, j)),  # type: ignore[misc]
            lambda i=start: changed.__setitem__(slice(i, i), rng.randbytes(4)),  # type: ignore[misc]
            lambda i=start, j=end: changed.__setitem__(slice(i, i), changed[i:j]),  # type: ignore[misc]
            lambda i=start: changed.__delitem__(slice(max(i, len(changed) * 3 // 4), None)),  # type: ignore[misc]
        ]
        rng.choices(changes, weights=(4, 4, 1, 1, 1, 1))[0]()
    return bytes(changed)


def checked(path: Path, data: bytes) -> str | None:
    """The outcome, within 5 seconds and MEMORY."""
    started = time.monotonic()
    tracemalloc.start()
    try:
        found = outcome(path, data)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 5
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_mutated_file_is_read_or_refused(tmp_path: Path, valid: dict[str, bytes], suffix: str) -> None:
    rng, path = random.Random(1), tmp_path / f"labels{suffix}"
    for _ in range(500):
        checked(path, mutated(valid[suffix], rng))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_mutated_member_with_a_good_checksum_is_read_or_refused(
    tmp_path: Path, valid: dict[str, bytes], suffix: str
) -> None:
    rng, path = random.Random(2), tmp_path / f"labels{suffix}"
    with zipfile.ZipFile(io.BytesIO(valid[suffix])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = list(members) if suffix == ".npz" else ["labels/data.pkl"]
    read = 0
    for _ in range(500):
        name = rng.choice(names)
        data = npz(path, {**members, name: mutated(members[name], rng)}, zipfile.ZIP_STORED).read_bytes()
        read += checked(path, data) is not None
    assert 0 < read < 500


def test_a_mutated_pickle_is_read_or_refused() -> None:
    rng = random.Random(3)
    for protocol in range(6):
        data = pickle.dumps(object_array([*TEXTS, ["b"], {"k": 1}, np.str_("a"), np.arange(3)]), min(protocol, 4))
        for _ in range(500):
            with contextlib.suppress(UserError):
                read_list(mutated(data, rng), "file")
