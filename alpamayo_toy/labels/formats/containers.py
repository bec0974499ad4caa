"""Containers: files of any kind as plain documents, lists, objects and arrays, before anybody asks what they mean."""

import gc
import io
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.fields import Names
from alpamayo_toy.labels.untrusted.archive import BROKEN, HEADER_FAULTS, read_npz, read_pickle, read_pt
from alpamayo_toy.labels.untrusted.memory import PACKED, check_unpacked, half_of_memory
from alpamayo_toy.labels.untrusted.parquet_file import batches, opened
from alpamayo_toy.labels.untrusted.texts import shown

KEY_SUFFIX = "_npz_key"  # of a name that says under which name an npz beside holds the array
BESIDE = 1 << 20  # bytes of a JSON file that describes arrays beside it
MAX_MEMBERS = 100_000  # of a zip
ROWS_AT_ONCE = 1024
WORDS = ("clip_id", "source", "text")  # fields that are no numbers
LISTED = 8  # times the size of a column that its numbers take as Python's


class NoLabels(UserError):
    """A file that holds no labels: alone it is an error, in a folder it is left aside."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)  # both, so that another process gets them
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} {self.args[1]}"


class Failed(UserError):
    """A row that its writer could not fill: it has a place for trajectories and nothing in it."""


class Unsaid(UserError):
    """Something that all records of a file leave open, so that the user must say it once."""


def document(path: Path, names: Names) -> Any:
    """What a file holds, with the arrays that lie beside it. Raises UserError."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _referred(_json(path), path)
    if suffix in (".jsonl", ".ndjson"):
        return _referred(_lines(path), path)
    if suffix == ".npz":
        return _with_history(read_npz(path), path)
    if suffix == ".npy":
        return _arrays_of_a_folder(path, names)
    if suffix in (".pkl", ".pickle"):
        return read_pickle(path)
    return read_pt(path)


def named(content: Any, stem: str) -> Any:
    """A bare array by the name of its file; what the models return, trajectories, rotations and extra, by theirs."""
    if isinstance(content, np.ndarray | Tensor):
        return {stem: content}
    if not isinstance(content, list | tuple) or not all(isinstance(item, np.ndarray | Tensor) for item in content[:2]):
        return content
    tails = [tuple(item.shape[-2:]) for item in content[:2]]
    if len(tails) < 2 or tails[0][-1:] != (3,) or tails[1] != (3, 3):
        return content
    extra = content[-1] if isinstance(content[-1], dict) else {}
    return {**extra, "pred_xyz": content[0], "pred_rot": content[1]}


def rows(path: Path, kinds: dict[str, str], names: Names) -> Iterator[list[dict[str, Any]]]:
    """The rows of a Parquet file with columns of these types as objects, without bytes whose name means nothing."""
    columns = [name for name, kind in kinds.items() if "binary" not in kind or names.of(name)]
    packed = [
        name
        for name in columns
        if (meaning := names.of(name))
        and ("binary" in kinds[name] or ("string" in kinds[name] and meaning.field not in WORDS))
    ]
    with opened(path) as file:
        for table in batches(path, file, ROWS_AT_ONCE, columns, weight=LISTED):
            found = table.to_pylist()
            for row in found:
                row.update({name: _spelled(path, name, row[name], names) for name in packed})
            yield found


def _spelled(path: Path, name: str, value: Any, names: Names) -> Any:
    """What numpy.save or JSON made of a field's numbers, and bytes that are a word. Raises UserError for others."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return _loads(value.encode())
        return value
    if not isinstance(value, bytes):
        return value
    if value.startswith(np.lib.format.MAGIC_PREFIX):
        return _array(io.BytesIO(value), len(value), f"{path}: {name}")
    meaning = names.of(name)
    with suppress(UnicodeDecodeError):
        if meaning is not None and meaning.field in WORDS:
            return value.decode()
    raise UserError(f"{path}: {name} holds bare bytes, whose shape nobody says; write lists, or bytes of numpy.save")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing that JSON makes is garbage, which Python would look for after every few hundred lists of it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _json(path: Path) -> Any:
    try:
        with _uncollected():
            return _loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and error.lineno > 1:
            return _lines(path)  # JSON lines by another suffix
        raise UserError(f"{path} is not valid JSON, perhaps cut off: {str(error)[:200]}") from None


def _loads(text: bytes) -> Any:
    """What json.loads() gives, four times as fast where orjson is installed and can read the text: not NaN, say."""
    with suppress(ImportError, ValueError):
        import orjson

        return orjson.loads(text)
    return json.loads(text)


def _lines(path: Path) -> list[Any]:
    found = []
    with path.open("rb") as file, _uncollected():
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    found.append(_loads(line))
                except (ValueError, RecursionError) as error:
                    raise UserError(f"{path}: line {number} is not valid JSON: {str(error)[:200]}") from None
    return found


def _referred(content: Any, path: Path) -> Any:
    """Rows with the arrays that they name in an npz beside: pred_xyz for pred_xyz_npz_key."""
    listed = content if isinstance(content, list) else [content]
    if not any(isinstance(row, dict) and any(str(key).endswith(KEY_SUFFIX) for key in row) for row in listed):
        return content
    arrays: dict[str, Any] = {}
    for file in sorted(path.parent.glob("*.npz")):
        arrays.update(read_npz(file))
    for row in (row for row in listed if isinstance(row, dict)):
        for key in [key for key in row if str(key).endswith(KEY_SUFFIX)]:
            if isinstance(row[key], str) and row[key] in arrays:
                row[key.removesuffix(KEY_SUFFIX)] = arrays[row[key]]
                del row[key]
    return content


def history_file(path: Path) -> Path | None:
    """The history that lies beside the community's labels, if there is one."""
    beside = path.with_name(path.name.replace("labels", "ego_history"))
    return beside if path.suffix.lower() == ".npz" and beside != path and beside.exists() else None


def _with_history(content: dict[str, Any], path: Path) -> dict[str, Any]:
    beside = history_file(path)
    if beside is None:
        return content
    history = read_npz(beside)
    return {**content, **{f"{beside.name}.{name}": array for name, array in history.items()}}


def _arrays_of_a_folder(path: Path, names: Names) -> dict[str, Any]:
    """A .npy under its own name, with other arrays and JSON objects beside it that say more of the same clip."""
    found: dict[str, Any] = {path.stem: _npy(path)}
    for file in beside_npy(path, names):
        if file.suffix.lower() == ".npy":
            found[file.stem] = _npy(file)
        else:
            content = _json(file)
            found.update(content if isinstance(content, dict) else {file.stem: _texts(content)})
    return found


def beside_npy(path: Path, names: Names) -> list[Path]:
    """What lies beside a .npy and belongs to it: arrays whose names have a meaning, and small JSON."""
    if path.suffix.lower() != ".npy":
        return []
    files = [file for file in sorted(path.parent.iterdir()) if file != path and file.is_file()]
    return [
        file
        for file in files
        if (file.suffix.lower() == ".npy" and names.of(file.stem) and not is_teacher(file, names))
        or (file.suffix.lower() == ".json" and file.stat().st_size < BESIDE)
    ]


def is_teacher(path: Path, names: Names) -> bool:
    """Whether the name of a file says that it holds a teacher's trajectories."""
    meaning = names.of(path.stem)
    return meaning is not None and meaning.field == "teacher"


def _texts(content: Any) -> Any:
    """The texts of a list of objects that hold one each, or the one that there is."""
    if not isinstance(content, list) or not all(isinstance(item, dict) and "text" in item for item in content):
        return content
    texts = [item["text"] for item in content]
    return texts[0] if len(texts) == 1 else texts


def _npy(path: Path) -> np.ndarray:
    """One bare array of numbers. Raises UserError."""
    with path.open("rb") as file:
        return _array(file, path.stat().st_size, str(path))


def _array(file: BinaryIO, whole: int, where: str) -> np.ndarray:
    """What numpy.save wrote, in so many bytes."""
    try:
        version = np.lib.format.read_magic(file)
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = parse(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biuf" or whole - file.tell() != size or size > half_of_memory():
            raise UserError(f"{where} is no whole array of numbers, or too large; write it again with numpy.save")
        file.seek(0)
        array: np.ndarray = np.load(file, allow_pickle=False)
    except UserError:
        raise
    except (*HEADER_FAULTS, EOFError, OSError) as error:
        raise UserError(f"{where} is no valid npy file, perhaps cut off: {shown(str(error))}") from None
    return array


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder with the files of a zip, which is taken away again. Raises UserError."""
    folder = Path(tempfile.mkdtemp(prefix="labels-")).resolve()
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > MAX_MEMBERS or sum(info.file_size for info in infos) > half_of_memory():
                raise UserError(
                    f"{path} unpacks to more than half of the memory; unpack it yourself and name the folder"
                )
            check_unpacked(path, sum(info.file_size for info in infos))
            for info in infos:
                target = (folder / info.filename).resolve()
                if not target.is_relative_to(folder) or info.flag_bits & 0x1:
                    raise UserError(f"{path} holds {shown(info.filename)}, which is encrypted or leads elsewhere")
                target.parent.mkdir(parents=True, exist_ok=True)
                PACKED[target] = min(info.compress_size, path.stat().st_size)
                with archive.open(info) as packed, target.open("wb") as file:
                    left = info.file_size
                    while piece := packed.read(min(left, 1 << 20)) if left else b"":
                        file.write(piece)
                        left -= len(piece)
        yield folder
    except BROKEN as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no valid zip file, perhaps cut off: {shown(str(error))}") from None
    finally:
        for target in [target for target in PACKED if target.is_relative_to(folder)]:
            del PACKED[target]
        shutil.rmtree(folder, ignore_errors=True)
