"""Label files of every layout, whole and broken in hundreds of ways, by seed."""

import io
import json
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from alterations import Draw, chosen, edited, garbled, repacked
from places import DATA
from written import K, N, driven, past, recorded

from alpamayo_toy.labels.stored.convert import convert

LABELS = DATA / "labels.npz"


class Form(NamedTuple):
    """A kind of label file: some valid contents, how one is written (False: it cannot be), which file is broken."""

    contents: Callable[[], list[Any]]
    save: Callable[[Any, Path], None]
    name: str
    packed: bool = False
    read: str | None = None  # what is named to the readers, where it is not the file itself


def as_json(content: Any, path: Path) -> None:
    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    path.write_text(json.dumps(content, default=plain))


def as_npz(content: Any, path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    path.write_bytes(buffer.getvalue())


def as_pt(content: Any, path: Path) -> None:
    def tensor(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensor(item) for key, item in value.items()}
        try:
            return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
        except (TypeError, ValueError):
            return value  # which torch.save writes as numpy's own

    torch.save(tensor(content), path)


def as_parquet(content: Any, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: list(c) if isinstance(c, np.ndarray) and c.ndim > 1 else c for name, c in content.items()})
    pq.write_table(table, path, compression="zstd", write_page_checksum=len(content) % 2 == 0, row_group_size=7)


def results() -> list[Any]:
    xyz, _, _ = driven()
    return [
        [
            {"clip_id": f"c{i}", "t0_us": i, "pred_xyz": xyz[i].tolist(), "gt_xyz": xyz[i, 0].tolist(), "cot": [["go"]]}
            for i in range(N)
        ]
    ]


def clip_jsons() -> list[Any]:
    xyz, rotation, _ = driven()
    clips = [
        {
            "clip_id": f"c{i}",
            "t0_us": i,
            "chain_of_causation": "go",
            "trajectory": {
                "duration_sec": 6.4,
                "predicted_xyz": xyz[i, 0].tolist(),
                "predicted_rotation": rotation[i, 0].tolist(),
            },
        }
        for i in range(N)
    ]
    return [clips[0], {"average_ADE": 1.0, "results": clips}]


def community() -> list[Any]:
    xyz, rotation, _ = driven()
    return [
        {
            "clip_ids": kind([f"c{i}" for i in range(N)]),
            "t0_us": np.arange(N),
            "trajectory_xyz": xyz[:, 0],
            "trajectory_rot": rotation[:, 0],
            "coc_texts": kind(["go"] * N),
        }
        for kind in (np.array, lambda texts: np.array(texts, dtype=object))
    ]


def histories() -> list[Any]:
    return [dict(zip(("ego_history_xyz", "ego_history_rot"), past(driven()[2]), strict=True))]


def samples() -> list[Any]:
    xyz, rotation, _ = driven()
    clip = {"pred_xyz": xyz[1][None, None], "pred_rot": rotation[1][None, None], "cot": [[["go"]]], "t0_us": 5}
    return [clip, {**clip, "gt_xyz": xyz[1, :1], "clip_id": ["c"]}, [clip, {**clip, "clip_id": "d"}]]


def driven_npz() -> list[Any]:
    said = {"source": np.array(["a", "a", "b"]), "t0_s": np.array([1.5, 2.5, 9.0]), "dt": np.float64(0.1)}
    said["clip_id"] = np.array(["x", "y", "z"])
    xyz = np.repeat(recorded()["ego_future_xyz"][:, None], K, 1)
    return [{**recorded(), **said}, {**recorded(), "pred_xyz": xyz, "t0_us": np.arange(3)}]


def driven_pt() -> list[Any]:
    clip = {name: value[:1] for name, value in recorded().items()}
    return [{**clip, "clip_id": "x", "t0_us": 5, "cot": [["go"]], "dt": 0.1}, [clip, {**clip, "clip_id": ["y"]}]]


def own() -> list[Any]:
    with np.load(LABELS, allow_pickle=False) as archive:
        rows = len(archive["clip_id"])
        some = {name: archive[name] for name in archive}
    some = {name: value[:N] if value.shape[:1] == (rows,) else value for name, value in some.items()}
    some |= {"history": np.zeros((N, 16, 4)), "context": np.zeros((N, 2)), "context_names": np.array(["rain", "dark"])}
    some |= {"text": np.array(["go"] * N), "t0_us": np.arange(N), "dt": np.float64(0.1)}
    return [some, {"clip_id": some["clip_id"], "teacher": some["teacher"][..., :2], "v0": some["v0"]}]


def flat() -> list[Any]:
    xyz, rotation, v0 = driven()
    history, turned = past(v0)
    rows = N * K
    content = {
        "clip_id": [f"c{i // K}" for i in range(rows)],
        "t0_us": [i // K for i in range(rows)],
        "sample_idx": [i % K for i in range(rows)],
        "pred_xyz": xyz.reshape(rows, -1).tolist(),
        "pred_rot": rotation.reshape(rows, -1).tolist(),
    }
    beside = {"gt_xyz": xyz[:, 0], "hist_xyz": history, "hist_rot": turned}
    more = {name: value.reshape(N, -1).repeat(K, 0).tolist() for name, value in beside.items()}
    return [
        content,
        {**content, **more, "coc": ["go"] * rows, "v0": v0.repeat_interleave(K).tolist(), "dt": [0.1] * rows},
    ]


def nested() -> list[Any]:
    """Records as people nest them: keyframes of a clip, its samples, a clip by its id."""
    xyz, rotation, v0 = driven()
    history = past(v0)[0]
    answers = [
        {
            "timestamp_us": i,
            "pred_xyz": xyz[i][None, None],
            "pred_rot": rotation[i][None, None],
            "cot": [["a", "b", "c"]],
        }
        for i in range(N)
    ]
    samples = [{"pred_xyz": xyz[0, k], "sample_idx": k, "cot": "go"} for k in range(K)]
    told = {"gt_future_xyz": xyz[0, 0], "hist_xyz": history[0], "dt": 0.1}
    return [
        {"clip_id": "a", "keyframes": answers},
        [{"clip_id": "a", "t0_us": 5, **told, "samples": samples}, {"clip_id": "b", "extra": answers[1]}],
        {f"c{i}": answers[i] for i in range(N)},
        [
            {"clip_id": f"c{i}", "n_traj": K, "n_future": 64, "pred_xy": xyz[i, ..., :2].ravel(), "fps": 10}
            for i in range(N)
        ],
    ]


def batches() -> list[Any]:
    xyz, rotation, v0 = driven()
    history, turned = past(v0)
    ids = np.array([f"c{i}" for i in range(N)])
    whole = {"clip_ids": ids, "t0_us": np.arange(N), "pred_xyz": xyz[:, None], "pred_rot": rotation[:, None]}
    texts = np.array([[["a", "b", "c"]]] * N)
    beside = {"gt_xyz": xyz[:, 0], "ego_history_xyz": history, "ego_history_rot": turned, "cot": texts}
    rows = {"clip_id": np.repeat(ids, K), "sample_idx": np.tile(np.arange(K), N), "pred_xyz": xyz.reshape(-1, 64, 3)}
    return [{**whole, **beside, "dt": np.float64(0.1)}, rows]


def row_a_clip() -> list[Any]:
    xyz, _, _ = driven()
    columns = {"clip_id": [f"c{i}" for i in range(N)], "timestamp_us": list(range(N)), "cots": [["a", "b", "c"]] * N}
    flat = {"pred_xy": xyz[..., :2].reshape(N, -1).tolist(), "n_traj": [K] * N, "n_future": [64] * N}
    return [{**columns, "pred_xyz": xyz.tolist(), "gt_xyz": xyz[:, 0].tolist()}, {**columns, **flat, "hz": [10.0] * N}]


def as_lines(content: Any, path: Path) -> None:
    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    rows = content if isinstance(content, list) else [content]
    path.write_text("\n".join(json.dumps(row, default=plain) for row in rows))


def as_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def poses() -> list[Any]:
    t = np.arange(0, 12, 0.1)
    names = ("qx", "qy", "qz", "y", "z")
    content = {"timestamp": np.round(t * 1e6).astype(np.int64), **dict.fromkeys(names, 0 * t)}
    return [{**content, "qw": np.ones(len(t)), "x": 10 * t}]


FORMS = {
    "labels_npz": Form(own, as_npz, "own.npz", packed=True),
    "results_json": Form(results, as_json, "results.json"),
    "clip_json": Form(clip_jsons, as_json, "clip.json"),
    "community_npz": Form(community, as_npz, "train_labels.npz", packed=True),
    "community_history": Form(histories, as_npz, "train_ego_history.npz", packed=True, read="train_labels.npz"),
    "sample_pt": Form(samples, as_pt, "sample.pt", packed=True),
    "drives_npz": Form(driven_npz, as_npz, "drives.npz", packed=True),
    "drives_pt": Form(driven_pt, as_pt, "drive.pt", packed=True),
    "flat_parquet": Form(flat, as_parquet, "flat.parquet"),
    "nested_json": Form(nested, as_json, "nested.json"),
    "lines": Form(lambda: [*results(), *nested()], as_lines, "lines.jsonl"),
    "nested_pt": Form(lambda: [*nested(), *batches()], as_pt, "nested.pt", packed=True),
    "batch_npz": Form(batches, as_npz, "batch.npz", packed=True),
    "pickle": Form(lambda: [*nested(), *batches()], as_pickle, "nested.pkl"),
    "rows_parquet": Form(row_a_clip, as_parquet, "rows.parquet"),
    "egomotion": Form(poses, as_parquet, "d34d.egomotion.parquet"),
}


@cache
def contents(name: str) -> list[Any]:
    """The valid contents of a form, not to be changed."""
    return FORMS[name].contents()


def broken(name: str, seed: int, folder: Path) -> Path:
    """A broken file of that form in an empty folder; what is to be read."""
    draw = np.random.default_rng([sum(name.encode()), seed])
    folder.mkdir(parents=True)
    if name == "set":
        return broken_set(draw, folder)
    form = FORMS[name]
    if name.startswith("community"):
        as_npz(contents("community_npz")[0], folder / "train_labels.npz")
        as_npz(contents("community_history")[0], folder / "train_ego_history.npz")
    path = folder / form.name
    whole = chosen(draw, contents(name))
    if draw.random() < 0.4:
        form.save(whole, path)
        if form.packed and draw.random() < 0.5:
            repacked(draw, path)
        else:
            path.write_bytes(garbled(draw, path.read_bytes()))
    else:
        save_edited(draw, whole, form, path)
    return folder / (form.read or form.name)


def save_edited(draw: Draw, whole: Any, form: Form, path: Path) -> None:
    """The first change that the format can hold."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                form.save(edited(draw, whole), path)
                return
            except Exception:  # numpy, json, torch and pyarrow each refuse with whatever they have
                continue


def whole_set(folder: Path) -> Path:
    """A set of own.npz, converted once."""
    for name, data in files_of_a_set().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "set"


@cache
def files_of_a_set() -> dict[Path, bytes]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        as_npz(own()[0], folder / "own.npz")
        convert([folder / "own.npz"], folder / "set")
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def broken_set(draw: Draw, folder: Path) -> Path:
    whole_set(folder)
    files = [
        file for file in sorted((folder / "set").rglob("*")) if file.suffix == ".npy" or file.name == "labels.json"
    ]
    path = chosen(draw, files) if draw.random() < 0.7 else folder / "set" / "labels.json"
    if draw.random() < 0.4:
        path.write_bytes(garbled(draw, path.read_bytes()))
    elif path.suffix == ".json":
        index = json.loads(path.read_text())
        save_edited(draw, index, Form(list, as_json, path.name), path)
    else:

        def save(content: Any, path: Path) -> None:
            np.save(path, np.array(content["array"]))

        save_edited(draw, {"array": np.load(path)}, Form(list, save, path.name), path)
    return folder / "set"
