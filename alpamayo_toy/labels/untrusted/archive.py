"""Label files that other people wrote, npz and pt: what they hold, read so that nothing in them is ever executed."""

import io
import statistics
import struct
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted import pickles
from alpamayo_toy.labels.untrusted.memory import check_unpacked, half_of_memory
from alpamayo_toy.labels.untrusted.object_arrays import count, numpy_names, read_list
from alpamayo_toy.labels.untrusted.texts import MAX_JOINED, shown

KINDS = "biufUS"
MAX_NPZ_MEMBERS, MAX_PT_MEMBERS = 1000, 200_000  # a pt archive has one member for each tensor
MAX_OBJECT_MEMBERS = 16  # each may take as long as pickles.MAX_OPCODES instructions
MAX_READ = 16 * 2**20  # the largest directory of an archive; ZipFile reads and parses it at once
PIECE = 2**20
MAX_HEADER = 16 * 2**10  # of a member; numpy itself takes no header beyond 10,000 characters
PICKLED, PICKLED_ITEM = 4 * 2**10, 64 * 2**10  # bytes of a pickled object array, and of each of its items
OBJECT_BYTES = 32  # that a byte of a pickle may become: an empty list takes 2 in it, and 64 in memory
GIANT_ROWS, GIANT_BYTES = 1000, 64 * 2**20
LAST_CHARACTER = 0x10FFFF  # numpy raises SystemError on characters beyond it, but only when they are looked at

BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    zlib.error,
    EOFError,
    OSError,
    OverflowError,
    RecursionError,
    KeyError,
    ValueError,
    struct.error,
)
HEADER_FAULTS = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, OverflowError, tokenize.TokenError)
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_npz(path: Path) -> dict[str, np.ndarray | list[object]]:
    """Every member by its name: arrays of numbers or texts (KINDS) in native byte order, object arrays as lists.

    UserError for any other array, for what is no whole npz file, and, before it is read, for a member whose size is not
    what its header says, and for more than half of the machine's memory.
    """
    with _opened(path, "npz") as archive:
        members = [_member(path, archive, info, name) for name, info in _named(path, archive).items()]
        _check_sizes(path, members)
        return {member.name: _array(path, archive, member) for member in members}


def read_pt(path: Path, bare: bool = False) -> object:
    """What torch.save wrote: tensors on the CPU, numpy's arrays, texts, numbers, lists, tuples and dicts.

    bare: tensors and plain Python alone, as in a checkpoint; no arrays, no paths, no objects of other classes.

    Its instructions are followed on stand-ins and the tensors made here from the archive's bytes: torch.load, even with
    weights_only, never ends on a dict key of tuples in tuples. Objects of other classes become pickles.Stranger.
    UserError for anything else.
    """
    with _opened(path, "pt") as archive:
        members = {info.filename: info for info in archive.infolist()}
        _check_stored(path, archive, members)
        data = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
        if len(data) != 1:
            raise UserError(f"{path} is no file of torch.save: it has {len(data)} members data.pkl in place of one")
        folder = data[0].removesuffix("data.pkl")
        order = members.get(f"{folder}byteorder")
        if order is not None and _bytes(archive, order).decode("ascii").strip() != sys.byteorder:
            raise UserError(f"{path} was written on a machine of the other byte order; save it again on this one")
        tensors = _Tensors(path, archive, members, f"{folder}data/")
        instructions = bytes(_bytes(archive, members[data[0]]))
        names = tensors.names | ({} if bare else numpy_names(len(instructions), nested=False) | PLAIN_NAMES)
        try:
            return pickles.load(instructions, str(path), names, tensors.storage, tensors.file_size, strangers=not bare)
        except UserError as error:
            raise UserError(f"{error}; store tensors, arrays, texts, numbers, lists and dicts") from None


def read_pickle(path: Path) -> object:
    """What pickle.dump wrote: as of a .pt, without tensors. Nothing in it is called. Raises UserError."""
    if path.stat().st_size > half_of_memory():
        raise UserError(f"{path} is larger than half of the memory; convert it in parts")
    data = path.read_bytes()
    names = numpy_names(len(data), nested=False) | PLAIN_NAMES
    try:
        return pickles.load(data, str(path), names, strangers=True)
    except UserError as error:
        raise UserError(f"{error}; export its trajectories as npz or JSON") from None


@dataclass(frozen=True)
class _Member:
    """An array of an npz file, as its header announces it; start: where its content begins."""

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int


class _File(io.BufferedReader):
    """A file that is never read in larger pieces than MAX_READ: ZipFile takes a directory of any size at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_READ:
            raise ValueError(f"its directory takes {size} bytes")
        return super().read(size)


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever goes wrong with it becomes a UserError."""
    try:
        with _File(io.FileIO(path)) as file:
            start = file.read(8)
            if kind == "npz" and start.startswith(b"\x93NUMPY"):
                raise UserError(f"{path} holds one bare array; an npz archive of named arrays is needed")
            if kind == "pt" and start and not start.startswith(b"PK"):
                raise UserError(f"{path} is no zip archive; save it again with torch.save of PyTorch 1.6 or newer")
            with zipfile.ZipFile(file) as archive:
                yield archive
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"{path} is no valid {kind} file, perhaps cut off: {shown(str(error))}") from None


def _named(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members of an npz archive by the names of their arrays."""
    infos = archive.infolist()
    if len(infos) > MAX_NPZ_MEMBERS:
        raise UserError(f"{path} holds {len(infos)} arrays; at most {MAX_NPZ_MEMBERS} are read")
    named: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if not name or any(part in name for part in ("/", "\\", "\0", ":")) or name.startswith("."):
            raise UserError(f"{path} holds a member called {shown(info.filename)}, which is no array's name")
        if name in named:
            raise UserError(f"{path} holds {shown(name)} twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotImplementedError(f"{shown(name)} is packed in another way than numpy does")
        _check_encryption(path, info)
        named[name] = info
    return named


def _check_encryption(path: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 0x1:
        raise UserError(f"{path}: {shown(info.filename)} is encrypted; write it without a password")


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> _Member:
    """What the header of a member announces, after checking that its size is exactly that."""
    name = shown(name)
    with archive.open(info) as file:
        head = io.BytesIO(file.read(MAX_HEADER))
    if not head.getvalue().startswith(b"\x93NUMPY"):
        raise UserError(f"{path}: {name} is no numpy array")
    version = np.lib.format.read_magic(head)
    if version not in ((1, 0), (2, 0)):
        raise UserError(
            f"{path}: {name} has a header of version {version}, which arrays of numbers or texts never have"
        )
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a header that Python 2 wrote, or looks so
            shape, fortran, dtype = parse(head)
    except HEADER_FAULTS:
        raise ValueError(f"the header of {name} says nothing that numpy wrote") from None
    member = _Member(name, info, shape, fortran, dtype, head.tell())
    _check_member(path, member, info.file_size - head.tell())
    return member


def _check_member(path: Path, member: _Member, size: int) -> None:
    """size: the bytes after the header."""
    places = count(member.shape)
    announced = f"{path}: {member.name} of the shape {member.shape}"
    if member.dtype == object:
        if not places <= size <= PICKLED + PICKLED_ITEM * places:
            raise UserError(f"{announced} is pickled in {size} bytes, which cannot be; write strings as dtype str")
    elif member.dtype.kind not in KINDS or member.dtype.itemsize == 0:
        raise UserError(f"{path}: {member.name} holds {shown(str(member.dtype))}; numbers or texts are needed")
    elif size != places * member.dtype.itemsize:
        wanted = places * member.dtype.itemsize
        raise UserError(f"{announced} takes {wanted} bytes but holds {size}; the file is damaged, write it again")


def _check_sizes(path: Path, members: list[_Member]) -> None:
    """All members together, before any of them is read."""
    total, memory = sum(member.info.file_size for member in members), half_of_memory()
    if total > memory:
        raise UserError(
            f"{path} unpacks to {total} bytes, more than half of the memory ({memory}); convert it in parts"
        )
    objects = sum(member.dtype == object for member in members)
    if objects > MAX_OBJECT_MEMBERS:
        raise UserError(
            f"{path} holds {objects} object arrays, more than {MAX_OBJECT_MEMBERS}; write strings as dtype str"
        )
    with_rows = [member for member in members if member.shape]
    rows = statistics.median([member.shape[0] for member in with_rows]) if with_rows else 0
    for member in with_rows:
        if member.shape[0] > GIANT_ROWS * rows and member.info.file_size > GIANT_BYTES:
            raise UserError(
                f"{path}: {member.name} has {member.shape[0]} rows where others have {rows:g}; leave it out"
            )
    check_unpacked(path, sum(map(_unpacked, members)))
    longest = max((member.dtype.itemsize // 4 for member in members if member.dtype.kind == "U"), default=0)
    if longest > MAX_JOINED:
        raise UserError(f"{path} holds texts of {longest} characters; at most {MAX_JOINED} are read, shorten them")


def _unpacked(member: _Member) -> int:
    """Bytes of an array once it is float64, or objects."""
    if member.dtype == object:
        return OBJECT_BYTES * member.info.file_size
    return count(member.shape) * (member.dtype.itemsize if member.dtype.kind in "US" else 8)


def _array(path: Path, archive: zipfile.ZipFile, member: _Member) -> np.ndarray | list[object]:
    data = _bytes(archive, member.info)
    if member.dtype == object:
        items = read_list(bytes(memoryview(data)[member.start :]), f"{path}: {member.name}")
        if len(items) != (member.shape[0] if member.shape else 1):
            raise UserError(f"{path}: {member.name} holds {len(items)} items, its header says {member.shape}")
        return items
    flat = np.frombuffer(data, member.dtype, offset=member.start)
    flat = flat.astype(member.dtype.newbyteorder("="), copy=False)
    if member.dtype.kind == "b":
        flat = flat.view(np.uint8) != 0  # numpy counts on 0 and 1
    if member.dtype.kind == "U" and flat.size and flat.view(np.uint32).max() > LAST_CHARACTER:
        raise UserError(
            f"{path}: {member.name} holds characters that do not exist; the file is damaged, write it again"
        )
    return flat.reshape(member.shape, order="F" if member.fortran else "C")


def _bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytearray:
    """A whole member, with its checksum, and never more than it announces."""
    data = bytearray()
    with archive.open(info) as file:
        while piece := file.read(PIECE):
            data += piece
    if len(data) != info.file_size:
        raise EOFError(f"{shown(info.filename)} has {len(data)} of {info.file_size} bytes")
    return data


def _check_stored(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
    """A pt archive is not packed, so that it takes no more memory than its file."""
    infos = archive.infolist()
    if len(infos) > MAX_PT_MEMBERS:
        raise UserError(f"{path} holds {len(infos)} tensors; at most {MAX_PT_MEMBERS} are read, stack them")
    for info in infos:
        _check_encryption(path, info)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise UserError(f"{path} is packed, which torch.save never does; save it again with torch.save")
    if len(members) != len(infos) or sum(info.file_size for info in infos) > path.stat().st_size:
        raise UserError(f"{path} holds the same member twice; save it again with torch.save")
    if path.stat().st_size > half_of_memory():
        raise UserError(f"{path} is larger than half of the memory; convert it in parts")


class _Tensors:
    """Makes tensors of the bytes of a pt archive; names: what its pickle may call."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], folder: str) -> None:
        self._path, self._archive, self._members, self._folder = path, archive, members, folder
        self.file_size = path.stat().st_size
        self._read: dict[str, Tensor] = {}
        self.names: dict[tuple[str, str], object] = {
            ("torch", name): _StorageType(dtype) for name, dtype in STORAGES.items()
        }
        self.names["torch._utils", "_rebuild_tensor_v2"] = _Call(self._tensor)
        self.names["torch._utils", "_rebuild_parameter"] = _Call(_data)
        self.names["torch", "Size"] = _Call(_size)
        self.names["collections", "OrderedDict"] = PLAIN_NAMES["collections", "OrderedDict"]

    def storage(self, pid: object) -> "_Storage":
        """The member that ("storage", type, key, device, number of elements) refers to, read once."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise ValueError("it refers to something that is no storage")
        if isinstance(pid[1], type):  # a stranger
            raise pickles.refusal(str(self._path), pid[1].__name__)
        if not isinstance(pid[1], _StorageType) or not isinstance(pid[2], str):
            raise ValueError("it refers to something that is no storage")
        key, elements = f"{self._folder}{pid[2]}", count((pid[4],))
        if key not in self._members or elements * pid[1].dtype.itemsize > self._members[key].file_size:
            raise ValueError(f"a tensor needs more than the archive holds as data/{pid[2]}")
        if key not in self._read:
            self._read[key] = _flat(_bytes(self._archive, self._members[key]), pid[1].dtype)
        if self._read[key].dtype != pid[1].dtype:
            raise ValueError(f"data/{pid[2]} is of two types at once")
        return _Storage(self._read[key][:elements])

    def _tensor(
        self, storage: object, offset: object, size: Any, stride: Any, grad: object, hooks: object
    ) -> pickles.Held:
        """A view of a storage; repeating its elements by strides of 0, it may not grow beyond the file."""
        if not isinstance(storage, _Storage) or not isinstance(offset, int) or hooks != {}:
            raise ValueError("a tensor without a storage")
        elements = count(size)
        count(stride)
        if elements * storage.flat.element_size() > self.file_size:
            raise ValueError(f"a tensor of the shape {size} is larger than the file")
        return pickles.Held(torch.as_strided(storage.flat, size, stride, offset), 1 + elements)


class _StorageType(pickles.Inert):
    """In place of torch.FloatStorage and its like."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Storage(pickles.Inert):
    """In place of a storage: its elements, (E,)."""

    __slots__ = ("flat",)

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class _Call(pickles.Inert):
    """In place of a function or class."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)


class _Ordered(dict[str, object]):
    """In place of an OrderedDict; what BUILD would set of it, as of a state_dict(), is left out."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


def _data(tensor: object, grad: object, hooks: object) -> object:
    """In place of a parameter: its tensor."""
    return tensor


def _listed(items: object = ()) -> object:
    """In place of a set: its items in a list."""
    if not isinstance(items, list | tuple):
        raise ValueError("a set of what is no list")
    return list(items)


def _told(*parts: object) -> object:
    """In place of a path or a device: its parts as a text."""
    return "/".join(part for part in parts if isinstance(part, str))


PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
PLAIN_NAMES: dict[tuple[str, str], object] = {
    **{(module, name): _Call(_told) for module in ("pathlib", "pathlib._local") for name in PATHS},
    ("torch", "device"): _Call(_told),
    ("collections", "OrderedDict"): _Call(_Ordered),
    ("collections", "defaultdict"): _Call(lambda *_: {}),
    ("builtins", "set"): _Call(_listed),
    ("__builtin__", "set"): _Call(_listed),
}


def _size(axes: object) -> object:
    count(axes)
    return axes


def _flat(data: bytearray, dtype: torch.dtype) -> Tensor:
    """All elements of a storage, (E,)."""
    elements = len(data) // dtype.itemsize
    if elements == 0:
        return torch.empty(0, dtype=dtype)
    if dtype == torch.bool:
        return torch.frombuffer(data, dtype=torch.uint8) != 0  # torch counts on 0 and 1
    return torch.frombuffer(data, dtype=dtype, count=elements)
