"""Downloads what a configuration needs, once, at pinned revisions: the only code of the pipeline that uses a network.

`python -m src.commands.fetch model=sdxl` takes the overrides of the later run. Reads configs/; writes the Hugging Face
cache (HF_HOME), and the folders that metric models name. It is no stage of dvc.yaml: compute nodes may have no network.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from src.commands.usage import command_line
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.errors import MissingModelError, ModelMismatchError
from src.core.files import CHUNK_BYTES, sha256_file
from src.core.settings import Settings
from src.core.single_file import is_single_file
from src.core.typed import plain
from src.core.weights import TEXT_PATTERNS, find_model, find_weight_file, model_patterns, settings_patterns

PARTS = ("model", "captioner", "cropper", "metric_models", "metrics")
TIMEOUT_S = 30


def fetch_all(settings: Settings) -> None:
    """Fetches every model that the configuration names and that is not here yet, and says where it is.

    Args:
        settings: All of them.

    Raises:
        MissingModelError: Something cannot be fetched; what was fetched before stays.
    """
    fetched: list[Mapping[str, Any]] = []
    for part in (*PARTS, *(["faces"] if settings.data_report.look_for_faces else [])):
        for key, spec in _find_specs(part, plain(getattr(settings, part))):
            if spec in fetched:  # metrics repeat their metric models
                continue
            fetched.append(spec)
            path, was_here = fetch_model(spec)
            print(f"{key}: {'here already' if was_here else 'fetched'}: {path}", flush=True)
            if "sha256" in spec and spec["sha256"] is None:
                print(f"{key}: sha256 is not pinned; this file has {sha256_file(path)}", flush=True)


def _find_specs(key: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(node, Mapping):
        return
    if "id" in node and "revision" in node:
        yield key, node
    for name, value in node.items():
        yield from _find_specs(f"{key}.{name}", value)


def fetch_model(spec: Mapping[str, Any]) -> tuple[Path, bool]:
    """Fetches one model or one weight file.

    Args:
        spec: ``id`` and ``revision``; perhaps ``variant`` or ``weights`` (which weight files of a model), ``config``
            (what has the rest of a single-file checkpoint), or ``file`` (only that one) with ``sha256`` and ``url``
            (where it comes from when the id is a folder).

    Returns:
        The folder or file, and whether it was here before.

    Raises:
        MissingModelError: It cannot be fetched.
        ModelMismatchError: A file has another hash than the configuration says.
    """
    patterns, repository = _patterns(spec), spec["config"] if _is_file(spec) else spec["id"]
    try:
        return _find(spec, patterns), True
    except MissingModelError as missing:
        url: Any = spec.get("url")
        if spec["revision"] is None and url is None:
            raise
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise MissingModelError(f"{repository!r} is missing and HF_HUB_OFFLINE forbids to fetch it") from missing
    if spec["revision"] is None:
        _download_file(url, Path(spec["id"]) / spec["file"], spec["sha256"])
    else:
        _download_snapshot(repository, spec["revision"], patterns)
    return _find(spec, patterns), False


def _find(spec: Mapping[str, Any], patterns: tuple[str, ...]) -> Path:
    if "file" in spec:
        return find_weight_file(spec["id"], spec["revision"], spec["file"], spec["sha256"])
    return find_model(spec["id"], spec["revision"], patterns, spec.get("config"))


def _patterns(spec: Mapping[str, Any]) -> tuple[str, ...]:
    if "file" in spec:
        return (spec["file"],)
    if "weights" in spec:
        return (*TEXT_PATTERNS, spec["weights"])
    if _is_file(spec):
        return settings_patterns(Path(spec["id"]))
    return model_patterns(spec.get("variant"))


def _is_file(spec: Mapping[str, Any]) -> bool:
    """Says whether a base model is a single file, of which the hub has what it lacks."""
    return "config" in spec and is_single_file(spec["id"])


def _download_snapshot(repository: str, revision: str, patterns: tuple[str, ...]) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    print(f"fetching {repository} at {revision}", flush=True)
    try:
        snapshot_download(repository, revision=revision, allow_patterns=list(patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise MissingModelError(f"{repository!r} at {revision} could not be fetched: {reason}") from error


def _download_file(url: str, path: Path, sha256: str | None) -> None:
    print(f"fetching {url}", flush=True)
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT_S) as response, part.open("wb") as stream:
            response.raise_for_status()
            for chunk in response.iter_content(CHUNK_BYTES):
                stream.write(chunk)
        if sha256 is not None and (found := sha256_file(part)) != sha256:
            raise ModelMismatchError(f"{url}: sha256 is {found}, expected {sha256}")
        part.replace(path)
    except requests.RequestException as error:
        raise MissingModelError(f"{path} could not be fetched from {url}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


@one_line("fetch", "; run it again to go on")
def main() -> None:
    """Fetches for the configuration that the command line names."""
    parser = command_line("fetch", __doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="those of the later run")
    fetch_all(load_settings(parser.parse_args().overrides))


if __name__ == "__main__":
    main()
