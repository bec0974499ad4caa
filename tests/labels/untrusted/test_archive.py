"""Archives of other people: what numpy and torch wrote comes back, anything else is one line, in little memory."""

import io
import os
import pickle
import random
import tracemalloc
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from effort import within
from forged import TEXTS, edited, mutated, npy, npz, object_array, pt

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.archive import read_npz, read_pt

MEMORY = 200 * 2**20


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


def test_a_flag_is_0_or_1_whatever_its_byte(tmp_path: Path) -> None:
    """Sums and masks of others count a byte of 2 as 2."""
    found = read_npz(npz(tmp_path / "labels.npz", {"x.npy": npy((3,), b"\0\x02\xff", "|b1")}))["x"]
    assert isinstance(found, np.ndarray)
    assert found.view(np.uint8).tolist() == [0, 1, 1]

    def named_flags(members: dict[str, bytes]) -> None:
        members["archive/data.pkl"] = members["archive/data.pkl"].replace(b"ByteStorage", b"BoolStorage")

    flags = read_pt(pt(tmp_path / "labels.pt", named_flags, torch.tensor([0, 2, 255], dtype=torch.uint8)))
    assert isinstance(flags, torch.Tensor)
    assert flags.view(torch.uint8).tolist() == [0, 1, 1]


def test_zeros_pack_well_and_are_read(tmp_path: Path) -> None:
    zeros = np.zeros((100, 64, 128), np.float32)
    np.savez_compressed(tmp_path / "labels.npz", zeros=zeros, clip_id=np.arange(100))
    assert (tmp_path / "labels.npz").stat().st_size < zeros.nbytes / 400
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


def test_one_giant_among_small_members_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    np.savez_compressed(path, clip_id=np.arange(10), v0=np.zeros(10), teacher=np.zeros(10_000_000))
    with pytest.raises(UserError, match="teacher has 10000000 rows where others have 10; leave it out"):
        read_npz(path)


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
    torch.save(torch.zeros(1, dtype=torch.float64).expand(500), path)  # bytes count, not numbers
    assert 500 < path.stat().st_size < 8 * 500
    with pytest.raises(UserError, match="larger than the file"):
        read_pt(path)
    tensor = torch.zeros(100_000)
    torch.save([tensor] * 100, path)
    with pytest.raises(UserError, match="far larger than its file"):
        read_pt(path)


def test_arrays_texts_and_sets_beside_tensors(tmp_path: Path) -> None:
    path = tmp_path / "labels.pt"
    torch.save({"path": Path("a/b"), "device": torch.device("cpu"), "more": defaultdict(list, x=[1])}, path)
    assert read_pt(path) == {"path": "a/b", "device": "cpu", "more": {"x": [1]}}
    arrays = {"cot": np.array([[["a", "bc"]]]), "n": np.arange(6.0).reshape(2, 3), "o": np.array(["x"], dtype=object)}
    torch.save(
        {**arrays, "one": np.float32(2), "set": {5}, "bytes": b"\xff", "w": torch.nn.Parameter(torch.ones(2))}, path
    )
    found: Any = read_pt(path)
    assert np.array_equal(found["cot"], arrays["cot"])
    assert np.array_equal(found["n"], arrays["n"])
    assert (found["o"], found["one"], found["set"], found["bytes"]) == (["x"], 2.0, [5], b"\xff")
    assert torch.equal(found["w"], torch.ones(2))


def test_other_files_of_torch_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.pt"
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"save it again with torch\.save of PyTorch 1\.6 or newer"):
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
    path.unlink(missing_ok=True)  # as in npz()
    path.write_bytes(data)
    try:
        return repr(read_npz(path) if path.suffix == ".npz" else read_pt(path))
    except UserError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return None


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, valid: dict[str, bytes], suffix: str) -> None:
    path, data = tmp_path / f"labels{suffix}", valid[suffix]
    assert outcome(path, data) is not None
    assert not any(outcome(path, data[:length]) for length in range(len(data)))


def checked(path: Path, data: bytes) -> str | None:
    """The outcome, within a few seconds and MEMORY."""
    with within(200):
        tracemalloc.start()
        try:
            found = outcome(path, data)
            assert tracemalloc.get_traced_memory()[1] < MEMORY
        finally:
            tracemalloc.stop()
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_mutated_file_is_read_or_refused(tmp_path: Path, valid: dict[str, bytes], suffix: str) -> None:
    rng, path = random.Random(1), tmp_path / f"labels{suffix}"
    for _ in range(500):
        checked(path, mutated(valid[suffix], rng))


@pytest.mark.slow
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
