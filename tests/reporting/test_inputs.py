import pytest

from src.core import layout
from src.core.errors import EmptyDatasetError
from src.reporting.inputs import read_inputs

MAKERS = {
    layout.PARAMS: "src.stages.config write",
    layout.DETAILS: "stage evaluate",
    layout.META: "stage evaluate",
    layout.SCORES: "stage evaluate",
    layout.LOSS: "stage train",
    layout.TOKENS: "stage caption",
    layout.MANIFEST: "stage generate",
    layout.IMAGE_TABLE: "stage convert",
    layout.CROP_TABLE: "stage crop",
    layout.CAPTIONS: "stage caption",
    layout.SPLIT: "stage split",
}


def test_inputs_name_a_missing_file_and_its_stage(own_project):
    for name, maker in MAKERS.items():
        content = (own_project / name).read_bytes()
        (own_project / name).unlink()
        with pytest.raises(EmptyDatasetError, match=f"{name} is missing.*{maker}"):
            read_inputs(own_project)
        (own_project / name).write_bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is empty"), ("image_id,caption,source\n", "has no rows"), ("image_id\na\n", "no column caption, source")],
)
def test_inputs_name_a_table_without_content(own_project, content, message):
    (own_project / layout.CAPTIONS).write_text(content)
    with pytest.raises(EmptyDatasetError, match=f"captions.csv.*{message}.*stage caption"):
        read_inputs(own_project)


def test_inputs_name_a_missing_key(own_project):
    (own_project / layout.DETAILS).write_text('{"run": {}}')
    with pytest.raises(EmptyDatasetError, match="no base, checkpoints, selected_step"):
        read_inputs(own_project)


def test_inputs_keep_ids_that_look_like_numbers_or_nothing(own_project):
    captions = (own_project / layout.CAPTIONS).read_text()
    (own_project / layout.CAPTIONS).write_text(captions + "0012,null,user,NA\n")
    last = read_inputs(own_project).captions.iloc[-1]
    assert list(last) == ["0012", "null", "user", "NA"]
