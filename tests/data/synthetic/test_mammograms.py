"""Simulated mammograms: boxes and descriptors are what was drawn, and no shortcut finds them out."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from saccade.cli.main import main
from saccade.data.detection.layouts import find_box_dataset
from saccade.data.synthetic import mammograms
from saccade.data.synthetic.box_shortcuts import box_shortcuts
from saccade.data.synthetic.mammograms import DESCRIPTORS, IMPRESSIONS, make, simulate_mammogram


def files(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_command_makes_a_set_that_can_be_checked_and_masks_beside_it(tmp_path, capsys) -> None:
    root = tmp_path / "set"
    assert main(["data", "make", "mammograms", str(root), "--cases", "12", "--seed", "3"]) == 0
    assert capsys.readouterr().out.endswith("12 cases (mammogram_0000 to mammogram_0011).\n")
    assert main(["data", "check", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
    dataset = find_box_dataset(root)
    assert len(dataset.scenes) == 12
    assert {len(scene.objects) for scene in dataset.scenes} >= {0, 1, 2}
    with (root / "boxes.csv").open(encoding="utf-8") as file:
        assert set(csv.DictReader(file).fieldnames or ()) >= {"x1", "class", *DESCRIPTORS}
    for scene in dataset.scenes:
        mask = np.asarray(Image.open(root / "truth" / scene.image.name))
        assert set(np.unique(mask)) == set(range(len(scene.objects) + 1))
        for number, item in enumerate(scene.objects, 1):
            assert item.name == "lesion"
            assert all(item.more[name] in values for name, values in DESCRIPTORS.items())
            rows, columns = np.nonzero(mask == number)
            around = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(np.array(item.box) - around).max() <= 1  # pixels whose middle is inside


def test_a_mammogram_follows_from_its_seed_and_number_alone(tmp_path) -> None:
    for name, cases, seed in (("a", 2, 5), ("b", 2, 5), ("longer", 3, 5), ("other", 2, 6)):
        make(tmp_path / name, cases=cases, seed=seed)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    longer, other = files(tmp_path / "longer"), files(tmp_path / "other")
    for name, content in files(tmp_path / "a").items():
        if name != "boxes.csv":
            assert longer[name] == content
            assert name.startswith("truth/") or other[name] != content


def drawn(shape: str = "round", margin: str = "circumscribed", density: str = "equal", seed: int = 0) -> np.ndarray:
    """A lesion on even tissue."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128] + 0.5
    flat = mammograms.Breast(x, y, np.full(x.shape, 50.0), np.full(x.shape, -50.0))
    values = {"shape": shape, "margin": margin, "density": density}
    lesion = mammograms.Lesion(64.0, 64.0, mammograms._draw_outline(rng, shape), values)
    tissue = mammograms._draw_lesion(rng, flat, np.zeros(x.shape), lesion)
    return tissue / mammograms.CONTRAST[density]


def moments(image: np.ndarray) -> tuple[float, float]:
    """Ratio of the principal axes, and how far the outline strays from an ellipse of these axes."""
    rows, columns = np.nonzero(image > 0.5)
    small, large = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    filled = len(rows) / (4 * np.pi * np.sqrt(small * large))
    return float(np.sqrt(large / small)), 1 - filled


@pytest.mark.parametrize("seed", range(4))
def test_shapes_are_what_they_are_called(seed) -> None:
    (round_, _), (oval, even), (_, strays) = (moments(drawn(shape, seed=seed)) for shape in DESCRIPTORS["shape"])
    assert round_ < 1.15
    assert 1.4 < oval < 2.3
    assert even < 0.03
    assert strays > 0.04


@pytest.mark.parametrize("seed", range(4))
def test_margins_are_what_they_are_called(seed) -> None:
    sharp, soft, spiky = (drawn(margin=margin, seed=seed) for margin in DESCRIPTORS["margin"])
    steepest = [np.abs(np.gradient(image)[0]).max() for image in (sharp, soft)]
    assert steepest[0] > 2 * steepest[1]
    y, x = np.mgrid[:128, :128] + 0.5
    away = np.hypot(x - 64, y - 64)
    radius = np.sqrt((sharp > 0.5).sum() / np.pi)
    ring = (away > 1.25 * radius) & (away < 1.45 * radius)
    assert sharp[ring].max() < 0.1
    assert soft[ring].std() < 0.1
    assert spiky[ring].std() > 0.15


def test_density_is_how_much_is_added() -> None:
    middles = [
        mammograms.CONTRAST[density] * drawn(density=density)[60:68, 60:68].mean() for density in DESCRIPTORS["density"]
    ]
    assert middles == sorted(middles)
    assert middles[1] > 1.4 * middles[0]
    assert middles[2] > 1.3 * middles[1]


def test_lesions_lie_in_the_breast_beside_the_muscle_and_each_other() -> None:
    for case in range(12):
        rng = np.random.default_rng((1, case))
        breast = mammograms._draw_breast(rng)
        lesions = mammograms._draw_lesions(rng, breast)
        inside = [lesion.beyond(breast.x, breast.y) < 0 for lesion in lesions]
        for number, here in enumerate(inside):
            assert (breast.depth[here] > 0).all()
            assert (breast.muscle[here] < 0).all()
            assert not any((here & other).any() for other in inside[:number])


def test_what_is_written_does_not_change_the_picture(tmp_path) -> None:
    plain, mask, lesions = simulate_mammogram(2, 1)
    image, same, judged = simulate_mammogram(2, 1, classes="impression", missing=1.0)
    assert (plain == image).all()
    assert (mask == same).all()
    assert [item.box for item in lesions] == [item.box for item in judged]
    assert all(item.name in IMPRESSIONS and not item.more for item in judged)
    make(tmp_path, cases=20, seed=0, missing=0.3)
    cells = [item.more for scene in find_box_dataset(tmp_path).scenes for item in scene.objects]
    assert 0.5 < sum(map(len, cells)) / (3 * len(cells)) < 0.9


def test_suspicion_follows_the_descriptors() -> None:
    rng = np.random.default_rng(0)
    outline = mammograms._draw_outline(rng, "round")

    def share(shape: str, margin: str, density: str) -> float:
        lesion = mammograms.Lesion(50.0, 50.0, outline, {"shape": shape, "margin": margin, "density": density})
        return np.mean([mammograms._written(rng, lesion, "impression", 0.0).name == IMPRESSIONS[1] for _ in range(200)])

    # 1 / (1 + e^3) = 0.05, 1 / (1 + e^-3.6) = 0.97, 1 / (1 + e^-0.6) = 0.65
    assert share("round", "circumscribed", "low") < 0.12
    assert share("irregular", "spiculated", "high") > 0.92
    assert 0.5 < share("oval", "spiculated", "low") < 0.8


def test_shortcuts_neither_find_nor_describe_lesions(tmp_path) -> None:
    for name, seed in (("train", 1), ("test", 2)):
        make(tmp_path / name, cases=60, seed=seed)
    scores = box_shortcuts(tmp_path / "train", tmp_path / "test")
    for name in ("brightest", "blobs"):
        assert scores["boxes"][name]["recall_at_4"] < 0.55, scores
        assert scores["boxes"][name]["ap50"] < 0.3, scores
    assert max(scores["descriptors"]["majority"].values()) < 0.5, scores
    # how much longer than wide a box is tells ovals from discs: no descriptor is told by more than that
    told = scores["descriptors"]["brightness and size"]
    assert told["margin"] < 0.6, scores
    assert told["density"] < 0.75, scores
    assert told["shape"] < 0.85, scores


def test_shortcuts_find_what_is_easy(tmp_path) -> None:
    """One bright square on black, as large as its class says: both are found out."""
    rows = ["image,x1,y1,x2,y2,class,size"]
    rng = np.random.default_rng(0)
    for number in range(12):
        side, (x, y) = (8, 12)[number % 2], rng.integers(4, 48, 2)
        picture = np.zeros((64, 64), np.uint8)
        picture[y : y + side, x : x + side] = 200
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{x},{y},{x + side},{y + side},square,{('small', 'large')[number % 2]}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    scores = box_shortcuts(tmp_path, tmp_path)
    for name in ("brightest", "blobs"):
        assert scores["boxes"][name]["recall_at_4"] == 1.0
    assert scores["descriptors"]["brightness and size"]["size"] == 1.0
    assert scores["descriptors"]["majority"]["size"] == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda root: make(root, cases=0, seed=0), r"cases must be 1 or more, got 0\.$"),
        (lambda root: make(root, cases=1, seed=0, missing=1.5), r"missing must be 0 to 1, got 1.5\.$"),
        (
            lambda root: make(root, cases=1, seed=-1),
            r"^simulate_mammogram: seed and case must be 0 or more, got -1 and 0\.$",
        ),
        (
            lambda root: make(root, cases=1, seed=0, classes="lesions"),
            r"^simulate_mammogram: unknown kind of classes 'lesions'\. Did you mean 'lesion'\?",
        ),
    ],
)
def test_what_cannot_be_made(tmp_path, call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "set")
