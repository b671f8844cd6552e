"""CNN-1 and CNN-2 of Respond-CAM: layers and parameters as published, and what they refuse."""

import pytest
import torch

from saccade import explain
from saccade.errors import InputError
from saccade.networks import TomogramCNN

SMALL = {"channels": (2, 3, 4, 5), "hidden": (7, 6)}


def test_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = TomogramCNN(1, 23)
    convolutions = sum(p.numel() for name, p in network.named_parameters() if name.startswith("conv"))
    linear = [sum(p.numel() for p in network.head[number].parameters()) for number in (1, 3, 5)]
    assert (convolutions, linear) == (194_592, [32_768_512, 262_656, 11_799])


@pytest.mark.parametrize("size", [(16, 13, 9), (15, 9), (11,)])
@pytest.mark.parametrize("prepool", [False, True])
def test_grids_are_those_of_the_paper_in_any_dimension(size, prepool) -> None:
    network = TomogramCNN(2, 5, size=size, prepool=prepool, **SMALL).eval()
    x = torch.randn(3, 2, *size)
    assert network(x).shape == (3, 5)
    # CNN-2 halves first, what is left over is a cell of its own; then each pooling drops what is left over
    want = [(-(-n // 2) if prepool else n) // 2 // 2 for n in size]
    assert explain.grad_cam(network, x, target=1, layer="pool2", resize=False).shape == (3, *want)


def test_a_mean_over_what_is_left_over_is_a_mean() -> None:
    network = TomogramCNN(1, 2, size=(9,), prepool=True, **SMALL)
    assert network.prepool(torch.tensor([[[1.0, 3, 5, 7, 9, 11, 13, 15, 17]]])).tolist() == [[[2, 6, 10, 14, 17]]]


@pytest.mark.parametrize("prepool", [False, True])
def test_without_biases_the_map_sums_to_the_score(prepool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 1, 12, 12, 12)
    for bias in (False, True):
        network = TomogramCNN(1, 4, size=(12, 12, 12), prepool=prepool, bias=bias, **SMALL)
        for parameter in network.parameters():
            if parameter.ndim == 1:  # biases begin at 0
                torch.nn.init.constant_(parameter, 0.1)
        total = explain.respond_cam(network, x, target=3, layer="pool2", resize=False).flatten(1).sum(1)
        assert torch.allclose(total, network(x)[:, 3].detach(), atol=1e-5) is not bias


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (3, 9, 9)}, "TomogramCNN: size must be at least 4 along each axis, got (3, 9, 9)."),
        ({"size": (6, 9), "prepool": True}, "TomogramCNN: size must be at least 7 along each axis, got (6, 9)."),
        ({"size": (9,) * 4}, "TomogramCNN: spatial_dims must be 1, 2 or 3, got 4."),
        ({"channels": (2, 3)}, "TomogramCNN: channels must be four numbers and hidden two, got 2 and 2."),
        ({"hidden": (2, 0)}, "TomogramCNN: hidden must be at least 1, got 2, 0."),
    ],
)
def test_settings_that_do_not_fit(changes, message) -> None:
    with pytest.raises(InputError) as error:
        TomogramCNN(1, 2, **{"size": (9, 9, 9), **SMALL, **changes})
    assert str(error.value) == message


def test_inputs_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"^TomogramCNN: inputs must have size \(9, 8\), got \(8, 9\)\.$"):
        TomogramCNN(1, 2, size=(9, 8), **SMALL)(torch.zeros(1, 1, 8, 9))
