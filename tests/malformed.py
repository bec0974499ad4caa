"""Label files that are wrong in ways their formats can say, by a draw: in what they say, how it is packed, or bytes."""

import copy
import gzip
import io
import json
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from alpamayo_toy import UnicycleRollout

Clip = dict[str, Any]
Draw = random.Random
NAMES = {
    "teacher": ("pred_xyz", "predicted_xyz", "trajectories_xyz", "PredFutureXYZ", "pred_traj", "waypoints"),
    "ground_truth": ("gt_xyz", "ego_future_xyz", "gt_future_xyz", "ground_truth"),
    "history": ("hist_xyz", "ego_history_xyz", "history_xyz"),
    "rotation": ("pred_rot", "predicted_rotation", "trajectory_rot"),
    "history_rotation": ("hist_rot", "ego_history_rot"),
    "clip_id": ("clip_id", "scene_id", "sample_token", "clipId"),
    "t0": ("t0_us", "timestamp_us"),
    "text": ("cot", "coc", "reasoning"),
}
OWN = {"t0": "t0_us"}
LARGEST = 1 << 20  # bytes
NAN, INF = float("nan"), float("inf")
NUMBERS = (NAN, INF, -INF, 1e300, 1e39, -1e19)
TEXTS = ("", "text", "1.5", "nan", "a\0b", "\x1b[2J", "é" * 70_000, "../../x", "c\n1")
SINGLE = (None, True, -1, 0, 3.5, 2**63, -(2**70), 10**400)
LISTS = ([], [[]], [None], {}, {"a": 1}, {"": {}}, [{}], [[1, 2], [3]], [["1", "2"]] * 64, [[True, 0.5]] * 64)
STEPS = (0, -0.1, 0.5, 1e-9, 1e30, "0.1 s", [0.1, 0.2], NAN, INF, None, {})
TIMES = (-1, 2**64, 1e30, NAN, "2026-01-01T00:00:00Z", [1, 2], True, "5 s", {"us": 5})
SAID = {
    ("n_traj", "num_waypoints", "sample_idx"): (-1, 0, 7, 2**31, 2**63, 1e9, "3", [2]),
    ("dt", "dt_ms", "fps", "duration_sec", "step_ns"): STEPS,
    ("unit", "units", "pred_unit", "normalized"): ("cm", "feet", "km", 1, True, ["m"]),
    ("clip_id", "name"): (*TEXTS, None, 5, NAN, ["c0", "c1"], "x" * 5000, "c0"),
    ("t0", "time", "t0_s"): TIMES,
    ("teacher", "ground_truth", "history", "text", "v0", "source"): (*SINGLE, *TEXTS, *LISTS),
}
"""Names, and what they may say that is wrong."""


def drives(draw: Draw, own: bool) -> tuple[list[Clip], np.ndarray]:
    """Some clips by field, of our own layout or as others have them, and all their drives (N, K, T, 2)."""
    n, k, t = draw.randint(1, 3), draw.randint(1, 5), draw.choice((64, 64, 64, 40))
    generator = torch.Generator().manual_seed(draw.getrandbits(32))
    actions = torch.rand(n, k, 1, 2, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 0.02])
    v0 = 3 + 10 * torch.rand(n, generator=generator, dtype=torch.float64)
    states = UnicycleRollout(0.1, "trapezoid")(actions.expand(n, k, t, 2), v0[:, None])
    past = np.pad(v0.numpy()[:, None, None] * np.linspace(-1.5, 0, 16)[:, None], [(0, 0), (0, 0), (0, 3)])
    past[..., 3] = v0[:, None]
    turned = np.eye(3) * np.ones((n, k, t, 1, 1))
    turned[..., 0, 0], turned[..., 1, 0] = states[..., 2].cos(), states[..., 2].sin()
    turned[..., 0, 1], turned[..., 1, 1] = -turned[..., 1, 0], turned[..., 0, 0]
    places = states.numpy() if own else np.pad(states[..., :2].numpy(), [(0, 0)] * 3 + [(0, 1)])
    clips: list[Clip] = [{"clip_id": f"c{i}", "t0": i * 10**6, "text": "go", "teacher": places[i]} for i in range(n)]
    still = np.eye(3) * np.ones((16, 1, 1))
    for i, clip in enumerate(clips):
        clip |= {"ground_truth": places[i, 0], "history": past[i] if own else past[i, :, :3]}
        clip |= {"v0": float(v0[i])} if own else {"rotation": turned[i], "history_rotation": still}
    optional = [key for key in clips[0] if key not in ("clip_id", "teacher", "v0")]
    left = draw.sample(optional, draw.randint(0, len(optional)))
    left += ["teacher", "rotation"] if not {"ground_truth", "history"} & {*left} and draw.random() < 0.2 else []
    return [{key: value for key, value in clip.items() if key not in left} for clip in clips], places[..., :2]


def ragged(draw: Draw, value: Any) -> Any:
    """Nested lists, one of which is longer or shorter than those beside it."""
    whole = inner = np.asarray(value).tolist()
    for _ in range(draw.randint(0, 2)):
        inner = draw.choice(inner) if isinstance(inner, list) and inner and isinstance(inner[0], list) else inner
    if isinstance(inner, list) and inner:
        inner.pop() if draw.random() < 0.5 else inner.append(draw.choice([copy.deepcopy(inner[0]), None, "x", []]))
    return whole


def one_number(draw: Draw, value: Any) -> Any:
    found = np.array(value, dtype=np.float64)
    found.flat[draw.randrange(found.size)] = draw.choice(NUMBERS)
    return found


def wrapped(draw: Draw, value: Any) -> Any:
    for _ in range(draw.choice((1, 2, 5, 25, 400))):
        value = {draw.choice(("value", "0", "data")): value} if draw.random() < 0.3 else [value]
    return value


def as_objects(draw: Draw, value: Any) -> Any:
    """Points as objects, whose axes are others, or not all there."""
    flat = [dict(zip(draw.choice(("xyz", "xzy", "xyv")), row, strict=False)) for row in np.reshape(value, (-1, 3))]
    draw.choice(flat).pop(draw.choice("xyzw"), None)
    return flat if np.ndim(value) == 2 else [flat[i :: len(value)] for i in range(len(value))]


BENT: dict[str, Callable[[Draw, Any], Any]] = {
    "ragged": ragged,
    "a number": one_number,
    "swapped": lambda draw, value: np.transpose(value, draw.sample(range(np.ndim(value)), np.ndim(value))),
    "wrapped": wrapped,
    "objects": as_objects,
    "texts": lambda _, value: np.asarray(value).astype(str).tolist(),
    "flat": lambda _, value: np.asarray(value).ravel(),
    "type": lambda draw, value: np.asarray(value).astype(draw.choice(("i1", "u1", "f2", "c16", ">f4", "?", "S9"))),
    "columns": lambda draw, value: np.asarray(value)[..., : draw.randint(0, 1)],
    "steps": lambda draw, value: np.asarray(value)[..., : draw.choice((0, 1, 2, 5, 39)), :],
    "samples": lambda draw, value: np.asarray(value)[: draw.randint(0, 2)],
    "units": lambda draw, value: np.asarray(value) * draw.choice((100.0, 1000.0)),
    "upside down": lambda _, value: np.asarray(value)[..., ::-1, :],
}
"""What an array may be in place of what it should be."""


def told_wrong(draw: Draw, clips: list[Clip]) -> None:
    """One thing that the clips say becomes wrong."""
    some = clips if draw.random() < 0.3 else [draw.choice(clips)]
    field = draw.choice([key for key, value in clips[0].items() if isinstance(value, np.ndarray)])
    way = draw.random()
    bend = BENT[draw.choice(list(BENT))]
    names, values = draw.choice(list(SAID.items()))
    name, said = draw.choice(names), copy.deepcopy(draw.choice(values))
    other = draw.choice((*NAMES["teacher"], "gt", "past_xyz", "future", "Pred_XYZ", "pred_norm"))
    for clip in some:
        if way < 0.6:
            clip[field] = bend(draw, clip[field])
        elif way < 0.92:
            clip[name] = said
        else:
            clip[other] = np.asarray(clip[field]) + draw.choice((0.0, 50.0))


def nested(draw: Draw, clips: list[Clip], rows: bool, own: bool) -> Any:
    """The clips under names drawn at random: a list of objects, an object of them, columns, or a row a sample."""
    names = OWN if own else {field: draw.choice(several) for field, several in NAMES.items()}
    told = [{names.get(field, field): value for field, value in clip.items()} for clip in clips]
    ways = ("list", "list", "single", "by id", "inside", "rows", "columns")
    way = "columns" if own else "list" if rows else draw.choice(ways)
    if way == "single":
        return told[0]
    if way == "by id":
        return {str(clip.get("clip_id", "c"))[:50]: one for clip, one in zip(clips, told, strict=True)}
    if way == "inside":
        return {"model": "a", "results": told, draw.choice(("n", "clips", "samples")): len(told)}
    if way == "columns":
        return {key: [one.get(key) for one in told] for key in told[0]}
    if way == "rows":
        several, once = {names["teacher"], names["rotation"]}, draw.random() > 0.1
        return [
            {key: value[k] if key in several else value for key, value in one.items()} | {"sample_idx": k * once}
            for one in told
            for k in range(len(one[names["teacher"]]))
        ]
    return told


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def as_json(draw: Draw, content: Any, path: Path, wrong: bool) -> None:
    lines = path.suffix == ".jsonl" and isinstance(content, list)
    text = ("\n" if lines else ",").join(json.dumps(one, default=plain) for one in (content if lines else [content]))
    ways: tuple[Callable[[], str], ...] = (
        lambda: text.replace("}", ",}"),
        lambda: text.replace('"', "'"),
        lambda: text.replace("{", '{"clip_id": "other", "pred_xyz": [[[1, 2, 3]]], ', 1),
        lambda: text.replace("[", "[" * draw.choice((2, 1000, 200_000)), 1),
        lambda: text + draw.choice(("]", "\n\n{}", "\n" + text, "\0", "//", ",")),
        lambda: text.replace("0.", draw.choice((".", "00.", "0,", "0x")), 3),
        lambda: text.replace("1", draw.choice(("NaN", "Infinity", "1e999", "null", "9" * 5000)), draw.choice((1, 50))),
        lambda: text.replace("c0", draw.choice(("\\ud800", "\\u0000", "\t", "\\x")), 1),
        lambda: "\ufeff" + text,
    )
    coding = draw.choice(("utf-8",) * 6 + ("utf-16", "utf-32", "latin-1", "utf-8-sig")) if wrong else "utf-8"
    path.write_bytes((draw.choice(ways)() if wrong else text).encode(coding, "replace"))


def npy(draw: Draw, value: Any, wrong: bool) -> bytes:
    """An array as numpy writes it, or with a header that lies."""
    array = np.array(value)
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    if not wrong:
        return data
    size, shape = int.from_bytes(data[8:10], "little"), array.shape
    shapes = [
        shape[::-1],
        (*shape, 2),
        (2**62,),
        (-1,),
        (0,),
        (),
        (2**32, 2**32),
        (1.5,),
        ("3",),
        [3],
        None,
        (10**6,) * 3,
    ]
    types = ["|O", "<f4", "<f16", "|V8", "<M8[us]", [("a", "<f4")], "<U1000000", "x", "", None, ">c16", "|b1", ">f8"]
    key, values = draw.choice((("shape", shapes), ("descr", types), ("fortran_order", [True, 1, None])))
    said = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": shape}
    header = repr({**said, key: draw.choice(values)}).encode().ljust(size - 1) + b"\n"
    version = draw.choice((1, 1, 1, 1, 2, 3, 9))
    length = draw.choice((len(header),) * 8 + (0, 65535)).to_bytes(2 if version == 1 else 4, "little")
    return data[:6] + bytes((version, 0)) + length + header + data[10 + size :]


def as_zip(draw: Draw, members: list[tuple[str, bytes]], path: Path, wrong: bool) -> None:
    """An archive, or one with members twice, elsewhere, in another archive, or with sizes that lie."""
    way = draw.choice(("twice", "elsewhere", "inside", "size", "method", "encrypted")) if wrong else ""
    if way == "twice":
        members = [*members, (members[0][0], draw.choice(members)[1])]
    if way == "elsewhere":
        odd = draw.choice(("../x/", "/", "a/../../", "C:\\", "", "\0", "x" * 300, "x/" * 2000))
        members = [(odd + name, data) for name, data in members]
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", draw.choice((0, 8))) as archive:
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    if way in ("size", "method", "encrypted"):
        at = data.rfind(b"PK\1\2") + {"size": 24, "method": 10, "encrypted": 8}[way]
        data[at : at + 2] = draw.choice((b"\1\0", b"\xff\xff", b"\x63\0"))
        path.write_bytes(data)
    if way == "inside":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(draw.choice(("labels.zip", "labels.npz", "x")), bytes(data))


def as_npz(draw: Draw, content: Any, path: Path, wrong: bool) -> None:
    content = content if isinstance(content, dict) else {key: [one.get(key) for one in content] for key in content[0]}
    packed = wrong and draw.random() < 0.3
    lies = draw.choice(list(content)) if wrong and not packed else None
    as_zip(draw, [(f"{key}.npy", npy(draw, value, key == lies)) for key, value in content.items()], path, packed)


def as_npy(draw: Draw, content: Any, path: Path, wrong: bool) -> None:
    """A folder a clip."""
    for i, clip in enumerate(content):
        folder = path / f"clip-{i}"
        folder.mkdir(parents=True)
        arrays = [key for key, value in clip.items() if isinstance(value, np.ndarray)]
        for key in arrays:
            name = "trajectories" if key in NAMES["teacher"] else key
            (folder / f"{name}.npy").write_bytes(npy(draw, clip[key], wrong and draw.random() < 0.5))
        said = {key: value for key, value in clip.items() if key not in arrays}
        as_json(draw, said, folder / "meta.json", wrong and draw.random() < 0.2)


def as_pt(draw: Draw, content: Any, path: Path, wrong: bool) -> None:
    types = (torch.bfloat16, torch.complex64, torch.bool, torch.float8_e4m3fn, torch.int8)
    ways: tuple[Callable[[torch.Tensor], Any], ...] = (
        lambda t: t.to_sparse(),
        lambda t: t.flatten()[:1].expand(10_000, 10_000, 3),
        lambda t: torch.nn.Parameter(t),
        lambda t: t.to(draw.choice(types)),
        lambda t: t.to("meta"),
        lambda t: torch.as_strided(t, (2, 64, 3), draw.choice(((0, 0, 0), (3, 3, 1), (1, 2, 3)))),
        lambda t: t.mT.conj().resolve_conj(),
        lambda t: torch.view_as_complex(t[..., :2].contiguous()).conj(),
    )

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        if isinstance(value, list):
            return [tensors(item) for item in value]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            return value
        tensor = torch.tensor(value.astype(value.dtype.newbyteorder("=")))
        return draw.choice(ways)(tensor) if wrong and draw.random() < 0.5 else tensor

    torch.save(tensors(content), path, _use_new_zipfile_serialization=not wrong or draw.random() < 0.9)


def as_parquet(draw: Draw, content: Any, path: Path, wrong: bool) -> None:
    def column(name: str) -> pa.Array:
        values = [plain(value) if isinstance(value := row.get(name), np.ndarray) else value for row in content]
        way = draw.choice(("", "text", "none", "list", "type", "dictionary")) if wrong else ""
        if way in ("text", "none", "list"):
            texts = [json.dumps(value, default=plain) for value in values]
            values = {"text": texts, "none": [None, *values[1:]], "list": [[value] for value in values]}[way]
        array = pa.array(values)
        if way == "type":
            return array.cast(
                draw.choice((pa.float16(), pa.int8(), pa.decimal128(20, 3), pa.timestamp("us"))), safe=False
            )
        return array.dictionary_encode() if way == "dictionary" else array

    names = list({key: None for row in content for key in row})
    table = pa.table([column(name) for name in names], names)
    if wrong and draw.random() < 0.2:
        table = table.append_column(draw.choice(names), draw.choice(table.columns))
    table = table.slice(0, 0 if wrong and draw.random() < 0.1 else len(table))
    pq.write_table(table, path, compression=draw.choice(("none", "zstd", "gzip")), row_group_size=draw.choice((1, 100)))


def as_archive(draw: Draw, content: Any, path: Path, wrong: bool) -> None:
    inner = path.with_suffix(draw.choice((".json", ".jsonl", ".npz", ".pt")))
    CONTAINERS[inner.suffix[1:]](draw, content, inner, False)
    members = [(draw.choice(("", "a/", "__MACOSX/")) + inner.name, inner.read_bytes())]
    as_zip(draw, members + [("README.txt", b"x"), ("b.json", b"{}")][: draw.randint(0, 2)], path, wrong)
    inner.unlink()


CONTAINERS: dict[str, Callable[[Draw, Any, Path, bool], None]] = {
    "json": as_json,
    "jsonl": as_json,
    "npz": as_npz,
    "npy": as_npy,
    "pt": as_pt,
    "parquet": as_parquet,
    "zip": as_archive,
}


def spoilt(draw: Draw, data: bytes) -> bytes:
    at, flipped = draw.randrange(len(data) + 1), bytearray(data)
    for _ in range(draw.choice((1, 8, 100))):
        flipped[draw.randrange(len(data))] = draw.randrange(256)
    torn = (data[:at], b"", data + data[:at], data[at:], data[:at] + bytes(100) + data[at:])
    return draw.choice((*torn, bytes(flipped), bytes(flipped), gzip.compress(data)))


def malformed(container: str, draw: Draw, folder: Path) -> tuple[Path, np.ndarray]:
    """A malformed file in an empty folder, and the drives (N, K, T, 2) that it is of."""
    path = folder / ("npy" if container == "npy" else f"labels.{container}")
    while True:
        own = container == "npz" and draw.random() < 0.3
        clips, xy = drives(draw, own)
        level = draw.choice(("said", "said", "said", "packed", "packed", "bytes"))
        try:
            for _ in range(draw.choice((1, 1, 2)) if level == "said" else 0):
                told_wrong(draw, clips)
            content = nested(draw, clips, container in ("npy", "parquet"), own)
            CONTAINERS[container](draw, content, path, level == "packed")
            file = draw.choice(sorted(path.rglob("*.npy"))) if path.is_dir() else path
            assert file.stat().st_size < LARGEST
        except Exception:  # no container can say everything
            shutil.rmtree(folder)
            folder.mkdir()
            continue
        if level == "bytes":
            file.write_bytes(spoilt(draw, file.read_bytes()))
        return path, xy
