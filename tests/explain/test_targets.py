"""What can be explained: classes, counterfactuals, regions, elements of any output."""

import pytest
import torch
from planted import PlantedNetwork, Segmenter, planted
from torch import nn

from saccade.errors import InputError
from saccade.explain import class_in_region, counterfactual, grad_cam, output_element, score_cam, top_classes
from saccade.explain.targets import Score


def test_one_for_all_or_one_for_each() -> None:
    network, (x, _) = PlantedNetwork(2), planted(2)
    each = grad_cam(network, x, target=[1, 0])
    torch.testing.assert_close(each[0], grad_cam(network, x[:1], target=1)[0])
    torch.testing.assert_close(each[1], grad_cam(network, x[1:], target=0)[0])
    for same in (torch.tensor([1, 0]), torch.tensor([1, 0]).numpy(), [lambda out: out[:, 1], lambda out: out[0, 0]]):
        torch.testing.assert_close(grad_cam(network, x, target=same), each)
        torch.testing.assert_close(score_cam(network, x, target=same), score_cam(network, x, target=[1, 0]))
    torch.testing.assert_close(grad_cam(network, x, target=counterfactual([1, 0])), -each)
    torch.testing.assert_close(
        grad_cam(network, x, target=counterfactual(lambda out: -out[0, 1])), grad_cam(network, x, target=1)
    )


def test_outputs_that_are_no_scores() -> None:
    class Captioner(nn.Module):
        """Gives words (b, steps, vocabulary) and, in a dict, boxes."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = PlantedNetwork(2)

        def forward(self, x):
            scores = self.inner(x)
            return {"words": torch.stack([scores, 2 * scores], 1), "step": 3}

    network, (x, _) = Captioner(), planted(2)
    want = 2 * grad_cam(network.inner, x, target=1)
    torch.testing.assert_close(grad_cam(network, x, target=output_element(1, 1, part="words")), want)
    torch.testing.assert_close(grad_cam(network, x, target=lambda out: out["words"][0, 1, 1]), want)
    regression = nn.Sequential(network.inner, nn.Linear(2, 1), nn.Flatten(0))
    assert regression(x).shape == (2,)
    torch.testing.assert_close(grad_cam(regression, x, target=0), grad_cam(regression[:2], x, target=output_element(0)))


def test_a_class_in_a_region() -> None:
    network, x = Segmenter(2).eval(), torch.randn(2, 2, 7, 5)
    region = torch.zeros(7, 5, dtype=torch.bool)
    region[2, 3] = True
    score = Score(class_in_region(1, region), 2, "t")
    torch.testing.assert_close(score(network(x)), network(x)[:, 1, 2, 3])
    torch.testing.assert_close(Score(1, 2, "t")(network(x)), network(x)[:, 1].flatten(1).sum(1))
    with pytest.raises(
        InputError, match=r"^class_in_region: the region must have the output's shape \(7, 5\), got \(5, 7\)"
    ):
        grad_cam(network, x, target=class_in_region(1, region.T))
    with pytest.raises(InputError, match=r"^class_in_region: the region must hold at least one position"):
        class_in_region(1, region & False)


def test_top_classes() -> None:
    network, (x, _) = PlantedNetwork(3), planted(3, 1)
    x[:, 1] *= 2
    assert top_classes(network, x, k=2) == [1, 0]
    with pytest.raises(InputError, match=r"^top_classes: k must be from 1 to 2, the number of classes, got 5"):
        top_classes(network, x)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (2, "grad_cam: target must be a class from 0 to 1, got 2."),
        (-1, "grad_cam: target must be a class from 0 to 1, got -1."),
        ([0], "grad_cam: target must be one for all items or a list with one for each of the 2 items, got 1."),
        (lambda out: out, "grad_cam: target must give one number per item, got shape (1, 2)."),
        (lambda out: 1.0, "grad_cam: target does not depend on layer 'conv' in a differentiable way."),
        (lambda out: out.argmax(), "grad_cam: target does not depend on layer 'conv' in a differentiable way."),
        (output_element(0, 3), "output_element: the output has no element (0, 3) (too many indices"),
        (output_element(0, part="a"), "output_element: the output has no element (0,) in part 'a' ("),
        (output_element(), "output_element: () must lead to one number, it leads to (2,)."),
        (True, "grad_cam: target must be a class number, a function of the network's output, or a list with one for "
               "each item, got bool."),
    ],
)  # fmt: skip
def test_targets_that_are_none(target, message) -> None:
    with pytest.raises(InputError) as error:
        grad_cam(PlantedNetwork(2), planted(2)[0], target=target)
    assert str(error.value).startswith(message)


def test_a_class_of_an_output_that_is_no_tensor() -> None:
    class Pair(PlantedNetwork):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(InputError, match=r"^grad_cam: a class as target needs a network that gives one tensor"):
        grad_cam(Pair(2), planted(2)[0], target=0)
    torch.testing.assert_close(
        grad_cam(Pair(2), planted(2)[0], target=output_element(0, part=0)),
        grad_cam(PlantedNetwork(2), planted(2)[0], target=0),
    )
