"""Released students on the Hugging Face hub: fetched() for hf://user/name, push() to put one there. Extra `hub`."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError
from alpamayo_toy.failures import TERMS, why
from alpamayo_toy.students import released
from alpamayo_toy.students.config import HUB_NAME

PREFIX = "hf://"
FILES = [*released.SEALED, released.ABOUT, released.CARD]  # nothing else goes up or down
LOGIN = "log in with a token that may do this: hf auth login"
UNREACHED = "the hub is not reached, and its cache does not hold it: go online once, without HF_HUB_OFFLINE"
DOWN = "the hub is not well; try again later"
HINTS: dict[str | int, str] = {
    "GatedRepoError": TERMS,
    "RepositoryNotFoundError": f"the hub has no such name that you may see; mend it, or {LOGIN}",
    "RevisionNotFoundError": "the hub has no such revision of it",
    "LocalTokenNotFoundError": LOGIN,
    **dict.fromkeys(("LocalEntryNotFoundError", "IncompleteSnapshotError", "OfflineModeIsEnabled"), UNREACHED),
    **dict.fromkeys(("ConnectError", "ConnectTimeout", "ConnectionError", "ProxyError"), UNREACHED),
    401: LOGIN,
    403: LOGIN,
    429: "the hub was asked too often; try again in five minutes",
    **dict.fromkeys((500, 502, 503, 504), DOWN),
}
"""What to do, as failures.py has it for models."""


def is_on_hub(path: object) -> bool:
    return isinstance(path, str) and path.startswith(PREFIX)


def client() -> Any:
    """The package huggingface_hub. Raises UserError where it is not installed."""
    try:
        return import_module("huggingface_hub")
    except ImportError:
        raise UserError("the hub needs huggingface_hub: pip install 'alpamayo-toy[hub]'") from None


def fetched(given: str) -> Path:
    """The released folder of hf://user/name or hf://user/name@revision, in the hub's own cache; not yet checked.

    Raises UserError where the name says too little, the hub does not give it, or it is no released student.
    """
    name, at, revision = given.removeprefix(PREFIX).partition("@")
    if not re.fullmatch(HUB_NAME, name, re.ASCII) or (at and not revision):
        raise UserError(f"{given}: a student on the hub is named hf://user/name or hf://user/name@revision")
    try:
        folder = Path(client().snapshot_download(name, revision=revision or None, allow_patterns=FILES))
    except UserError:
        raise
    except Exception as error:  # what the package raises has many names
        raise UserError(f"{given}: {why(error, HINTS)}") from None
    if not released.is_released(folder):
        raise UserError(f"{given} is no released student: it has no {released.WEIGHTS}")
    return folder


def push(folder: Path, name: str) -> str:
    """Upload a released folder as it stands, card included; hf://user/name@revision of what is there now.

    A repository that was not there is private. Raises UserError for a folder that was touched, and what the hub says.
    """
    released.load(folder)
    hub = client().HfApi()
    try:
        hub.create_repo(name, private=True, exist_ok=True)
        said = f"released by alpamayo_toy {__version__}"
        made = hub.upload_folder(repo_id=name, folder_path=folder, allow_patterns=FILES, commit_message=said)
    except Exception as error:
        raise UserError(f"push={name}: {why(error, HINTS)}") from None
    return f"{PREFIX}{name}@{made.oid}"
