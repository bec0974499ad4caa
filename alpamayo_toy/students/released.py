"""A released student: weights as safetensors, and config.json, which says what they are and holds digests."""

import hashlib
import json
from pathlib import Path
from typing import Any

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.students.config import LARGEST
from alpamayo_toy.students.student import Student
from alpamayo_toy.training.config import TrainConfig, to_dict

FORMAT = 1
WEIGHTS, ABOUT, CARD = "model.safetensors", "config.json", "README.md"
SEALED = (WEIGHTS, "model.onnx", "parity.json", "latency.json")
"""What config.json has digests of, beside that of itself. The card may be edited."""
LOCAL = {"teacher": ("path", "val_path"), "trainer": ("init_from", "resume")}
"""Options that name files of the machine that trained: their last part alone is released."""
MOST_BYTES, MOST_JSON = 6 * LARGEST, 2**20  # of a file: weights in float32 and the rest of it
KEYS = {"format": int, "version": str, "step": int, "shape": dict, "config": dict, "sha256": dict}


def is_released(path: Path) -> bool:
    """Whether it is such a folder, rather than that of a run."""
    return (path / WEIGHTS).is_file()


def write_weights(folder: Path, student: Student) -> None:
    """model.safetensors. Raises UserError without the package that writes it."""
    try:
        from safetensors.torch import save
    except ImportError:
        raise UserError("releasing a student needs safetensors: pip install 'alpamayo-toy[export]'") from None
    with replacing(folder / WEIGHTS) as file:
        file.write(save({name: value.contiguous() for name, value in student.state_dict().items()}))


def seal(folder: Path, config: TrainConfig, step: int, student: Student) -> None:
    """config.json: plain types, and the SHA-256 of every other file of SEALED, which must be there, and of itself."""
    saved = to_dict(config)
    for group, names in LOCAL.items():
        for name in names:
            if saved[group].get(name):
                saved[group][name] = Path(saved[group][name]).name
    if "module" in saved["loss"]:
        saved["loss"]["module"] = ""
    content: dict[str, Any] = {"format": FORMAT, "version": __version__, "step": step}
    content |= {"shape": student.shape, "config": saved}
    digests = {name: _digest((folder / name).read_bytes()) for name in SEALED}
    write_json(folder / ABOUT, {**content, "sha256": {**digests, ABOUT: _own_digest(content)}})


def load(folder: Path) -> dict[str, Any]:
    """config.json, and `weights` by name, as a checkpoint has them. Raises UserError where a digest does not hold."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load as tensors_of
    except ImportError:
        raise UserError(f"{folder} is a released student, which needs: pip install 'alpamayo-toy[export]'") from None
    content = _about(folder / ABOUT)
    digests = content.pop("sha256")
    files: dict[str, bytes] = {}
    for name in SEALED:
        if not (folder / name).is_file():
            raise UserError(f"{folder} is no whole released student: it has no {name}; get it again")
        files[name] = _content(folder / name)
    for name, found in {**{name: _digest(files[name]) for name in SEALED}, ABOUT: _own_digest(content)}.items():
        if digests[name] != found:
            raise UserError(f"{folder / name} is not what was released (its SHA-256 differs); get the folder again")
    try:
        weights = tensors_of(files[WEIGHTS])
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{folder / WEIGHTS} holds no weights: {error}") from None
    return {**content, "weights": weights}


def _content(path: Path) -> bytes:
    """A file's, unless it is larger than one of any student can be."""
    most = MOST_JSON if path.suffix == ".json" else MOST_BYTES
    if path.stat().st_size > most:
        raise UserError(f"{path} is of no released student: it has more than {most} bytes")
    return path.read_bytes()


def _about(path: Path) -> dict[str, Any]:
    """What config.json says, of the types that it must have."""
    try:
        content = json.loads(_content(path))
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    got = content.get("format") if isinstance(content, dict) else None
    if got != FORMAT:
        raise UserError(f"{path} is no released student of format {FORMAT} (got {got!r})")
    if set(content) != set(KEYS):
        raise UserError(f"{path} must have {', '.join(KEYS)}")
    for name, kind in KEYS.items():
        if type(content[name]) is not kind:
            raise UserError(f"{path}: {name} must be of type {kind.__name__}")
    if set(content["sha256"]) != {*SEALED, ABOUT}:
        raise UserError(f"{path}: sha256 must have {', '.join((*SEALED, ABOUT))}")
    checked: dict[str, Any] = content
    return checked


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _own_digest(content: dict[str, Any]) -> str:
    """Of config.json without its digests, however it is indented."""
    return _digest(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
