"""Compares an exported adapter with this checkout: `python -m src.commands.verify sksToy.safetensors`.

Says "the same bytes as this commit makes", or names the first stage whose inputs differ: a photo, a caption, a
parameter, code or a library, the base model. Exit status 0, or 1 where something differs.
"""

from pathlib import Path
from typing import Any

from src.commands.export_lora import find_adapter
from src.commands.usage import command_line
from src.core import layout
from src.core.config import to_dict
from src.core.config_errors import load_yaml, one_line
from src.core.files import list_files, replaced_folder
from src.core.stage_code import write_stage_code


def verify(path: Path, root: Path = Path()) -> str | None:
    """Compares a file with a checkout.

    Args:
        path: What export_lora wrote.
        root: The checkout.

    Returns:
        What differs, or None.

    Raises:
        ModelMismatchError: It is damaged, or does not say what it was made of.
        PipelineError: The checkout cannot be read; the message says why.
    """
    from src.exporting.provenance import read_provenance, tensors_hash
    from src.exporting.verify import first_difference, inputs_here
    from src.methods.files import read_tensors

    tensors, metadata = read_tensors(path.parent, path.name)
    said = read_provenance(path, metadata)
    if tensors_hash(tensors) != said.get("tensors"):
        return "its weights are not those that were exported: they were changed afterwards"
    if not said["stages"]:
        return "it is not from a run of the pipeline, so there is nothing to compare it with"
    if difference := first_difference(
        said, root, inputs_here(root, to_dict(load_yaml(root / layout.PARAMS)), _code_here())
    ):
        return difference
    return _bytes_differ(path, root, said)


def _code_here() -> dict[str, str]:
    """Returns the MD5 of which code each stage runs now."""
    from src.exporting.provenance import md5

    folder = layout.CACHE / "verify"
    with replaced_folder(folder) as inside:
        write_stage_code(layout.PARAMS, inside / "code")
        files = list_files(inside / "code", ".txt")
        return {file.stem: md5(file.read_bytes()) for file in files}


def _bytes_differ(path: Path, root: Path, said: dict[str, Any]) -> str | None:
    """Writes the file anew, where the adapter is on disk."""
    from src.exporting.export import pack, provenance_of
    from src.sampling.variants import list_checkpoints

    folder = root / layout.ADAPTER
    if not folder.is_dir():
        return f"all inputs are the same; its bytes were not compared, as {folder} is not here (`dvc repro train`)"
    found = [variant for variant in list_checkpoints(folder) if variant.name == said.get("checkpoint")]
    if not found:
        return f"train: {folder} has no {str(said.get('checkpoint'))[:80]}"
    adapter = find_adapter(found[0], str(said.get("layout")), (), root)
    if (here := adapter.base.digest) != (there := said["base"]["digest"]):
        return f"train: the base model differs: {str(there)[:80]} there, {here[:80]} here"
    fresh = provenance_of(adapter, root) | {key: said[key] for key in ("commit", "dvc_lock") if key in said}
    if not (root / layout.RAW).is_dir():
        fresh |= {key: said[key] for key in ("photos", "captions") if key in said}
    if pack(adapter, path.stem, fresh)[0] != path.read_bytes():
        return "its header differs from what export_lora of this checkout writes: it was changed, or renamed"
    return None


@one_line("verify")
def main() -> None:
    """Compares what the command line names.

    Raises:
        SystemExit: Something differs.
    """
    parser = command_line("verify", __doc__)
    parser.add_argument("file", type=Path, help="what export_lora wrote")
    path = parser.parse_args().file
    if (difference := verify(path)) is not None:
        print(f"{path}: {difference}")
        raise SystemExit(1)
    print(f"{path}: the same bytes as this commit makes")


if __name__ == "__main__":
    main()
