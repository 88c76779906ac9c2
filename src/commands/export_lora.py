"""Writes an adapter as one file for ComfyUI, AUTOMATIC1111's web UI or InvokeAI:

`python -m src.commands.export_lora models/adapter sksToy.safetensors`. Of a run's folder it takes the chosen
checkpoint.
"""

from pathlib import Path

from src.commands.usage import command_line
from src.core.config_errors import one_line
from src.core.errors import ConfigError
from src.core.files import has_file
from src.sampling.variants import chosen_checkpoint


def export(folder: Path, out: Path) -> None:
    """Converts an adapter.

    Args:
        folder: A checkpoint, or a folder of them.
        out: The .safetensors file to write.

    Raises:
        ConfigError: `out` is a folder.
        ModelMismatchError: There is no adapter, or it cannot be converted.
    """
    if out.is_dir():
        raise ConfigError(f"{out}: a folder; expected the name of a .safetensors file")
    from src.methods.kohya import to_kohya
    from src.methods.lora_files import WEIGHTS, read_adapter
    from src.methods.t_lora import WEIGHTS as T_LORA
    from src.methods.textual_inversion import WEIGHTS as WORDS
    from src.models.tensors import save_tensors

    checkpoint = chosen_checkpoint(folder).folder
    assert checkpoint is not None, "only base has none"
    masked = has_file(checkpoint / T_LORA)
    tensors, metadata = to_kohya(*read_adapter(checkpoint, T_LORA if masked else WEIGHTS))
    out.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(out, tensors, metadata)
    if has_file(checkpoint / WORDS):
        print(f"its token's vectors are not in there: use {checkpoint / WORDS} beside it, as an embedding")
    if masked:
        print("it has all ranks at every noise level there, which such files cannot say otherwise: its images differ")
    print(f"{out}: {sum('lora_down' in name for name in tensors)} layers of {checkpoint}")


@one_line("export_lora")
def main() -> None:
    """Converts what the command line names.

    Raises:
        SystemExit: There is no adapter, or it cannot be converted.
    """
    parser = command_line("export_lora", __doc__)
    parser.add_argument("folder", type=Path, help="a checkpoint, or a folder of them")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    wanted = parser.parse_args()
    export(wanted.folder, wanted.out)


if __name__ == "__main__":
    main()
