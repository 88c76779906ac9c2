"""Writes an adapter as one file for ComfyUI, AUTOMATIC1111's web UI, InvokeAI and other tools:

`python -m src.commands.export_lora models/adapter sksToy.safetensors [KEY=VALUE ...]`. Of a run's folder it takes the
chosen checkpoint. Beside the file go NAME.json (the words to prompt it with), NAME.md (a model card) and, of a run that
was evaluated, NAME.png. KEY=VALUE say base model and subject of a checkpoint that has no config.yaml.
`python -m src.commands.verify sksToy.safetensors` compares such a file with a checkout.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from src.commands.usage import command_line
from src.core.checkpoint_config import load_checkpoint_params
from src.core.config_errors import one_line
from src.core.errors import ConfigError
from src.core.files import has_file, sha256_file, write_bytes
from src.core.layout import ADAPTER_CONFIG
from src.core.provenance import model_digest
from src.core.quoting import quoted
from src.core.records import read_bounded
from src.core.single_file import is_single_file
from src.core.weights import find_model

if TYPE_CHECKING:
    from src.exporting.export import Adapter
    from src.sampling.variants import Variant

SUFFIX = ".safetensors"
# the endings of what goes beside the file
BESIDE = (".json", ".png", ".md")


def find_adapter(checkpoint: "Variant", layout: str | None, words: Sequence[str], root: Path) -> "Adapter":
    """Finds base model and subject of a checkpoint.

    Args:
        checkpoint: The checkpoint.
        layout: As of `choose_layout`.
        words: Overrides for what its config.yaml does not say.
        root: The folder of the run that it may be of.

    Returns:
        What can be exported.

    Raises:
        ConfigError: An override, config.yaml or the layout is wrong.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: The base model is of an architecture that is not supported.
    """
    import torch

    from src.exporting.card import Base
    from src.exporting.export import Adapter, choose_layout, count_photos
    from src.exporting.header import SDXL, TRANSFORMERS, Subject, base_kind, check_names
    from src.exporting.layouts import Source
    from src.models.families import load_base_model

    assert checkpoint.folder is not None, "only base has none"
    params = load_checkpoint_params("generate", [f"inferencer.ckpt_dir={quoted(str(checkpoint.folder))}", *words])
    spec = params.model
    folder = find_model(spec.id, spec.revision, config=spec.config)
    kind = base_kind(folder)
    own = Path(spec.id).exists() or is_single_file(spec.id)
    digest = model_digest(spec.id, spec.revision, spec.variant, spec.config)
    base = Base(spec.name if own else spec.id, None if own else spec.id, digest.removesuffix(":None"))
    photos = count_photos(checkpoint.folder, root)
    subject = Subject(params.subject.token, params.subject.class_name, spec.resolution, photos)
    transformer, xl = kind in TRANSFORMERS, kind is SDXL
    if xl and layout != "diffusers":
        check_names(folder)
    load = partial(load_base_model, spec.id, spec.revision, spec.variant, "fp32", torch.device("cpu"), spec.config)
    method = _method(checkpoint.folder / ADAPTER_CONFIG)
    source = Source(checkpoint.folder, xl, transformer, load)
    return Adapter(checkpoint, source, kind, base, subject, choose_layout(layout, transformer), method)


def _method(path: Path) -> str:
    """Names the method that a checkpoint's config.yaml tells of; "adapter" where it does not say."""
    from src.reporting.sections.summary import method_name

    try:
        content = yaml.safe_load(read_bounded(path)) if has_file(path) else {}
        return method_name(content["method"])
    except (yaml.YAMLError, ConfigError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return "adapter"


def export(
    folder: Path,
    out: Path,
    layout: str | None = None,
    words: Sequence[str] = (),
    root: Path = Path(),
    replace: bool = False,
) -> None:
    """Writes the file and what goes beside it.

    Args:
        folder: A checkpoint, or a folder of them.
        out: The .safetensors file to write.
        layout: As of `choose_layout`.
        words: As of `find_adapter`.
        root: As of `find_adapter`.
        replace: Whether files of these names are replaced.

    Raises:
        ConfigError: `out` is no name of such a file, or would replace one, or as of `find_adapter`.
        MissingModelError: As of `find_adapter`.
        ModelMismatchError: There is no adapter, or no such layout for it.
    """
    if out.is_dir():
        raise ConfigError(f"{out}: a folder; expected the name of a {SUFFIX} file")
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: expected a name that ends with {SUFFIX}, as tools look for it")
    taken = [path for path in map(out.with_suffix, (SUFFIX, *BESIDE)) if path.exists()]
    if taken and not replace:
        raise ConfigError(f"{taken[0]}: is there already; choose another name, or replace it and its like: --replace")
    from src.exporting.card import measured_figures, write_card, write_samples, write_settings
    from src.exporting.export import pack, provenance_of
    from src.sampling.variants import chosen_checkpoint

    checkpoint = chosen_checkpoint(folder)
    if out.resolve() in (folder.resolve(), *(checkpoint.folder or folder).resolve().glob("*")):
        raise ConfigError(f"{out}: is the adapter itself; choose another place")
    adapter = find_adapter(checkpoint, layout, words, root)
    provenance = provenance_of(adapter, root)
    data, notes = pack(adapter, out.stem, provenance)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, data)
    measured = measured_figures(root, adapter.checkpoint.name) if provenance["stages"] else {}
    told = {"method": adapter.method, "layout": adapter.layout, "weights": sha256_file(out)}
    beside = [
        write_settings(out, adapter.kind, adapter.subject),
        write_samples(out, root, adapter.checkpoint.name) if measured else None,
        write_card(out, adapter.base, adapter.subject, told, measured),
    ]
    print("\n".join(notes), end="\n" if notes else "")
    print(f"{out}: {adapter.method}, {adapter.layout}, {adapter.checkpoint.folder}")
    print("beside it:", ", ".join(path.name for path in beside if path is not None))


@one_line("export_lora")
def main() -> None:
    """Converts what the command line names.

    Raises:
        SystemExit: There is no adapter, or it cannot be converted.
    """
    parser = command_line("export_lora", __doc__)
    parser.add_argument("folder", type=Path, help="a checkpoint, or a folder of them")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="base model and subject, as for inference.py")
    parser.add_argument(
        "--layout",
        metavar="kohya | diffusers | full",
        help="factors as kohya's scripts and LyCORIS write them (of a UNet, by default); as diffusers does (of a "
        "transformer, by default); or the change of every weight, for every method",
    )
    parser.add_argument("--replace", action="store_true", help="replace files of these names")
    wanted = parser.parse_intermixed_args()
    export(wanted.folder, wanted.out, wanted.layout, wanted.words, replace=wanted.replace)


if __name__ == "__main__":
    main()
