"""Runs of detection learn, are complete, are resumed bit for bit, and say in a line what is wrong."""

import csv
import json

import numpy as np
import pytest
import scene_sets
import torch
import yaml
from PIL import Image
from run_files import history, same_weights
from scene_sets import picture_table, train, volume_table

import saccade
from saccade.data.detection.case import Object, Scene
from saccade.errors import InputError
from saccade.layers.boxes import jaccard
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import ChangedScenes, PreparedScenes
from saccade.tasks.detection.module import DetectionModule
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.weights import read_checkpoint

pytestmark = pytest.mark.usefixtures("short_check")


@pytest.fixture
def pictures(boxed):
    return boxed


@pytest.fixture
def run(detected):
    """A detector that has learnt `pictures`."""
    return detected


def test_a_run_is_complete_and_learns(run, pictures) -> None:
    assert {path.name for path in run.iterdir()} >= {
        "config.yaml", "model.safetensors", "last.ckpt", "metrics.csv", "summary.json", "environment.json",
        "splits.json", "validation",
    }  # fmt: skip
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["task"], config["data"]["classes"]) == ("detection", ["hole", "sun"])
    assert config["training"]["loss"] == "focal"
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert len(rows) == 50
    assert float(rows[-1]["train_loss"]) < 0.5 * float(rows[0]["train_loss"])
    assert float(rows[24]["val_ap50"]) >= 0
    result = json.loads((run / "validation/metrics.json").read_text())
    assert set(result["summary"]) >= {"ap50", "ap", "per_class"}
    split = json.loads((run / "splits.json").read_text())
    assert set(result["cases"]) == set(split["validation"])
    scored = json.loads((run / "summary.json").read_text())["ap50"]
    best = max(float(row["val_ap50"]) for row in rows if row["val_ap50"])
    assert scored == pytest.approx(result["summary"]["ap50"]["value"]) == pytest.approx(best, abs=1e-6)


def test_what_was_learnt_is_found_in_pixels_of_the_picture(run, pictures) -> None:
    predictor = saccade.load(run)
    learnt = json.loads((run / "splits.json").read_text())["train"]
    seen = [int(id[1:]) for id in learnt if int(id[1:]) % 2 and id != "p07"]  # with two objects each
    overlaps = []
    for number in seen:
        _, objects = scene_sets.scene(number, 2)
        found = predictor.predict(pictures / f"p{number:02d}.png")
        assert found.size == (scene_sets.COLUMNS, scene_sets.ROWS)
        assert (np.diff(found.scores) <= 0).all()
        for name, box in objects:
            own = [b for b, n in zip(found.boxes, found.names, strict=True) if n == name]
            overlaps.append(float(jaccard(torch.tensor(np.array(own)), torch.tensor([box]).double())[0, 0]))
    assert np.mean(overlaps) > 0.5  # of the surest of each class
    array = np.asarray(Image.open(pictures / f"p{seen[0]:02d}.png"))
    np.testing.assert_array_equal(
        predictor.predict(array).boxes, predictor.predict(pictures / f"p{seen[0]:02d}.png").boxes
    )


def test_the_held_out_predictions_are_those_of_the_predictor(run, pictures) -> None:
    content = json.loads((run / "validation/predictions.json").read_text())
    assert (content["format"], content["version"], content["classes"]) == ("saccade-detections", 1, ["hole", "sun"])
    predictor = saccade.load(run)
    for id, scene in content["scenes"].items():
        found = predictor.predict(pictures / f"{id}.png")
        assert scene["size"] == [scene_sets.COLUMNS, scene_sets.ROWS]
        np.testing.assert_allclose([item["box"] for item in scene["objects"]], found.boxes, atol=1e-3)
        assert [item["name"] for item in scene["objects"]] == list(found.names)


def test_fewer_are_found_when_they_must_be_surer(run, pictures) -> None:
    predictor = saccade.load(run)
    every = predictor.with_inference({"score": 0.001, "overlap": 1.0}).predict(pictures / "p01.png")
    sure = predictor.with_inference({"score": 0.2}).predict(pictures / "p01.png")
    assert len(every) > len(sure)
    assert sure.scores.min(initial=1) >= 0.2
    assert len(predictor.with_inference({"score": 0.001, "limit": 3}).predict(pictures / "p01.png")) == 3


def test_what_another_tool_exported_is_refused(run) -> None:
    with pytest.raises(InputError, match=r"^ssd: a detector works with torch only; leave the backend out\.$"):
        DetectionPredictor(torch.nn.Identity(), saccade.load(run).config)


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(pictures, tmp_path, monkeypatch) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    words = ("--set", "augmentation.probability=1", "--set", "training.epochs=3")
    assert train(pictures, whole, *words) == 0
    step = DetectionModule.training_step

    def stopping(self, batch, index):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(DetectionModule, "training_step", stopping)
        assert train(pictures, stopped, *words) == 130
    assert train(pictures, stopped, "--resume", *words) == 0
    assert history(stopped) == history(whole)
    assert same_weights(stopped, whole)


def test_a_run_begins_from_another_with_its_backbone_frozen(run, pictures, tmp_path) -> None:
    second = tmp_path / "second"
    assert train(pictures, second, "--init-from", str(run), "--freeze", "backbone.*") == 0
    assert not json.loads((second / "init.json").read_text())["not_found"]
    before, after = (saccade.load(folder).network.state_dict() for folder in (run, second))
    kept = [name for name in before if torch.equal(before[name], after[name])]
    assert all(name in kept for name in before if name.startswith("backbone."))
    assert not any(name in kept for name in before if name.startswith("heads.") and name.endswith("weight"))


def test_volumes_are_learnt_in_mm(tmp_path) -> None:
    data = volume_table(tmp_path / "set")
    out = tmp_path / "run"
    changes = {
        "data.size": "[16,14,12]", "training.epochs": 40, "training.validate_every": 40, "network.channels": "[4,8]",
        "network.blocks": "[1,1]", "training.batch_size": 3,
    }  # fmt: skip
    more = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    settings = {
        name: value for name, value in scene_sets.SETTINGS.items() if name not in ("network.dropout", "data.size")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_sets, "SETTINGS", settings)
        assert train(data, out, *more, system="retinanet") == 0
    predictor = saccade.load(out)
    learnt = json.loads((out / "splits.json").read_text())["train"]
    rows = {row["image"][:2]: row for row in csv.DictReader((data / "boxes.csv").open())}
    overlaps = []
    for id in learnt:
        found = predictor.predict(data / f"{id}.nii.gz")
        box = [float(rows[id][f"{axis}{end}"]) for end in (1, 2) for axis in "xyz"]
        overlaps.append(float(jaccard(torch.tensor(found.boxes[:1]), torch.tensor([box]).double())[0, 0]))
        assert found.size is None
    assert np.mean(overlaps) > 0.4


def test_two_processes_train_as_one(pictures, tmp_path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    words = ("--set", "training.epochs=1", "--set", "network.channels=[2,2,2,2]")
    assert train(pictures, one, *words) == 0
    assert train(pictures, two, *words, "--devices", "2") == 0
    assert read_checkpoint(one / "last.ckpt")["global_step"] == read_checkpoint(two / "last.ckpt")["global_step"]
    result = [json.loads((out / "validation/metrics.json").read_text()) for out in (one, two)]
    assert set(result[0]["cases"]) == set(result[1]["cases"])


def test_a_view_is_a_function_of_seed_epoch_and_case(run, pictures) -> None:
    from saccade.data.detection.layouts import find_box_dataset
    from saccade.tasks.settings import merge, read_yaml

    values = merge(read_yaml(run / "config.yaml"), {"augmentation": {"probability": 1.0, "flip_axes": [1]}})
    config = DetectionConfig.parse(values, "test")
    scenes = find_box_dataset(pictures).scenes
    views, again = (ChangedScenes(PreparedScenes(scenes, config)) for _ in range(2))
    image, objects = views[3, 5, 1]
    same, others = again[3, 5, 1], [again[key] for key in ((4, 5, 1), (3, 6, 1))]
    assert torch.equal(image, same[0])
    assert torch.equal(objects.boxes, same[1].boxes)
    assert not any(torch.equal(image, other[0]) for other in others)
    for box, name in zip(objects.boxes, objects.classes, strict=True):  # what is in a box is what its class says
        x1, y1, x2, y2 = box.round().int().tolist()
        inside = image[0, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean() - image.mean()
        assert (inside > 0) == (name == 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "data.classes=[sun]"), "an object is a hole, which data.classes has not: sun."),
        (("--set", "data.size=[32,32,32]"), "must be a volume, is a picture."),
        (
            ("--set", "training.loss=focal", "--preset", "largest-object"),
            "with head=largest training.loss must be softmax",
        ),
        (("--set", "augmentation.flip_axes=[2]"), "flip_axes must be below 2, got 2"),
        (("--set", "network.maps=0"), "ssd: network: maps: "),
    ],
)
def test_wrong_settings_are_one_line(pictures, tmp_path, capfd, more, message) -> None:
    assert train(pictures, tmp_path / "run", *more) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_network_that_is_no_detector_is_refused(pictures) -> None:
    from saccade.data.detection.layouts import find_box_dataset
    from saccade.systems import find_implementation
    from saccade.tasks.detection.begin import plan

    dataset = find_box_dataset(pictures)
    with pytest.raises(InputError, match=r"^mine:Net: has no training_loss and detect, which detection needs; see"):
        plan(
            "mine:Net",
            dataset,
            list(dataset.scenes),
            preset="tiny",
            overrides={},
            implementation=find_implementation("resnet"),
        )


def test_what_is_planned_follows_from_the_objects(pictures) -> None:
    from saccade.data.detection.layouts import find_box_dataset
    from saccade.tasks.detection.plan import plan_scenes, sides_of_objects

    dataset = find_box_dataset(pictures)
    assert plan_scenes(dataset, dataset.scenes, {"pixels": 40 * 50})["size"] == [32, 64]  # of 64 x 96, 36 x 54
    assert plan_scenes(dataset, dataset.scenes, {"pixels": 40 * 40, "square": True})["size"] == [
        39,
        39,
    ]  # as many as 32 x 48
    objects = [item for number in range(7) for item in scene_sets.scene(number, 1 + number % 2)[1]]
    sides = {name: [(b[2] - b[0]) / 6**0.5 for n, b in objects if n == name] for name, _ in objects}
    ends = [np.percentile(of_class, (10, 90)) for of_class in sides.values()]  # a third as wide, half as high
    by_hand = min(low for low, _ in ends), np.median(np.concatenate([*sides.values()])), max(high for _, high in ends)
    assert sides_of_objects(dataset.scenes, (32, 32)) == pytest.approx(by_hand, abs=0.06)


def test_a_class_of_few_small_objects_counts_in_the_plan(tmp_path) -> None:
    from saccade.tasks.detection.plan import sides_of_objects

    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "one.png")
    large = [Object((x, x, x + 20.0, x + 20.0), "cell") for x in map(float, range(40))]
    scene = Scene("one", tmp_path / "one.png", (*large, Object((5.0, 5.0, 9.0, 9.0), "platelet")))
    assert sides_of_objects([scene], (64, 64)) == [4.0, 20.0, 20.0]


def test_nothing_to_learn(tmp_path, capfd) -> None:
    data = picture_table(tmp_path / "set", 5)
    (data / "boxes.csv").write_text("image,x1,y1,x2,y2,class\n" + "".join(f"p0{n}.png,,,,,\n" for n in range(5)))
    assert train(data, tmp_path / "run") == 2
    assert "must have objects in the images to train on, found none." in capfd.readouterr().err
