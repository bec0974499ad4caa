"""Pickles of other people: no call in them is executed, and a broken one is refused in one line."""

import builtins
import contextlib
import datetime
import decimal
import enum
import os
import pickle
import random
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effort import within
from forged import TEXTS, Calls, mutated, npy, npz, object_array, pt_of

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted import pickles
from alpamayo_toy.labels.untrusted.archive import read_npz, read_pickle, read_pt
from alpamayo_toy.labels.untrusted.object_arrays import read_list
from alpamayo_toy.labels.untrusted.pickles import scan


def attacks(marker: Path) -> dict[str, Calls]:
    """What would make a marker file, by the name that must be told, which protocols below 3 spell as Python 2 did."""
    script = f"open({str(marker)!r}, 'w').close()"
    return {
        "posix.system": Calls(os.system, f"touch {marker}"),
        "__builtin__.exec|builtins.exec": Calls(builtins.exec, script),
        "__builtin__.eval|builtins.eval": Calls(builtins.eval, script),
        "_?io.open": Calls(builtins.open, str(marker), "w"),
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
        pytest.param(b"(" + b"N" * 1_000_001 + b"t.", "nested or grouped too deeply", marks=pytest.mark.slow),
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
    with within(200), pytest.raises(UserError, match=message) as caught:
        read_list(data, "file")
    assert str(caught.value).startswith("file ")
    assert "\n" not in str(caught.value)


def test_a_pickle_of_very_many_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
    with pytest.raises(UserError, match="more than 1000 pickle instructions; write it in parts"):
        read_list(b"]" + b"Na" * 600 + b".", "file")


def test_keys_whose_hash_never_ends_are_refused(tmp_path: Path) -> None:
    spelled = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(100))
    with pytest.raises(UserError, match="a dict key is neither text nor a small whole number"):
        read_pt(pt_of(tmp_path / "labels.pt", b"\x80\x02}" + spelled + b"Ns."))
    assert read_list(pickle.dumps(object_array([{"a": 1, 2: "b"}]), 4), "file") == [{"a": 1, 2: "b"}]


def test_a_scan_refuses_what_is_not_allowed() -> None:
    with pytest.raises(UserError, match=r"^here holds a pickle that wants to call posix\.system; it was not opened$"):
        scan(pickle.dumps(Calls(os.system, "true")), "here", {("numpy", "dtype")})
    scan(pickle.dumps(Calls(os.system, "true"), 2), "here", {("posix", "system"), ("nt", "system")})


class Stranger:
    """A class that no reader knows."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __setstate__(self, state: object) -> None:
        raise AssertionError("it was built")


def test_objects_of_unknown_classes_are_never_built(tmp_path: Path) -> None:
    for protocol in range(2, 6):
        data = pickle.dumps({"a": [Stranger({"deep": np.arange(3)})], "class": Stranger, "text": "b"}, protocol)
        (tmp_path / "x.pkl").write_bytes(data)
        found: Any = read_pickle(tmp_path / "x.pkl")
        (stranger,) = found["a"]
        assert isinstance(stranger, pickles.Stranger)
        assert stranger.name.endswith("test_pickles.Stranger")
        assert stranger.state["value"]["deep"].tolist() == [0, 1, 2]
        assert (found["class"].state, found["text"]) == (None, "b")
        with pytest.raises(UserError, match=r"wants to call .*Stranger; it was not opened"):
            read_list(pickle.dumps(object_array([Stranger(1)]), protocol), "file")


class Light(enum.Enum):
    """Neither does one know this one."""

    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        Light.RED,
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        datetime.timedelta(1),
        decimal.Decimal("1.5"),
        types.SimpleNamespace(a=1),
        1 + 2j,
    ],
)
def test_enums_dates_and_the_like_are_taken_down(tmp_path: Path, value: object) -> None:
    for protocol in range(2, 6):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": [1, value], "text": "b"}, protocol))
        found: Any = read_pickle(tmp_path / "x.pkl")
        assert (found["a"][0], found["text"]) == (1, "b")
        assert isinstance(found["a"][1], pickles.Stranger)
        assert found["a"][1].name.endswith(type(value).__name__)
        with pytest.raises(UserError, match=r"wants to call .*; it was not opened"):
            read_list(pickle.dumps(object_array([value]), protocol), "file")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", NAMES)
def test_what_would_be_called_is_refused_beside_strangers(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    content = {"ok": 1, "inside": Stranger([attacks(marker)[name]])}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(UserError, match=rf"wants to call ({name}|copy_reg\._reconstructor|copyreg\._reconstructor);"):
        read_pickle(tmp_path / "x.pkl")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02cos\nsystem\n)R.", "wants to call os.system"),
        (b"\x80\x02cos\nsystem\n(U\x04trueoR.", "instruction"),
        (b"\x80\x02cos\nsystem\nq\x000h\x00)R.", "instruction POP"),
        (b"\x80\x02]cos\nsystem\nq\x00ah\x00)R.", "wants to call os.system"),
        (b"\x80\x02cos\nsystem\n)\x81)R.", "perhaps damaged|wants to call"),
        (b"\x80\x02cos\nsystem\n.", "wants to call os.system"),
        (b"\x80\x02cos\nsystem\n}b.", "perhaps damaged"),
        (b"\x80\x02cos\nsystem\n)\x81X\x01\x00\x00\x00aa.", "perhaps damaged"),
        (b"(ios\nsystem\n.", "wants to call os.system"),
        (b"\x80\x04cos\nsystem\n)}\x92.", "instruction NEWOBJ_EX"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "NEWOBJ|perhaps damaged"),
        (b"\x80\x02c__builtin__\nset\nNR.", "perhaps damaged"),
    ],
)
def test_strangers_are_no_way_round_a_refusal(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_pickle(tmp_path / "x.pkl")


def test_a_pickle_cut_off_anywhere_is_refused() -> None:
    for protocol in range(6):
        data = pickle.dumps(object_array([*TEXTS, ["b"], None, np.float32(1)]), protocol)
        for length in range(len(data)):
            with pytest.raises(UserError):
                read_list(data[:length], "file")


@pytest.mark.slow
def test_a_mutated_pickle_is_read_or_refused() -> None:
    rng = random.Random(3)
    for protocol in range(6):
        data = pickle.dumps(object_array([*TEXTS, ["b"], {"k": 1}, np.str_("a"), np.arange(3)]), min(protocol, 4))
        for _ in range(500):
            with contextlib.suppress(UserError):
                read_list(mutated(data, rng), "file")
