"""A model's folder is data: no loader that could run code from it may do so, or ask whether it shall."""

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
# these choose the class by what the folder says; named classes of diffusers and transformers run none of its code
CHOOSES = ("Auto", "DiffusionPipeline")
NO_CHOICE = ("AutoencoderKL",)


def loader_calls():
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_method and node.func.attr in ("from_pretrained", "from_config", "from_single_file"):
                yield f"{path.name}:{node.lineno}", ast.unparse(node.func.value), node


def test_what_chooses_a_class_by_a_folder_runs_none_of_its_code():
    checked = []
    for where, owner, node in loader_calls():
        if owner.startswith(CHOOSES) and owner not in NO_CHOICE:
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert given.get("trust_remote_code") == "False", where
            checked.append(owner)
    assert len(checked) >= 5, checked
