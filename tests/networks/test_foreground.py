import numpy as np
import pytest
import torch

from saccade.networks.foreground import foreground, otsu_threshold


def within(values: np.ndarray, threshold: float) -> float:
    """The variance left in both parts: what Otsu's threshold makes least."""
    parts = values[values <= threshold], values[values > threshold]
    return sum(part.size * part.var() for part in parts if part.size)


def test_the_threshold_leaves_the_least_variance_in_both_parts():
    rng = np.random.default_rng(0)
    for weight, spread in ((0.5, 0.8), (0.2, 0.5), (0.9, 0.3)):
        values = np.where(rng.uniform(size=400) < weight, rng.normal(-3, 1, 400), rng.normal(2, spread, 400))
        found = float(otsu_threshold(torch.from_numpy(values)[None])[0])
        best = min(within(values, candidate) for candidate in np.sort(values)[:-1])
        assert within(values, found) <= 1.01 * best


def test_images_of_a_batch_have_each_their_own_threshold_halfway_in_a_gap():
    image = torch.tensor([[0.0, 0, 1, 1], [100.0, 100, 300, 300]])
    torch.testing.assert_close(otsu_threshold(image), torch.tensor([0.5, 200.0]), atol=1, rtol=5e-3)


def chest() -> torch.Tensor:
    """Air, a body in it, two holes in the body, one of them open to the last axis; (1, 9, 11, 5)."""
    image = torch.full((1, 9, 11, 5), -1000.0)
    image[0, 1:8, 1:10] = 40
    image[0, 2:4, 3:8, :] = -850
    image[0, 5:7, 3:8, 1:4] = -850
    return image


@pytest.mark.parametrize("change", [lambda x: x, lambda x: 3 * x + 7, lambda x: x + torch.randn(x.shape)])
def test_lungs_are_dark_within_bright_and_the_air_around_is_not(change):
    image = chest()
    found = foreground(change(image), "enclosed")
    assert torch.equal(found, image == -850)
    assert torch.equal(foreground(change(image), "bright"), image == 40)
    assert foreground(change(image), "all").all()


def test_a_picture_is_treated_like_a_slice_and_a_signal_too():
    image = chest()[..., 2]
    assert torch.equal(foreground(image, "enclosed"), image == -850)
    line = chest()[:, :, 5, 2]
    assert torch.equal(foreground(line, "enclosed"), line == -850)


def test_nothing_stands_out_of_one_colour():
    assert not foreground(torch.zeros(1, 4, 4), "bright").any()
    assert not foreground(torch.zeros(1, 4, 4), "enclosed").any()


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"^foreground: unknown kind 'lung'\. .*Known: all, bright, enclosed\.$"):
        foreground(torch.zeros(1, 4, 4), "lung")
