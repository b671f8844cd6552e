import colorsys
from itertools import pairwise

import pytest

from saccade.data.labels import label_colour, write_label_descriptions
from saccade.data.layout_labels import read_label_names
from saccade.errors import InputError
from saccade.files import read_json

NAMES = {2: "Leber, groß", 1: "left kidney", 7: 'the "odd"\none', 300: "  "}


def parse_itksnap(text: str) -> dict[int, tuple[str, tuple[int, ...], float, tuple[int, ...]]]:
    """As ITK-SNAP reads it: seven numbers, then what stands between the first two double quotes."""
    labels = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        numbers, name, rest = line.split('"')
        assert rest == ""
        value, red, green, blue, alpha, visible, mesh = (float(word) for word in numbers.split())
        labels[int(value)] = (name, (int(red), int(green), int(blue)), alpha, (int(visible), int(mesh)))
    return labels


def parse_slicer(text: str) -> dict[int, tuple[str, tuple[int, ...]]]:
    """As 3D Slicer reads it: split at white space, underscores shown as spaces."""
    labels = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        value, name, *colour = line.split()
        labels[int(value)] = (name.replace("_", " "), tuple(int(part) for part in colour))
    return labels


def test_each_viewer_reads_the_names_and_colours_back(tmp_path):
    paths = write_label_descriptions(NAMES, tmp_path / "case.v1")
    assert [path.name for path in paths] == ["case.v1.label", "case.v1.ctbl", "case.v1.json"]
    itksnap = parse_itksnap(paths[0].read_text(encoding="utf-8"))
    slicer = parse_slicer(paths[1].read_text(encoding="utf-8"))
    content = read_json(paths[2])
    assert list(itksnap) == list(slicer) == [0, 1, 2, 7, 300]
    assert list(content["labels"]) == ["0", "1", "2", "7", "300"]
    for value, plain in ((1, "left kidney"), (2, "Leber, groß"), (7, 'the "odd" one'), (300, "label 300")):
        assert itksnap[value] == (plain.replace('"', "'"), label_colour(value), 1.0, (1, 1))
        assert slicer[value] == (plain, (*label_colour(value), 255))
        assert content["labels"][str(value)] == NAMES[value]
        assert tuple(content["colours"][str(value)]) == label_colour(value)
    assert itksnap[0] == ("background", (0, 0, 0), 0.0, (0, 0))
    assert slicer[0] == ("background", (0, 0, 0, 0))


def test_the_json_names_the_labels_of_a_data_set_again(tmp_path):
    paths = write_label_descriptions({1: "left kidney", 2: "Leber, groß"}, tmp_path / "labels")
    assert read_label_names(paths[2]) == {1: "left kidney", 2: "Leber, groß"}


def test_a_named_background_keeps_its_name(tmp_path):
    paths = write_label_descriptions({0: "air", 1: "body"}, tmp_path / "x")
    assert parse_slicer(paths[1].read_text("utf-8"))[0] == ("air", (0, 0, 0, 0))


def test_colours_are_fixed_distinct_and_bright():
    # label 1: hue 0.618034, tone (0.55, 1.0): red = 1 - 0.55, blue = 1, green = 1 - 0.55 * (6 * 0.618034 - 3)
    assert label_colour(1) == (115, 156, 255)
    assert label_colour(0) == (0, 0, 0)
    colours = [label_colour(value) for value in range(256)]
    assert len(set(colours)) == 256
    assert all(max(colour) >= 178 for colour in colours[1:])
    hues = sorted(colorsys.rgb_to_hsv(*colour)[0] for colour in colours[1:15])
    assert min(b - a for a, b in pairwise(hues)) > 0.03


def test_negative_labels_are_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        write_label_descriptions({-1: "x"}, tmp_path / "x")
    assert str(caught.value) == "label_colour: label values must be 0 or more, got -1."
    assert list(tmp_path.iterdir()) == []
