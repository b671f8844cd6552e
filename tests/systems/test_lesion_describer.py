"""Lesions found and described from the command line, and what its loss and its words are made of."""

import csv
import json
from fnmatch import fnmatchcase

import pytest
import torch

import saccade
from saccade.cli.main import main
from saccade.data.synthetic.mammograms import DESCRIPTORS
from saccade.errors import InputError
from saccade.explain import detection_score, grad_cam
from saccade.explain.detection import Detecting, layer_for
from saccade.layers.boxes import jaccard
from saccade.losses import Objects
from saccade.sentences import Sentences
from saccade.systems import SYSTEMS, find_implementation
from saccade.systems import lesion_describer as system
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.hooks import DetectionSystem
from saccade.tasks.settings import merge

SMALL = {"channels": (4, 8, 8), "convolutions": (1, 1, 1), "width": 4, "hidden": 16}
TONES = {"tone": ("bright", "dark"), "form": ("long", "square")}


def configured(preset: str = "tiny", **changes) -> DetectionConfig:
    decided = {
        "root": ".",
        "classes": ["lesion"],
        "descriptors": TONES,
        "size": (48, 48),
        "object_sides": (10, 14, 18),
        "intensity": {"kind": "z_score"},
    }
    values = {key: value for key, value in system.PRESETS[preset].items() if key != "plan"}
    given = merge({"system": "lesion-describer", "data": decided}, values, {"network": SMALL}, changes)
    config = DetectionConfig.parse(merge(given, {"training": {"loss": "softmax"}}), "lesion-describer")
    planned = system.Network.parse(system.plan_network(config.data.model_dump(), config.network), "lesion-describer")
    return config.model_copy(update={"network": planned.model_dump(exclude={"in_channels", "out_channels"})})


def built(config: DetectionConfig):
    torch.manual_seed(0)
    return saccade.build("lesion-describer", **config.network, in_channels=1, out_channels=config.outputs)


def scene(seed: int) -> tuple[torch.Tensor, Objects]:
    """A bright or a dark box, long or square, on noise."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 48, 48, generator=generator) * 0.2
    tone, form = seed % 2, seed // 2 % 2
    width, height = (22, 10) if form == 0 else (14, 14)
    x, y = torch.randint(2, 48 - width - 2, (2,), generator=generator).tolist()
    image[:, y : y + height, x : x + width] += -1.5 if tone else 1.5
    box = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32)
    return image, Objects(box, torch.tensor([0]), more={"tone": torch.tensor([tone]), "form": torch.tensor([form])})


def test_the_table_and_the_hooks() -> None:
    with torch.device("meta"):
        network = saccade.build("lesion-describer")
    assert sum(p.numel() for p in network.parameters()) == SYSTEMS["lesion-describer"].parameters
    assert isinstance(find_implementation("lesion-describer"), DetectionSystem)
    for preset in system.PRESETS:
        network = built(configured(preset, network={"shared": False}))
        groups = system.layer_groups(network)
        for name, _ in network.named_parameters():
            assert sum(fnmatchcase(name, pattern) for group in groups for pattern in group) == 1, name
        assert groups[0] == ["trunk.*", "second_trunk.*"]


def test_the_plan_follows_the_objects() -> None:
    network = configured().network
    assert network["sides"] == (10.0, 14.0, 18.0)
    assert network["descriptors"] == (2, 2)
    assert configured(network={"sides": (7.0,)}).network["sides"] == (7.0,)
    with pytest.raises(InputError, match=r"^Sentences: names and values must be words without .* got 'long, thin'\.$"):
        configured(data={"descriptors": {"form": ("long, thin", "square")}})


def test_every_part_of_the_loss_counts_once_and_what_is_not_known_counts_nowhere() -> None:
    config = configured()
    network = built(config)
    images, objects = (list(part) for part in zip(*(scene(seed) for seed in range(4)), strict=True))
    names = {"objectness", "proposals", "classes", "location", "descriptor tone", "descriptor form"}

    def parts(known: list[Objects], **changes) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        settings = configured(network={**SMALL, **changes})
        return system.training_loss(network, torch.stack(images), known, settings)

    plain, halved = parts(objects), parts(objects, description_weight=0.5)
    assert set(plain) == names
    for name, loss in plain.items():
        factor = 0.5 if name.startswith("descriptor") else 1.0
        torch.testing.assert_close(halved[name], factor * loss)
    unknown = [Objects(o.boxes, o.classes, more={**o.more, "tone": torch.tensor([-1])}) for o in objects]
    silent = parts(unknown)
    assert silent["descriptor tone"] == 0
    torch.testing.assert_close(silent["descriptor form"], plain["descriptor form"])
    fewer = parts(objects, regions_sampled=2)
    assert fewer["objectness"] == plain["objectness"]
    assert fewer["classes"] != plain["classes"]
    torch.manual_seed(1)
    other = system.training_loss(network, torch.stack(images), objects, configured(network={"anchors_sampled": 4}))
    assert other["objectness"] != plain["objectness"]


def test_learns_to_find_and_to_describe() -> None:
    config = configured(network={"channels": (8, 12, 16), "hidden": 32}, inference={"score": 0.5})
    network = built(config)
    images, objects = (list(part) for part in zip(*(scene(seed) for seed in range(8)), strict=True))
    optimiser = torch.optim.Adam(network.parameters(), lr=4e-3)
    for step in range(70):
        torch.manual_seed(step)
        loss = sum(system.training_loss(network, torch.stack(images), objects, config).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        found = system.detect(network, torch.stack(images), config)
        words = system.describe(network, torch.stack(images), [known.boxes for known in objects], config)
    right = 0
    for located, known, told in zip(found, objects, words, strict=True):
        truth = {name: TONES[name][int(number)] for name, number in known.more.items()}
        assert told == [truth]
        if len(located.boxes) and jaccard(located.boxes[:1], known.boxes) > 0.5:
            said = dict(located.more[0])
            assert said.pop("sentence") == Sentences(["lesion"], TONES).write("lesion", said)
            right += said == truth
    assert right >= 7


def test_boxes_of_several_images_keep_their_words_apart() -> None:
    config = configured()
    network = built(config).eval()
    images = torch.stack([scene(seed)[0] for seed in range(3)])
    boxes = [scene(0)[1].boxes.repeat(2, 1), torch.zeros(0, 4), scene(2)[1].boxes]
    with torch.no_grad():
        together = system.describe(network, images, boxes, config)
        alone = [system.describe(network, images[[n]], [boxes[n]], config)[0] for n in range(3)]
    assert [len(words) for words in together] == [2, 0, 1]
    assert together == alone


def test_a_detection_is_explained_on_the_trunk() -> None:
    config = configured()
    network = built(config).eval()
    x = scene(0)[0][None]
    assert [layer_for(network, x, torch.tensor([4.0, 4, 4 + side, 4 + side])) for side in (4, 40)] == [
        "trunk.blocks.1",
        "trunk.blocks.2",
    ]
    with torch.no_grad():
        box = system.detect(network, x, config)[0].boxes[0]
    target = detection_score(box.tolist(), 0)
    map_ = grad_cam(Detecting(network, system, config), x, target=target, layer="network.trunk.blocks.2")
    assert map_.isfinite().all()


@pytest.fixture(scope="module")
def mammograms(tmp_path_factory):
    root = tmp_path_factory.mktemp("mammograms")
    assert main(["data", "make", "mammograms", str(root), "--cases", "12", "--seed", "5", "--missing", "0.2"]) == 0
    return root


def train(data, out, *more: str) -> int:
    small = {f"network.{name}": json.dumps(value) for name, value in SMALL.items()}
    given = {
        **small,
        "training.epochs": 2,
        "training.batch_size": 5,
        "training.loggers": "[csv]",
        "data.size": "[64,64]",
    }
    words = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    command = ["train", "lesion-describer", "--data", str(data), "--out", str(out), "--preset", "tiny", "--folds", "4"]
    return main([*command, *words, *more])


def test_train_predict_and_evaluate_from_the_command_line(mammograms, tmp_path, capsys, short_check) -> None:
    assert train(mammograms, tmp_path / "run") == 0
    assert "with shape, margin, density" in capsys.readouterr().err
    images = [str(mammograms / "images" / f"mammogram_{n:04d}.png") for n in range(12)]
    assert main(["predict", str(tmp_path / "run"), *images, "--out", str(tmp_path / "said")]) == 0
    content = json.loads((tmp_path / "said" / "predictions.json").read_text())
    assert set(content["scenes"]) == {f"mammogram_{n:04d}" for n in range(12)}
    said = Sentences(["lesion"], {name: sorted(values) for name, values in DESCRIPTORS.items()})
    objects = [item for scene in content["scenes"].values() for item in scene["objects"]]
    assert objects
    for item in objects:
        values = dict(item["more"])
        assert said.read(values.pop("sentence")) == (item["name"], values)
        assert set(values) == set(DESCRIPTORS)
    capsys.readouterr()
    scores = tmp_path / "metrics.json"
    assert main(["evaluate", str(tmp_path / "said" / "predictions.json"), str(mammograms), "--out", str(scores)]) == 0
    assert "Sentences right" in capsys.readouterr().out
    result = json.loads(scores.read_text())
    assert set(result["summary"]["per_descriptor"]) == set(DESCRIPTORS)
    assert 0 <= result["summary"]["recall_at_4"]["value"] <= 1
    with (mammograms / "boxes.csv").open(encoding="utf-8") as file:
        written = [row for row in csv.DictReader(file) if row["shape"]]
    assert result["summary"]["per_descriptor"]["shape"]["n"] == len(written)


def test_descriptors_of_other_names_and_those_that_are_not_there(mammograms, tmp_path, capsys, short_check) -> None:
    table = (mammograms / "boxes.csv").read_text().replace("shape", "mass shape").replace("margin", "edge", 1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "images").symlink_to(mammograms / "images")
    (other / "boxes.csv").write_text(table)
    assert train(other, tmp_path / "run") == 2
    assert (
        "objects must have 'shape', which this system learns, have density, edge, mass shape."
        in capsys.readouterr().err
    )
    assert train(other, tmp_path / "run", "--set", 'data.descriptors={"mass shape": []}') == 0
    assert "with mass shape;" in capsys.readouterr().err
    assert saccade.load(tmp_path / "run").config.data.descriptors == {"mass shape": ("irregular", "oval", "round")}
