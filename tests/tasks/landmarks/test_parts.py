"""Points that move with their image, true heat maps, losses, and what is decided from the data."""

import numpy as np
import pytest
import torch
from landmark_sets import NAMES, pictures, volumes, write

from saccade.data.landmarks.layouts import find_landmark_dataset
from saccade.errors import InputError
from saccade.systems import find_implementation
from saccade.tasks.augment import draw_view, take_image
from saccade.tasks.config import Augmentation
from saccade.tasks.landmarks import task
from saccade.tasks.landmarks.begin import set_apart
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.landmarks.dataset import ChangedLandmarks, PreparedLandmarks, heat_maps, move_points
from saccade.tasks.landmarks.module import heat_loss, heat_of, hottest_pixels
from saccade.tasks.landmarks.predictor import peak

STRONG = Augmentation(probability=1.0, rotation_degrees=40.0, scale=(0.8, 1.25), shift_fraction=0.1, flip_axes=(0, 1))


def planned(root, **overrides) -> LandmarksConfig:
    dataset = task.open_dataset(root, {})
    return task.plan(
        "rib-crf", dataset, list(dataset.cases), preset="tiny", overrides=overrides,
        implementation=find_implementation("rib-crf"), device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(41, 31, 1), (23, 19, 21)])
def test_points_move_with_their_image(seed, shape) -> None:
    dims = 2 if shape[2] == 1 else 3
    rng = np.random.default_rng(seed)
    index = tuple(int(rng.integers(n // 2 - 3, n // 2 + 4)) for n in shape[:dims])
    image = torch.zeros(1, *shape)
    image[(0, *index, *([0] if dims == 2 else []))] = 1.0
    generator = torch.Generator().manual_seed(seed)
    view = draw_view(STRONG, shape, shape, spacing_mm=(1.0, 1.0, 1.0), anchor=None, generator=generator)
    seen = take_image(view, image, shape)[0]
    (moved,) = move_points(view, torch.tensor([index], dtype=torch.float32) + 0.5, shape)
    weights = seen.double() / seen.double().sum()
    axes = [torch.arange(n, dtype=torch.float64) + 0.5 for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)[..., :dims]
    centre = (weights[..., None] * grid).sum((0, 1, 2))
    assert moved.tolist() == pytest.approx(centre.tolist(), abs=0.45)  # where the spot's weight is


def test_mirrored_images_exchange_names(tmp_path) -> None:
    config = planned(
        pictures(tmp_path, 2),
        data={"swaps": [["top", "bottom"]]},
        augmentation={"probability": 0.0, "flip_axes": [0], "noise": 0.0, "brightness": 0.0, "contrast": [1, 1]},
    )
    prepared = PreparedLandmarks(find_landmark_dataset(tmp_path).cases, config)
    image, positions = prepared[0]
    rows = config.data.size[0]
    seen = set()
    for epoch in range(8):
        changed, maps, counts = ChangedLandmarks(prepared)[epoch, 0, 0]
        found = hottest_pixels(maps[None])[0] + 0.5
        mirrored = not torch.equal(changed, image)
        expected = positions.clone()
        if mirrored:
            expected[:, 0] = rows - expected[:, 0]
            expected = expected[[2, 1, 0]]
        assert (found - expected).abs().max() <= 0.51
        assert counts.tolist() == [True] * 3
        seen.add(mirrored)
    assert seen == {True, False}


def test_true_heat_is_a_gaussian_and_missing_landmarks_do_not_count() -> None:
    positions = torch.tensor([[3.5, 4.5], [float("nan")] * 2, [-20.0, 2.0]])
    maps, counts = heat_maps(positions, (9, 11), 2.0)
    assert counts.tolist() == [True, False, True]
    assert maps[0, 3, 4] == 1.0
    assert maps[0, 5, 4] == pytest.approx(np.exp(-0.5))
    assert maps[1].max() == 0
    assert maps[2].max() < 1e-6
    scores = torch.randn(1, 3, 9, 11)
    other = scores.clone()
    other[0, 1] += 5
    for kind in ("cross_entropy", "bce", "mse"):
        first, second = (heat_loss(s, maps[None], counts[None], kind=kind, sigma=2.0) for s in (scores, other))
        assert first == second  # what a missing landmark's map says costs nothing


@pytest.mark.parametrize("kind", ["cross_entropy", "bce", "mse"])
def test_heat_that_has_been_learned_is_the_true_heat(kind) -> None:
    maps, counts = heat_maps(torch.tensor([[6.5, 7.5], [9.2, 5.1]]), (17, 19), 1.5)
    perfect = maps.clamp(1e-6, 1 - 1e-6)
    scores = (perfect.log() if kind == "cross_entropy" else perfect.logit())[None].requires_grad_()
    assert (heat_of(scores, kind=kind, sigma=1.5)[0] - maps).abs().max() < 2e-2
    loss = heat_loss(scores, maps[None], counts[None], kind=kind, sigma=1.5)
    worse = heat_loss(scores + torch.randn(scores.shape), maps[None], counts[None], kind=kind, sigma=1.5)
    loss.backward()
    assert scores.grad.abs().max() < 1e-4  # a minimum
    assert worse > loss


def test_heat_on_two_equal_spots_is_a_half() -> None:
    (one,), _ = heat_maps(torch.tensor([[5.5, 5.5]]), (11, 31), 1.5)
    (two,), _ = heat_maps(torch.tensor([[5.5, 25.5]]), (11, 31), 1.5)
    heat = heat_of((one + two).clamp_min(1e-9).log()[None, None], kind="cross_entropy", sigma=1.5)
    assert float(heat.max()) == pytest.approx(0.5, abs=0.02)


def test_a_peak_between_pixels() -> None:
    maps, _ = heat_maps(torch.tensor([[5.8, 7.1, 4.5]]), (11, 13, 9), 1.5)
    heat = maps[0].double().numpy()
    index = np.array(np.unravel_index(heat.argmax(), heat.shape))
    assert peak(heat, index) == pytest.approx([5.8, 7.1, 4.5], abs=1e-3)
    edge = np.zeros((5, 5))
    edge[0, 2] = 1.0
    assert peak(edge, np.array([0, 2])).tolist() == [0.5, 2.5]


def test_what_is_decided_from_the_data(tmp_path) -> None:
    config = planned(pictures(tmp_path / "a", 4))
    assert config.data.names == NAMES
    assert config.data.size == (37, 29)
    assert (config.training.sigma, config.tolerance, config.radius) == (1.5, 3.0, 3.0)
    assert config.training.missing is False
    assert planned(pictures(tmp_path / "b", 4, missing=(1, "top"))).training.missing is True
    assert planned(volumes(tmp_path / "c")).data.size == (41, 13, 22)  # equally fine along each axis
    assert "3 landmarks; images 37 x 29" in task.plan_line(config)
    assert task.sizes(config) == (1, 3)


def test_the_images_for_the_crf_are_no_patients_of_the_others(tmp_path) -> None:
    pictures(tmp_path, 8)
    rows = [[f"p{n}.png", "top", 5, 5, f"patient{n // 2}"] for n in range(8)]
    write(tmp_path / "points.csv", ["image", "name", "x", "y", "patient"], rows)
    cases = find_landmark_dataset(tmp_path).cases
    first, second = set_apart(cases, 0.25, 0)
    assert len(first) + len(second) == 8
    assert len(second) == 2
    assert not {c.group for c in first} & {c.group for c in second}
    assert set_apart(cases, 0.0, 0) == (list(cases), [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data": {"swaps": [["top", "botom"]]}}, "rib-crf: data: Value error, swaps must be of landmarks, got botom."),
        ({"augmentation": {"flip_axes": [2]}}, "rib-crf: settings: Value error, flip_axes must be below 2, got 2."),
        ({"inference": {"crf": "maybe"}}, "rib-crf: inference.crf: Input should be 'refine', 'map' or 'none'"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, overrides, message) -> None:
    with pytest.raises(InputError) as error:
        planned(pictures(tmp_path, 2), **overrides)
    assert str(error.value).startswith(message)


def test_data_that_do_not_fit(tmp_path) -> None:
    root = pictures(tmp_path, 2)
    write(root / "points.csv", ["image", "name", "x", "y", "z"], [["p0.png", "a", 1, 2, 3], ["p1.png", "a", 1, 2, 3]])
    with pytest.raises(InputError, match="images have 2 axes, points have 3; they must agree"):
        planned(root)
    write(root / "points.csv", ["image", "name", "x", "y"], [["p0.png", "a", 1, 2], ["p1.png", "b", "", ""]])
    with pytest.raises(InputError, match="each landmark must be in a training image, b is in none"):
        planned(root)
