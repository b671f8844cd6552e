"""Data sets of boxes: what is read, what is called a fault, and that conversion loses nothing."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from saccade.cli.main import app
from saccade.data.detection.case import BoxDataset, Object, Scene
from saccade.data.detection.check import check_boxes
from saccade.data.detection.convert import convert_boxes
from saccade.data.detection.layouts import find_box_dataset, is_box_dataset, scan_box_dataset
from saccade.errors import InputError

SHARED = Path(__file__).parents[4] / "shared" / "data"


def picture(path: Path, columns: int = 40, rows: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(len(path.name)).integers(0, 255, (rows, columns), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def blood(folder: Path) -> BoxDataset:
    """Three pictures: two objects, one that is difficult, none."""
    boxes = ((0.0, 0.0, 10.0, 8.0), (5.0, 6.5, 40.0, 30.0), (3.0, 3.0, 4.0, 4.0))
    scenes = (
        Scene("a", picture(folder / "a.png"), (Object(boxes[0], "red"), Object(boxes[1], "white")), None, "train"),
        Scene("b", picture(folder / "b.png"), (Object(boxes[2], "red", difficult=True, crowd=True),), None, "test"),
        Scene("c", picture(folder / "c.png"), (), None, "train"),
    )
    return BoxDataset(folder, "made", scenes, ("red", "white"))


def said(dataset: BoxDataset) -> list:
    objects = [
        (s.id, s.split, [(o.box, o.name, o.difficult, o.crowd) for o in s.objects])
        for s in sorted(dataset.scenes, key=lambda s: s.id)
    ]
    return [dataset.names, objects]


def voc_file(root: Path, name: str, boxes: str, size: str = "") -> None:
    picture(root / "JPEGImages" / f"{name}.png")
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{boxes}</annotation>")


def voc_object(x1: object, y1: object, x2: object, y2: object, name: str = "red") -> str:
    corners = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


@pytest.mark.parametrize("first", ["voc", "coco", "csv"])
@pytest.mark.parametrize("second", ["voc", "coco", "csv"])
def test_conversion_there_and_on_loses_nothing(tmp_path: Path, first: str, second: str) -> None:
    made = blood(tmp_path / "made")
    convert_boxes(made, tmp_path / "one", first)
    once = find_box_dataset(tmp_path / "one")
    assert said(once) == said(made)
    convert_boxes(once, tmp_path / "two", second)
    twice = find_box_dataset(tmp_path / "two")
    assert said(twice) == said(made)
    assert check_boxes(twice) == []
    for scene in twice.scenes:
        assert scene.image.read_bytes() == made.scene(scene.id).image.read_bytes()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0, 30, allow_nan=False, width=32)] * 4), max_size=4),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).map(str.strip).filter(bool),
)
def test_any_box_and_any_name_comes_back(tmp_path_factory, boxes: list, name: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    objects = tuple(Object(tuple(map(float, box)), name) for box in boxes)
    dataset = BoxDataset(folder, "made", (Scene("s", picture(folder / "s.png"), objects),), (name,))
    for layout in ("voc", "coco", "csv"):
        convert_boxes(dataset, folder / layout, layout)
        (scene,) = find_box_dataset(folder / layout).scenes
        assert [item.name for item in scene.objects] == [name] * len(boxes)
        for found, wanted in zip(scene.objects, objects, strict=True):
            assert found.box == pytest.approx(wanted.box, abs=1e-12)


def test_vocs_corners_count_from_one(tmp_path: Path) -> None:
    voc_file(tmp_path, "p", voc_object(1, 1, 1, 1))
    (scene,) = find_box_dataset(tmp_path).scenes
    assert scene.objects[0].box == (0, 0, 1, 1)


def test_what_else_a_file_says_comes_along(tmp_path: Path) -> None:
    extra = voc_object(1, 1, 5, 5).replace("<bndbox>", "<pose>Left</pose><truncated>1</truncated><bndbox>")
    voc_file(tmp_path / "voc", "p", extra)
    convert_boxes(find_box_dataset(tmp_path / "voc"), tmp_path / "coco", "coco")
    found = json.loads((tmp_path / "coco" / "annotations.json").read_text())["annotations"][0]
    assert (found["pose"], found["truncated"], found["bbox"]) == ("Left", 1, [0, 0, 5, 5])
    convert_boxes(find_box_dataset(tmp_path / "coco"), tmp_path / "csv", "csv")
    (scene,) = find_box_dataset(tmp_path / "csv").scenes
    assert scene.objects[0].more["truncated"] == "1"


def test_every_fault_is_found(tmp_path: Path) -> None:
    size = "<size><width>40</width><height>31</height></size>"
    voc_file(tmp_path, "outside", voc_object(1, 1, 41, 30))
    voc_file(tmp_path, "reversed", voc_object(20, 1, 10, 30))
    voc_file(tmp_path, "empty", voc_object(11, 1, 10, 30))
    voc_file(tmp_path, "nameless", voc_object(1, 1, 10, 30, ""))
    voc_file(tmp_path, "twice", voc_object(1, 1, 10, 30) * 2)
    voc_file(tmp_path, "sized", voc_object(1, 1, 10, 30), size)
    voc_file(tmp_path, "text", voc_object("one", 1, 10, 30))
    voc_file(tmp_path, "endless", voc_object(1, 1, "nan", 30))
    voc_file(tmp_path, "gone", voc_object(1, 1, 10, 30))
    (tmp_path / "JPEGImages" / "gone.png").unlink()
    voc_file(tmp_path, "cut", voc_object(1, 1, 10, 30))
    cut = tmp_path / "JPEGImages" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").write_text("outside\nnobody\n")
    found = {fault.case: fault.kind for fault in check_boxes(scan_box_dataset(tmp_path))}
    assert found == {
        "outside": "box outside",
        "reversed": "reversed box",
        "empty": "empty box",
        "nameless": "unknown class",
        "twice": "duplicate object",
        "sized": "image size",
        "text": "unreadable",
        "endless": "not finite",
        "gone": "missing file",
        "cut": "unreadable",
        "nobody": "missing file",
    }


def test_a_file_that_declares_entities_is_not_expanded(tmp_path: Path) -> None:
    voc_file(tmp_path, "bomb", voc_object(1, 1, 5, 5, "&a;"))
    path = tmp_path / "Annotations" / "bomb.xml"
    path.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + path.read_text())
    (fault,) = scan_box_dataset(tmp_path).faults
    assert (fault.kind, "entities" in fault.found) == ("unreadable", True)


def coco(root: Path, **changes: object) -> Path:
    picture(root / "images" / "p.png")
    content = {
        "images": [{"id": 7, "file_name": "p.png", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
        "categories": [{"id": 3, "name": "red"}, {"id": 9, "name": "white"}],
        **changes,
    }
    (root / "boxes.json").write_text(json.dumps(content))
    return root


def test_coco_says_its_classes_and_where_it_is_wrong(tmp_path: Path) -> None:
    dataset = find_box_dataset(coco(tmp_path / "right"))
    assert dataset.names == ("red", "white")
    assert dataset.scenes[0].objects[0].box == (1, 2, 4, 6)
    one = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}
    wrong = [one, one, {**one, "id": 2, "category_id": 4}, {**one, "id": 3, "image_id": 8}]
    kinds = [fault.kind for fault in scan_box_dataset(coco(tmp_path / "wrong", annotations=wrong)).faults]
    assert sorted(kinds) == ["duplicate case", "missing image", "unknown class"]
    outside = coco(tmp_path / "path", images=[{"id": 7, "file_name": "../right/images/p.png"}])
    assert [fault.kind for fault in scan_box_dataset(outside).faults] == ["missing file"]
    with pytest.raises(InputError, match="COCO's form"):
        find_box_dataset(coco(tmp_path / "form", annotations=[{**one, "bbox": 3}]))


def test_boxes_of_volumes_are_in_world_mm(tmp_path: Path) -> None:
    affine = np.diag([-2.0, 2.0, 4.0, 1.0])
    affine[:3, 3] = [10, -20, 30]
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(8, 6, 5)).astype(np.float32), affine)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    rows = ["image,x1,y1,z1,x2,y2,z2,class"]
    # voxels reach along x from 10 + 1 down to 10 - 15, along y from -21 to -9, along z from 28 to 48
    rows += ["scan.nii.gz,-5,-21,28,11,-9,48,nodule", "scan.nii.gz,-5,-21,28,11.1,-9,48,nodule"]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    dataset = find_box_dataset(tmp_path)
    assert (dataset.dims, dataset.scenes[0].id) == (3, "scan")
    (fault,) = check_boxes(dataset)
    assert (fault.kind, "box 2" in fault.expected) == ("box outside", True)
    convert_boxes(dataset, tmp_path / "again", "csv")
    assert said(find_box_dataset(tmp_path / "again")) == said(dataset)
    with pytest.raises(InputError, match="those of volumes"):
        convert_boxes(dataset, tmp_path / "voc", "voc")


def test_an_image_in_a_table_may_have_no_object(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "p.png")
    (tmp_path / "boxes.csv").write_text("image;x1;y1;x2;y2;class\np.png;;;;;\n")
    (scene,) = find_box_dataset(tmp_path).scenes
    assert scene.objects == ()
    assert [fault.kind for fault in check_boxes(find_box_dataset(tmp_path))] == ["missing label"]
    (tmp_path / "boxes.csv").write_text("image,x1,y1,x2,y2,class\np.png,1,2,x,4,red\n")
    with pytest.raises(InputError, match="line 2: x2 must be a number, got 'x'"):
        find_box_dataset(tmp_path)


def test_conversion_refuses_what_would_lose_or_overwrite(tmp_path: Path) -> None:
    made = blood(tmp_path / "made")
    with pytest.raises(InputError, match="new or empty"):
        convert_boxes(made, tmp_path / "made", "voc")
    with pytest.raises(InputError, match="layout 'yolo'"):
        convert_boxes(made, tmp_path / "yolo", "yolo")
    deep = BoxDataset(tmp_path, "made", (Scene("x/a", made.scenes[0].image, ()),), ())
    with pytest.raises(InputError, match="one folder"):
        convert_boxes(deep, tmp_path / "deep", "voc")


def test_what_xml_cannot_hold_is_left_out_or_refused(tmp_path: Path) -> None:
    image = picture(tmp_path / "p.png")
    more = {"a b": "1", "fine": "2"}
    scene = Scene("p", image, (Object((0.0, 0.0, 1.0, 1.0), "<red & blue>", more=more),))
    convert_boxes(BoxDataset(tmp_path, "made", (scene,), ("<red & blue>",)), tmp_path / "voc", "voc")
    (found,) = find_box_dataset(tmp_path / "voc").scenes[0].objects
    assert (found.name, dict(found.more)) == ("<red & blue>", {"fine": "2"})
    scene = Scene("p", image, (Object((0.0, 0.0, 1.0, 1.0), "bell\a"),))
    with pytest.raises(InputError, match="XML cannot hold"):
        convert_boxes(BoxDataset(tmp_path, "made", (scene,), ("bell\a",)), tmp_path / "bell", "voc")


def test_from_the_command_line(tmp_path: Path) -> None:
    convert_boxes(blood(tmp_path / "made"), tmp_path / "voc", "voc")
    run = CliRunner()
    checked = run.invoke(app, ["data", "check", str(tmp_path / "voc")])
    assert checked.exit_code == 0, checked.output
    assert "voc, 3 images (red 2, white 1; 1 without objects), no faults." in checked.output.replace("\n", " ")
    converted = run.invoke(app, ["data", "convert", str(tmp_path / "voc"), str(tmp_path / "coco"), "--to", "coco"])
    assert converted.exit_code == 0, converted.output
    voc_file(tmp_path / "voc", "d", voc_object(30, 1, 90, 30))
    faulty = run.invoke(app, ["data", "check", str(tmp_path / "voc"), "--json"])
    assert faulty.exit_code == 2
    content = json.loads(faulty.output)
    assert (content["layout"], content["classes"]) == ("voc", ["red", "white"])
    assert [fault["kind"] for fault in content["faults"]] == ["box outside"]


def test_other_data_sets_are_none_of_boxes(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"labels": {}}')
    (tmp_path / "table.csv").write_text("image,label\nx.png,1\n")
    assert not is_box_dataset(tmp_path)
    with pytest.raises(InputError, match="Pascal VOC"):
        find_box_dataset(tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not there")
def test_real_data_sets_are_read() -> None:
    cells = scan_box_dataset(SHARED / "bccd_blood_cells")
    assert (cells.layout, len(cells.scenes), cells.names) == ("voc", 292, ("Platelets", "RBC", "WBC"))
    assert {scene.split for scene in cells.scenes} == {"train", "validation"}
    nuclei = find_box_dataset(SHARED / "nuclei_dsb2018")
    assert (nuclei.layout, len(nuclei.scenes), nuclei.names) == ("coco", 240, ("nucleus",))
    assert sum(len(scene.objects) for scene in nuclei.scenes) > 5000
