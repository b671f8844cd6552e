"""What the explanation methods show: formulas by hand, planted evidence, in 1 to 3 dimensions, however written."""

import numpy as np
import pytest
import torch
from planted import CONV, SIZES, Functional, PlantedNetwork, Segmenter, cnn_1, planted
from torch import nn

import saccade
from saccade import explain
from saccade.attention import NonLocal, SpatialSqueezeExcitation
from saccade.errors import InputError
from saccade.explain.response import score_parts

GRADIENT = ["grad_cam", "grad_cam_plus_plus", "x_grad_cam", "hires_cam", "layer_cam", "grad_cam_element_wise",
            "respond_cam"]  # fmt: skip
PERTURBED = ["score_cam", "ablation_cam"]
INPUT = ["input_gradient", "guided_backpropagation", "occlusion"]
OF_A_CLASS = ["cam", *GRADIENT, *PERTURBED, *INPUT, "guided_grad_cam", "eigen_grad_cam"]
ALL = [*OF_A_CLASS, "eigen_cam"]


class Weighted(nn.Module):
    """``y_c = sum_ki w_cki relu(x)_ki``: the features of layer "act" are relu(x), their gradient is w."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.act, self.weight = nn.ReLU(), nn.Parameter(weight)

    def forward(self, x):
        return torch.einsum("bki,cki->bc", self.act(x), self.weight)


def test_formulas_by_hand() -> None:
    """A = [[1, 2], [3, 0]] (channels x positions), g = [[1, -1], [2, 4]]."""
    x = torch.tensor([[[1.0, 2.0], [3.0, -5.0]]])
    weight = torch.tensor([[[9.0, 9.0], [9.0, 9.0]], [[1.0, -1.0], [2.0, 4.0]]])
    want = {
        "grad_cam": [0 * 1 + 3 * 3, 0 * 2 + 3 * 0],  # alpha = mean g = 0, 3
        "hires_cam": [1 * 1 + 2 * 3, -1 * 2 + 4 * 0],
        "layer_cam": [1 * 1 + 2 * 3, 0 * 2 + 4 * 0],
        "grad_cam_element_wise": [1 + 6, 0],
        "x_grad_cam": [-1 / 3 * 1 + 2 * 3, -1 / 3 * 2],  # w = (1 - 2) / (1 + 2), (6 + 0) / 3
        "respond_cam": [-1 / 3 * 1 + 2 * 3, -1 / 3 * 2],
        # a = 1 / (2 + 3) where g = 1; sum A = 3 in both channels: 4 / (8 + 24), 16 / (32 + 192)
        "grad_cam_plus_plus": [1 / 5 * 1 + (2 / 8 + 4 / 14) * 3, 1 / 5 * 2],
        # y = 1 - 2 + 6 + 0 = 5; without channel 0: 6, without channel 1: -1
        "ablation_cam": [(5 - 6) / 5 * 1 + (5 + 1) / 5 * 3, (5 - 6) / 5 * 2],
    }
    for name, values in want.items():
        found = getattr(explain, name)(Weighted(weight), x, target=1, layer="act")
        torch.testing.assert_close(found, torch.tensor([values], dtype=torch.float32), rtol=1e-5, atol=1e-5, msg=name)
    # masks: channel 0 normalised to (0, 1), channel 1 to (1, 0); s = score of x times each = -2, 1 + 6
    soft = torch.tensor([-2.0, 7.0]).softmax(0)
    found = explain.score_cam(Weighted(weight), x, target=1, layer="act")
    torch.testing.assert_close(found, torch.stack([soft[0] + 3 * soft[1], 2 * soft[0]])[None])


def test_input_methods_by_hand() -> None:
    """``y = relu(x0) w0 + relu(x1) w1`` whose negative weights stop guided backpropagation."""
    x, weight = torch.tensor([[[1.0, -2.0], [3.0, 4.0]]]), torch.tensor([[[5.0, 6.0], [-7.0, 8.0]]])
    network = Weighted(weight)
    gradient = explain.input_gradient(network, x, target=0, keep_channels=True)
    torch.testing.assert_close(gradient, torch.tensor([[[5.0, 0.0], [-7.0, 8.0]]]))
    torch.testing.assert_close(explain.input_gradient(network, x, target=0), gradient.sum(1))
    guided = explain.guided_backpropagation(network, x, target=0, keep_channels=True)
    torch.testing.assert_close(guided, torch.tensor([[[5.0, 0.0], [0.0, 8.0]]]))
    # position by position, covered with 0: the score falls by relu(x) w of both channels
    fall = explain.occlusion(network, x, target=0, window=1, fill=0.0)
    torch.testing.assert_close(fall, torch.tensor([[5.0 - 21.0, 32.0]]))
    whole = explain.occlusion(network, x, target=0, window=2, fill=0.0, resize=False)
    torch.testing.assert_close(whole, torch.tensor([[16.0]]))
    # the means of the channels are -0.5 and 3.5
    half = explain.occlusion(network, x, target=0, window=1)
    torch.testing.assert_close(half, torch.tensor([[5.0 - 7.0 * 3 + 7.0 * 3.5, 8.0 * 0.5]]))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", OF_A_CLASS)
def test_the_planted_evidence_is_found(name, dims) -> None:
    """Each class's box, in each picture, on the picture's own grid; the boxes lie apart."""
    network, (x, masks) = PlantedNetwork(dims), planted(dims)
    layers = {} if name in ("cam", *INPUT) else {"layer": "relu"}
    if name == "occlusion":
        layers = {"window": 3, "stride": 1 if dims == 1 else 2}
    for classes in ([0, 0], [1, 0]):
        maps = getattr(explain, name)(network, x, target=classes, **layers)
        assert maps.shape == (2, *SIZES[dims])
        for item, number in enumerate(classes):
            found = maps[item].abs() if name == "eigen_grad_cam" else maps[item]  # whose sign is arbitrary
            assert explain.faithfulness.pointing_game(found, masks[item, number]), (item, number)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["grad_cam", "respond_cam", "hires_cam", "input_gradient", "guided_grad_cam", "occlusion"]
)
def test_a_counterfactual_shows_what_speaks_against(name, dims) -> None:
    """The other channel's box, by the negative weight that it has."""
    network, (x, masks) = PlantedNetwork(dims), planted(dims, 1)
    layers = {"layer": "relu"} if name in GRADIENT else {}
    found = getattr(explain, name)(network, x, target=explain.counterfactual(0), **layers)
    assert explain.faithfulness.energy_inside(found[0], masks[0, 1]) > 0.5
    assert explain.faithfulness.energy_inside(found[0], masks[0, 0]) < 0.1


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_cam_is_grad_cam_times_positions(dims) -> None:
    """Sheets 13 and 14: for global average pooling and a linear layer alpha = w / Z; the map's mean is the score."""
    network, (x, _) = PlantedNetwork(dims), planted(dims)
    nn.init.constant_(network.fc.bias, 0.7)
    maps = explain.cam(network, x, target=1, resize=False)
    plain = explain.grad_cam(network, x, target=1, layer="relu", resize=False)
    torch.testing.assert_close(maps, plain * plain[0].numel(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.flatten(1).mean(1) + 0.7, network(x)[:, 1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(explain.cam(network, x, target=1, layer="relu"), maps)
    torch.testing.assert_close(explain.cam(Functional(dims), x, target=1), maps)
    torch.testing.assert_close(explain.cam(nn.Sequential(network, nn.Softmax(1)), x, target=1), maps)


def test_cam_of_scores_that_are_means_of_maps() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(2, 1, 7, 6)
    torch.testing.assert_close(explain.cam(network, x, target=[2, 0], resize=False), network[0](x)[[0, 1], [2, 0]])


def test_cam_of_a_function_is_refused() -> None:
    with pytest.raises(InputError, match=r"^cam: target must be a class, whose weights are taken, got a function\."):
        explain.cam(PlantedNetwork(2), planted(2)[0], target=lambda output: output[0, 0])


@pytest.mark.parametrize(
    "network",
    [
        cnn_1(2, bias=True),
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 2)),
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Linear(4, 2)),
    ],
)
def test_cam_of_other_networks_is_refused(network) -> None:
    message = (
        "cam: the network must end in global average pooling and one linear layer, this one does not. Use grad_cam, "
        "which needs neither."
    )
    with pytest.raises(InputError) as error:
        explain.cam(network, torch.randn(1, 1, 8, 8), target=0)
    assert str(error.value) == message


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_respond_cam_sums_to_the_score(dims, seed) -> None:
    """Sheet 15: exactly without biases behind the layer, up to beta with them, and far closer than Grad-CAM."""
    x = torch.randn(4, 1, *[8] * dims, generator=torch.Generator().manual_seed(seed))
    bare, biased = (cnn_1(dims, bias, seed) for bias in (False, True))
    result = explain.faithfulness.sum_to_score(bare, x, method=explain.respond_cam, layer="features")
    torch.testing.assert_close(result.scores, bare(x).detach())
    assert ((result.sums - result.scores).abs() <= 1e-4 * result.scores.abs().clamp_min(1)).all()
    assert result.kendall_tau == pytest.approx([1.0] * 4)
    sums = explain.respond_cam(biased, x, target=5, layer="features", resize=False).flatten(1).sum(1)
    part, beta = score_parts(biased, x, target=5, layer="features")
    torch.testing.assert_close(part, sums, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sums + beta, biased(x)[:, 5].detach(), rtol=1e-4, atol=1e-5)
    plain = explain.faithfulness.sum_to_score(bare, x, method=explain.grad_cam, layer="features")
    assert (plain.l1 > 1e3 * result.l1).all()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in ALL if name != "cam"])
def test_segmentation_of_odd_sizes(name, dims) -> None:
    torch.manual_seed(0)
    network, space = Segmenter(dims).eval(), SIZES[dims]
    x = torch.randn(2, 2, *space)
    region = torch.zeros(space, dtype=torch.bool)
    region[(slice(3, 6),) * dims] = True
    maps = getattr(explain, name)(network, x, target=explain.class_in_region(2, region))
    assert maps.shape == (2, *space)
    assert maps.isfinite().all()
    if name in ("hires_cam", "input_gradient"):
        near = torch.zeros(space, dtype=torch.bool)
        near[(slice(1, 8),) * dims] = True  # what convolutions of 3 and 3 voxels can see of the region
        assert maps[0][near].any()
        assert not maps[0][~near].any()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_ways_of_writing_a_relu_do_not_matter(dims) -> None:
    x, _ = planted(dims)
    networks = [PlantedNetwork(dims), PlantedNetwork(dims, in_place=True), Functional(dims)]
    for name in (*GRADIENT, *PERTURBED, "eigen_cam", "guided_grad_cam", "guided_backpropagation"):
        layers = {} if name == "guided_backpropagation" else {"layer": "conv"}
        maps = [getattr(explain, name)(network, x, target=1, **layers) for network in networks]
        torch.testing.assert_close(maps[1], maps[0], msg=name)
        torch.testing.assert_close(maps[2], maps[0], msg=name)
    behind = [explain.grad_cam(network, x, target=1, layer="relu") for network in networks[:2]]
    torch.testing.assert_close(*behind)


@pytest.mark.parametrize("name", ["score_cam", "ablation_cam", "occlusion"])
def test_chunks_do_not_matter(name) -> None:
    network, (x, _) = Segmenter(2).eval(), planted(2)
    one, other = (getattr(explain, name)(network, x, target=1, batch=batch) for batch in (1, 7))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_ablation_to_zero_is_the_papers() -> None:
    network, (x, _) = PlantedNetwork(2), planted(2, 1)
    low, zero = (explain.ablation_cam(network, x, target=0, layer="conv", fill=fill) for fill in (None, 0.0))
    torch.testing.assert_close(low, zero)  # a ReLU follows: both are nothing to it
    torch.manual_seed(0)
    bare = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    # y = mean of its own map: without it nothing is left, without the others all
    found = explain.ablation_cam(bare, x, target=2, layer="0", fill=0.0, resize=False)
    torch.testing.assert_close(found[0], bare[0](x)[0, 2])


def test_maps_of_attention() -> None:
    network = nn.Sequential(nn.AvgPool2d(2), SpatialSqueezeExcitation(2), NonLocal(2, spatial_dims=2))
    x = torch.randn(2, 2, 10, 14)
    with torch.no_grad(), saccade.record(network) as maps:
        network(x)
    spatial = explain.attention_maps(network, x, layer="1.map", resize=False)
    torch.testing.assert_close(spatial, maps["1.map"].tensor[:, 0])
    pairs = explain.attention_maps(network, x, layer="2.map", resize=False)
    assert pairs.shape == (2, 5, 7)
    # each query shares out 1 among all positions: what they get is 1 / 35 on average
    torch.testing.assert_close(pairs.flatten(1).mean(1), torch.full((2,), 1 / 35))
    assert explain.attention_maps(network, x).shape == (2, 10, 14)
    with pytest.raises(InputError, match=r"^attention_maps: unknown map '3'. .*Known: 1.map, 2.map"):
        explain.attention_maps(network, x, layer="3")
    with pytest.raises(InputError, match=r"^attention_maps: Conv2d has no attention over positions"):
        explain.attention_maps(nn.Conv2d(2, 1, 1), x)
    finer = nn.Sequential(SpatialSqueezeExcitation(2), network)
    with pytest.raises(InputError, match=r"^attention_maps: maps on several grids cannot be averaged"):
        explain.attention_maps(finer, x, resize=False)


def test_the_last_convolution() -> None:
    from saccade.explain.layers import last_convolution

    x = torch.randn(1, 2, 9, 9)
    assert last_convolution(Segmenter(2), x, "t")[0] == "body.2"
    assert last_convolution(PlantedNetwork(2), x, "t")[0] == "conv"

    class Backwards(nn.Module):
        """Runs its parts in another order than it holds them, and pools to one position before the end."""

        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.squeeze = nn.Conv2d(3, 4, 3), nn.Conv2d(2, 3, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            y = self.last(self.first(x))
            return (y * self.squeeze(y.mean((2, 3), keepdim=True))).sum((2, 3))

    network = Backwards()
    assert last_convolution(network, x, "t") == ("last", network.last)
    named = explain.grad_cam(network, x, target=2, layer="last")
    torch.testing.assert_close(explain.grad_cam(network, x, target=2), named)
    torch.testing.assert_close(explain.grad_cam(network, x, target=2, layer=network.last), named)
    assert explain.layer_names(network) == ["last", "first", "squeeze"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("con*", "grad_cam: layer 'con*' names one layer, patterns are not taken. Layers: conv, fc, relu, pool."),
        ("covn", "grad_cam: layer 'covn' is no layer of the network. Layers: conv, fc, relu, pool."),
        (nn.Conv2d(1, 1, 1), "grad_cam: layer must be a module of the network, got another Conv2d."),
        ("fc", "grad_cam: layer 'fc' must give feature maps (b, k, *grid) with 2 spatial axes for each of the 2 items, "
               "it gives (2, 2)."),
    ],
)  # fmt: skip
def test_layers_that_are_none(layer, message) -> None:
    with pytest.raises(InputError) as error:
        explain.grad_cam(PlantedNetwork(2), planted(2)[0], target=0, layer=layer)
    told = str(error.value)
    assert told.split("Layers:")[0] == message.split("Layers:")[0]
    assert sorted(told.split("Layers: ")[-1].rstrip(".").split(", ")) == sorted(
        message.split("Layers: ")[-1].rstrip(".").split(", ")
    )


def test_networks_and_options_that_do_not_fit() -> None:
    x = planted(2)[0]
    linear = nn.Sequential(nn.Flatten(), nn.Linear(2 * 19 * 23, 2))
    with pytest.raises(
        InputError, match=r"^grad_cam: no convolution over 2 axes runs in this network\. Use input_gradient.*0, 1\.$"
    ):
        explain.grad_cam(linear, x, target=0)
    with pytest.raises(InputError, match=r"^guided_backpropagation: the network must have ReLUs, none runs"):
        explain.guided_backpropagation(linear, x, target=0)
    with pytest.raises(InputError, match=r"^occlusion: layer must be left out, .* got 'conv'\.$"):
        explain.occlusion(PlantedNetwork(2), x, target=0, layer="conv")
    with pytest.raises(InputError, match=r"^occlusion: stride must be from 1 to \(3, 3\) along the axes, got 4\.$"):
        explain.occlusion(PlantedNetwork(2), x, target=0, stride=4)
    with pytest.raises(InputError, match=r"^score_cam: batch must be at least 1, got 0\.$"):
        explain.score_cam(PlantedNetwork(2), x, target=0, batch=0)
    with pytest.raises(InputError, match=r"^ablation_cam: the score must not be 0"):
        explain.ablation_cam(PlantedNetwork(2), torch.zeros_like(x), target=0)
    unused = PlantedNetwork(2)
    unused.spare = CONV[2](2, 2, 1)
    with pytest.raises(InputError, match=r"^grad_cam: layer 'spare' does not run when the network does"):
        explain.grad_cam(unused, x, target=0, layer="spare")


def test_boxes() -> None:
    map_ = np.zeros((7, 11))
    map_[1:4, 2:7], map_[5, 9], map_[6, 0] = 0.5, 1.0, 0.19
    assert explain.box_of_map(map_) == ((1, 4), (2, 7))  # the largest part, though it is not the highest
    assert explain.box_of_map(map_, threshold=0.6) == ((5, 6), (9, 10))
    assert explain.box_of_map(-map_) is None
    truth = explain.box_of_mask(map_ == 0.5)
    assert truth == ((1, 4), (2, 7))
    assert explain.box_overlap(truth, ((1, 4), (2, 7))) == 1
    assert explain.box_overlap(truth, ((2, 5), (2, 7))) == pytest.approx(10 / 20)
    assert explain.box_overlap(truth, None) == 0
    for dims in (1, 2, 3):  # the planted box itself
        network, (x, masks) = PlantedNetwork(dims), planted(dims, 1)
        box = explain.box_of_map(explain.cam(network, x, target=0)[0])
        assert explain.box_overlap(box, explain.box_of_mask(masks[0, 0])) >= 0.5
