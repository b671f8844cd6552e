"""Files are whole or not there."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from saccade.errors import InputError
from saccade.files import atomic, check_folder, read_json, write_json, write_text


def test_a_file_appears_when_the_block_ends(tmp_path) -> None:
    path = tmp_path / "deep" / "a.nii.gz"
    with atomic(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == path.parent
        temporary.write_text("all")
        assert not path.exists()
    assert os.listdir(path.parent) == ["a.nii.gz"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_after_a_failure_what_was_there_before_is_there_still(tmp_path, error) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.read_text("utf-8") == "before"


def test_json_for_every_reader(tmp_path) -> None:
    content = {
        1: float("nan"),
        "path": Path("/a"),
        "array": np.array([1.5, np.nan]),
        "deep": (np.int64(3), [None, "ü"]),
    }
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "ü" in text
    assert json.loads(text) == {"1": None, "path": "/a", "array": [1.5, None], "deep": [3, [None, "ü"]]}
    assert read_json(tmp_path / "a.json") == json.loads(text)


def test_json_that_cannot_be_read(tmp_path) -> None:
    write_text(tmp_path / "a.json", "{")
    with pytest.raises(InputError) as error:
        read_json(tmp_path / "a.json")
    assert str(error.value) == (
        f"{tmp_path}/a.json: cannot be read as JSON "
        "(Expecting property name enclosed in double quotes: line 1 column 2 (char 1))."
    )
    with pytest.raises(InputError, match=rf"^{tmp_path}/b\.json: cannot be read as JSON \("):
        read_json(tmp_path / "b.json")


def test_places_for_a_folder(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "deeper")
    with pytest.raises(InputError) as error:
        check_folder(tmp_path / "file")
    assert str(error.value) == f"{tmp_path}/file: must be a folder, that is a file."
    with pytest.raises(InputError) as error:
        check_folder(tmp_path / "file" / "new")
    assert str(error.value) == f"{tmp_path}/file/new: must be a folder, {tmp_path}/file is a file."
