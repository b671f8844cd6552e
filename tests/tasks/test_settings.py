"""Settings refuse what they do not know, in one line; assignments and layers by hand."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from saccade.errors import InputError
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.settings import Settings, merge, parse_assignments, read_yaml

NAMES = "t: data.label_names: Value error, must name 1 to 255 classes with values from 1 to 65535."


class Inner(Settings):
    size: int = Field(3, ge=1)
    kind: Literal["a", "b"] = "a"


class Outer(Settings):
    inner: Inner = Inner()
    name: str = "x"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nam": "y"}, "me: unknown setting 'nam'. Did you mean 'name'? Known: inner, name."),
        (
            {"inner": {"sise": 1}},
            "me: unknown setting 'inner.sise'. Did you mean 'inner.size'? Known: inner.size, inner.kind.",
        ),
        ({"inner": {"size": 0}}, "me: inner.size: Input should be greater than or equal to 1, got 0."),
        ({"inner": {"size": "many"}, "name": 5},
         "me: inner.size: Input should be a valid integer, unable to parse string as an integer, got 'many'. (1 more)"),
        ({"inner": {"kind": "c"}}, "me: inner.kind: Input should be 'a' or 'b', got 'c'."),
        ({"inner": 5}, "me: inner: Input should be a valid dictionary or instance of Inner, got 5."),
    ],
)  # fmt: skip
def test_errors_name_the_field_and_the_value(values, message) -> None:
    with pytest.raises(InputError) as error:
        Outer.parse(values, "me")
    assert str(error.value) == message


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().name = "y"


def test_written_settings_come_back(tmp_path: Path) -> None:
    settings = Outer.parse({"inner": {"size": 7}, "name": "größe"}, "me")
    settings.write(tmp_path / "deep" / "c.yaml")
    assert Outer.parse(read_yaml(tmp_path / "deep" / "c.yaml"), "me") == settings


def test_assignments_are_yaml() -> None:
    given = ["a.b=5", "a.c=[1, 2.5, x]", "d=null", "e=text with = in it", "a.b=6", "f={1: liver}"]
    assert parse_assignments(given) == {
        "a": {"b": 6, "c": [1, 2.5, "x"]}, "d": None, "e": "text with = in it", "f": {1: "liver"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["epochs"], "--set: must be key=value, got 'epochs'."),
        (["=5"], "--set: must be key=value, got '=5'."),
        (["a=[1"], "--set a: '[1' is not a YAML value."),
        (["a=1", "a.b=2"], "--set a.b: 'a' was given a value of its own before."),
    ],
)
def test_assignments_that_are_none(assignments, message) -> None:
    with pytest.raises(InputError) as error:
        parse_assignments(assignments)
    assert str(error.value) == message


def test_later_layers_win_and_none_is_changed() -> None:
    low, high = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2], "e": {"f": 4}}
    assert merge(low, high, {"e": 5}) == {"a": {"b": 1, "c": 3}, "d": [2], "e": 5}
    assert low == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- 1\n", "must hold named values, got list."),
        ("", "must hold named values, got NoneType."),
        ("a: [1\n", "cannot be read as YAML (while parsing a flow sequence)."),
    ],
)
def test_files_that_hold_no_settings(tmp_path, content, message) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        read_yaml(tmp_path / "c.yaml")
    assert str(error.value) == f"{tmp_path}/c.yaml: {message}"


def test_a_missing_file_and_one_that_is_no_text(tmp_path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("c.yaml", "gone.yaml"):
        with pytest.raises(InputError, match=rf"^{tmp_path}/{name}: cannot be read as YAML \("):
            read_yaml(tmp_path / name)


def test_yaml_builds_no_objects(tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with pytest.raises(InputError):
        read_yaml(tmp_path / "c.yaml")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"label_names": {}}, NAMES),
        ({"label_names": {0: "background"}}, NAMES),
        ({"patch_size": (0, 8, 8)}, "t: data.patch_size.0: Input should be greater than or equal to 1, got 0."),
        ({"intensity": {"kind": "ct_window", "low": 5, "high": 5}},
         "t: data.intensity: Value error, ct_window needs low < high, got 5.0 and 5.0."),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "t: data.spacing_mm.1: Input should be greater than 0, got 0.0."),
    ],
)  # fmt: skip
def test_configurations_that_cannot_be(data, message) -> None:
    sound = {"root": ".", "label_names": {1: "a"}, "patch_size": (8, 8, 8), "intensity": {"kind": "z_score"}}
    SegmentationConfig.parse({"system": "unet", "data": sound}, "t")
    with pytest.raises(InputError) as error:
        SegmentationConfig.parse({"system": "unet", "data": {**sound, **data}}, "t")
    assert str(error.value) == message


def test_classes_are_background_then_the_values_in_order() -> None:
    data = {"root": ".", "label_names": {300: "b", 7: "a"}, "patch_size": (8, 8, 8), "intensity": {"kind": "z_score"}}
    assert SegmentationConfig.parse({"system": "unet", "data": data}, "t").classes == [0, 7, 300]
