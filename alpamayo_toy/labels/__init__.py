"""Label files: load_labels() reads any supported one, each with its reader beside this; none is ever executed."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels import alpamayo_json, labels_npz
from alpamayo_toy.trajectory import Labels

READERS = {".json": alpamayo_json.read, ".npz": labels_npz.read}


def load_labels(path: str | Path) -> Labels:
    """Read a label file: the project's labels.npz, or Alpamayo's JSON list. Raises UserError naming file and clip."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no label file {path}")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the label file in it")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; known: {', '.join(READERS)}")
    return reader(path)


def split(labels: Labels, val_fraction: float) -> tuple[Labels, Labels]:
    """(train, validation) by a hash of the clip id: a clip stays on its side whatever is added to the set."""
    held = torch.from_numpy(np.array([split_hash(str(clip)) < val_fraction for clip in labels.clip_id]))
    return labels.select((~held).nonzero()[:, 0]), labels.select(held.nonzero()[:, 0])


def split_hash(clip_id: str) -> float:
    """A clip's place in [0, 1): the first 8 bytes of SHA-256 of its id."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big") / 2**64
