import pytest
import torch

from saccade import explain, record
from saccade.errors import InputError
from saccade.networks import ImageSubject2Vec, PatchGrid, Subject2Vec
from saccade.networks.inference import for_inference

SPACES = {2: (17, 13), 3: (17, 13, 11)}


def image(dims: int, corner: int, width: int = 6) -> torch.Tensor:
    """Noise with a bright box in it."""
    x = torch.randn(1, 1, *SPACES[dims])
    x[(slice(None), slice(None), *[slice(corner, corner + width)] * dims)] += 40
    return x


def small(dims: int, **settings) -> ImageSubject2Vec:
    """A network on patches of 4 around cells of 3 whose batch norms have seen something, in evaluation mode."""
    network = ImageSubject2Vec(
        Subject2Vec(1, 2, spatial_dims=dims, channels=(3, 5), hidden=4),
        PatchGrid(4, 1),
        **{"foreground": "bright", "inside": 0.4, **settings},
    )
    with torch.no_grad():
        for parameter in network.network.discriminative.parameters():
            parameter.mul_(3)  # so that weights differ
        for _ in range(3):
            network(torch.cat([image(dims, corner) for corner in (1, 3, 4)]))
    return network.eval()


@pytest.mark.parametrize("dims", [2, 3])
def test_an_image_is_the_set_of_its_patches_in_the_foreground(dims):
    network, x = small(dims), image(dims, 3)
    grid = network.grid
    bright = (x[:, 0] > 15).double()
    keep = (grid.share(bright.bool()) >= 0.4).flatten()
    assert 1 < keep.sum() < keep.numel() / 2
    patches = grid.views(x).flatten(1, dims)[:, keep]
    order = torch.randperm(int(keep.sum()))
    torch.testing.assert_close(network(x), network.network(patches[:, order]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_images_with_different_numbers_of_patches_do_not_disturb_each_other(dims):
    network = small(dims)
    images = torch.cat([image(dims, 3), image(dims, 1, 9), image(dims, 4, 4)])
    sets = network.cut(images)
    counts = sets.mask.sum(1).tolist()
    assert len(set(counts)) == 3
    together = network(images)
    for number, one in enumerate(images):
        torch.testing.assert_close(network(one[None])[0], together[number], atol=1e-5, rtol=1e-5)
        cells = sets.cells[number][sets.mask[number]]
        views = network.grid.views(one[None]).flatten(1, dims)[0]
        assert torch.equal(sets.patches[number][sets.mask[number]], views[cells])
    torch.testing.assert_close(for_inference(network)(images), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_map_is_the_attention_of_each_patch_where_its_cell_lies(dims):
    network = small(dims)
    x = torch.cat([image(dims, 1, 9), image(dims, 4, 4)])
    plain = network(x)
    with record(network) as seen:
        torch.testing.assert_close(network(x), plain)
    map_, weights = seen["map"], seen["network.discriminative.attention.map"].tensor[:, 0]
    assert (map_.kind, map_.grid) == ("spatial", SPACES[dims])
    sets = network.cut(x)
    for number in range(2):
        there = sets.mask[number]
        relative = weights[number][there] * there.sum()
        assert relative.max() > 1.001 * relative.min()
        cells = torch.zeros(network.grid.cells(SPACES[dims])).flatten()
        cells[sets.cells[number][there]] = relative
        expected = network.grid.paint(cells.reshape(1, *network.grid.cells(SPACES[dims])), SPACES[dims])[0]
        torch.testing.assert_close(map_.tensor[number, 0], expected)
        torch.testing.assert_close(relative.mean(), torch.tensor(1.0))
    torch.testing.assert_close(explain.attention_maps(network, x), map_.tensor[:, 0])


@pytest.mark.parametrize("dims", [2, 3])
def test_what_patches_add_sums_to_the_score(dims):
    network, x = small(dims), image(dims, 1, 9)
    bias = network.network.discriminative.predict.bias
    for target in range(2):
        added = explain.hires_cam(network, x, target=target, layer="parts", resize=False)
        torch.testing.assert_close(added.sum() + bias[target], network(x)[0, target], atol=1e-5, rtol=1e-5)
        sets = network.cut(x)
        subject = network.network.describe(sets.patches, sets.mask)
        one = int(sets.cells[0, 1])
        # The vector is a sum over patches, so leaving one out with the others' weights kept takes its part away.
        features, mask = network.network.features(sets.patches, sets.mask)
        each = network.network.discriminative.describe(features, mask)[1][0, 1]
        weight = network.network.discriminative.predict.weight[target]
        torch.testing.assert_close(added.flatten()[one], weight @ each)
        torch.testing.assert_close(subject.prediction, network(x))


def test_of_too_many_patches_those_furthest_inside_are_kept():
    x = image(2, 3, 6)
    x[:] = 0
    x[0, 0, 1:10, 1:7] = 40  # cells begin at -0: rows 0-2, 3-5, ...
    every, few = small(2, inside=0.3), small(2, inside=0.3, most_patches=2)
    shares = every.grid.share(x[:, 0] > 15).flatten(1)
    assert (shares >= 0.3).sum() > 2
    cells = few.cut(x).cells[0]
    assert len(cells) == 2
    assert shares[0, cells].min() >= shares[0].sort(descending=True).values[1]


def test_an_exported_network_takes_any_number_of_patches():
    network = small(2)
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(network, (torch.cat([image(2, 3)] * 2),), dynamic_shapes=({0: batch},))
    x = torch.cat([image(2, 1, 9), image(2, 4, 4), image(2, 3)])
    torch.testing.assert_close(program.module()(x), network(x), atol=1e-5, rtol=1e-5)


def test_a_network_fixed_to_an_image_keeps_its_patches_whatever_is_covered():
    network, x = small(2), image(2, 1, 9)
    fixed = network.fixed_to(x)
    covered = x.clone()
    covered[..., :6, :] = x.mean()
    assert torch.equal(fixed.cut(covered).cells, network.cut(x).cells)
    assert network.cut(covered).cells.shape[1] < fixed.cut(covered).cells.shape[1]
    torch.testing.assert_close(fixed(torch.cat([x, x])), network(torch.cat([x, x])))
    assert torch.isfinite(fixed(torch.zeros_like(x))).all()
    assert next(iter(fixed.parameters())) is next(iter(network.parameters()))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_window_shows_the_range_of_each_images_foreground(dims):
    network = small(dims, window=True)
    x = torch.cat([image(dims, 1, 9), 3 * image(dims, 3) - 7])
    sets = network.cut(x)
    for number in range(2):
        values = x[number][x[number] > 15] if number == 0 else x[number][x[number] > 40]
        low, width = values.mean() - 2.5 * values.std(correction=0), 5 * values.std(correction=0)
        expected = ((x[number] - low) / width).clamp(0, 1)
        views = network.grid.views(expected[None]).flatten(1, dims)[0]
        there = sets.mask[number]
        torch.testing.assert_close(sets.patches[number][there], views[sets.cells[number][there]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network(2 * x + 5), network(x), atol=1e-3, rtol=1e-3)
    fixed = network.fixed_to(x[:1])
    covered = x[:1].clone()
    covered[..., -3:] = 0
    there = sets.mask[0]
    outside = ~(network.grid.views(covered) != network.grid.views(x[:1])).flatten(1, dims)[0].flatten(1).any(1)
    same = outside[sets.cells[0][there]]
    assert torch.equal(fixed.cut(covered).patches[0][same], sets.patches[0][there][same])


@pytest.mark.parametrize("kind", ["all", "bright", "enclosed"])
def test_its_cost_can_be_measured(kind):
    from saccade.study.cost import measure_cost

    network = ImageSubject2Vec(Subject2Vec(1, 2, channels=(3, 5)), PatchGrid(4, 1), foreground=kind)
    assert measure_cost(network, (1, 1, *SPACES[3])).gflop > 0
    assert 1 < network.cut(network.example_input((1, 1, *SPACES[3]))).mask.sum() <= 6 * 5 * 4


def test_images_without_a_patch_in_the_foreground_are_refused():
    network = small(2)
    bare = torch.zeros(1, 1, 17, 13)
    words = (
        "no patch of 4 x 4 whose middle lies 40% in the foreground (bright), at most 0%. "
        "Set network.foreground=all, or a lower network.inside or network.patch_size."
    )
    with pytest.raises(InputError) as error:
        network(torch.cat([image(2, 3), bare]))
    assert str(error.value) == f"subject2vec: image 1 of the batch has {words}"
    with pytest.raises(InputError) as error:
        network.check_image(bare[0], "case a: a.png")
    assert str(error.value) == f"case a: a.png: has {words}"
    network.check_image(image(2, 3)[0], "case b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"foreground": "lung"}, "ImageSubject2Vec: foreground must be one of all, bright, enclosed, got lung."),
        ({"inside": 0.0}, "ImageSubject2Vec: inside must be above 0 and at most 1, got 0.0."),
        ({"most_patches": 0}, "ImageSubject2Vec: most_patches must be at least 1, got 0."),
    ],
)
def test_what_cannot_be_built_is_named(settings, message):
    with pytest.raises(InputError) as error:
        small(2, **settings)
    assert str(error.value) == message


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match=r"^PatchGrid: patch_size must be at most 3 for images of 9 x 3, got 4\.$"):
        small(2)(torch.zeros(1, 1, 9, 3))
