"""A stand-in for huggingface_hub: a folder is the hub, every upload a revision. Signatures are those of version 2.4."""

import fnmatch
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class HubError(Exception):
    """As the package raises it, with the answer beside it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} Client Error.\n\nSorry (Request ID: Root=1)")
        self.response = SimpleNamespace(status_code=status, headers={})


class RepositoryNotFoundError(HubError):
    pass


class RevisionNotFoundError(HubError):
    pass


class LocalEntryNotFoundError(FileNotFoundError):
    pass


def of(root: Path, failure: Exception | None = None) -> Any:
    """The module, of a hub with repositories root/user/name/revision; every call raises the failure, where one is."""

    def copied(source: Path, target: Path, allow_patterns: list[str] | str | None) -> None:
        assert isinstance(allow_patterns, list)
        target.mkdir(parents=True)
        for file in source.iterdir():
            if any(fnmatch.fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, target)

    def revisions(repo_id: str) -> list[Path]:
        if failure is not None:
            raise failure
        if not (root / repo_id).is_dir():
            raise RepositoryNotFoundError(404)
        return sorted((root / repo_id).iterdir(), key=lambda path: int(path.name))

    class HfApi:
        def create_repo(
            self,
            repo_id: str,
            *,
            token: str | bool | None = None,
            private: bool | None = None,
            visibility: str | None = None,
            repo_type: str | None = None,
            exist_ok: bool = False,
            resource_group_id: str | None = None,
            region: str | None = None,
            space_sdk: str | None = None,
            space_hardware: str | None = None,
            space_sleep_time: int | None = None,
            space_secrets: list[dict[str, str]] | None = None,
            space_variables: list[dict[str, str]] | None = None,
            space_volumes: list[Any] | None = None,
            space_template: str | None = None,
        ) -> str:
            if failure is not None:
                raise failure
            (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            made.private[repo_id] = private
            return repo_id

        def upload_folder(
            self,
            *,
            repo_id: str,
            folder_path: str | Path,
            path_in_repo: str | None = None,
            commit_message: str | None = None,
            commit_description: str | None = None,
            token: str | bool | None = None,
            repo_type: str | None = None,
            revision: str | None = None,
            create_pr: bool | None = None,
            parent_commit: str | None = None,
            allow_patterns: list[str] | str | None = None,
            ignore_patterns: list[str] | str | None = None,
            delete_patterns: list[str] | str | None = None,
            run_as_future: bool = False,
        ) -> SimpleNamespace:
            oid = str(len(revisions(repo_id)))
            copied(Path(folder_path), root / repo_id / oid, allow_patterns)
            return SimpleNamespace(oid=oid)

    def snapshot_download(
        repo_id: str,
        *,
        repo_type: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_dir: str | Path | None = None,
        library_name: str | None = None,
        library_version: str | None = None,
        user_agent: dict[str, str] | str | None = None,
        etag_timeout: float = 10,
        force_download: bool = False,
        token: bool | str | None = None,
        local_files_only: bool = False,
        allow_patterns: list[str] | str | None = None,
        ignore_patterns: list[str] | str | None = None,
        max_workers: int = 8,
        tqdm_class: Any = None,
        headers: dict[str, str] | None = None,
        endpoint: str | None = None,
        dry_run: bool = False,
    ) -> str:
        there = {path.name: path for path in revisions(repo_id)}
        if revision is not None and revision not in there:
            raise RevisionNotFoundError(404)
        source = there[revision or str(len(there) - 1)]
        target = root / "cache" / repo_id / source.name
        shutil.rmtree(target, ignore_errors=True)
        copied(source, target, allow_patterns)
        return str(target)

    made: Any = ModuleType("huggingface_hub")
    made.HfApi, made.snapshot_download, made.private = HfApi, snapshot_download, {}
    return made


def install(root: Path) -> None:
    """In this process, which imports it from now on."""
    sys.modules["huggingface_hub"] = of(root)
