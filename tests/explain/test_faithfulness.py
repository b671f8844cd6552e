"""Measures of faithfulness by hand, and verdicts on maps of planted evidence that are known to be right or wrong."""

import math

import numpy as np
import pytest
import torch
from planted import PlantedNetwork, cnn_1, planted
from torch import nn

from saccade import explain
from saccade.errors import InputError
from saccade.explain import faithfulness
from saccade.explain.faithfulness.similarity import similarity


class Line(nn.Module):
    """The score is the sum of x, position by position weighted."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return (x[:, 0] * self.weight).sum(1, keepdim=True)


def test_curves_by_hand() -> None:
    network, x = Line([1.0, 3.0, 0.0, 2.0]), torch.ones(1, 1, 4)
    maps = torch.tensor([[1.0, 3.0, 0.0, 2.0]])
    removed = faithfulness.deletion(network, x, maps, target=0, steps=4, fill=0.0)
    torch.testing.assert_close(removed.scores, torch.tensor([[6.0, 3.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(removed.fractions, torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    torch.testing.assert_close(removed.auc, torch.tensor([(6 / 2 + 3 + 1) / 4]))
    shown = faithfulness.insertion(network, x, maps, target=0, steps=2, fill=0.0, batch=1)
    torch.testing.assert_close(shown.scores, torch.tensor([[0.0, 5.0, 6.0]]))
    worst = faithfulness.deletion(network, x, -maps, target=0, steps=4, fill=0.0)
    torch.testing.assert_close(worst.scores, torch.tensor([[6.0, 6.0, 5.0, 3.0, 0.0]]))
    with pytest.raises(InputError, match=r"^deletion: maps must lie on the input's grid, \(1, 4\), got \(1, 2\)"):
        faithfulness.deletion(network, x, maps[:, :2], target=0)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_curves_of_planted_evidence(dims) -> None:
    """Covering the evidence, 5 voxels wide, removes the score at once; covering what lies elsewhere leaves it."""
    network, (x, masks) = PlantedNetwork(dims), planted(dims)
    share = masks[0, 0].float().mean().item()
    steps = math.floor(1 / share)  # the first step covers the mask, about
    right = faithfulness.deletion(network, x, masks[:, 0].float(), target=lambda out: out[0, 0], steps=steps, fill=0.0)
    assert (right.scores[:, 1] < 0).all()  # what is left speaks against it
    wrong = faithfulness.deletion(network, x, masks[:, 1].float(), target=0, steps=steps, fill=0.0)
    assert (wrong.scores[:, 1] > wrong.scores[:, 0]).all()
    assert (right.auc < wrong.auc).all()


def test_agreement_by_hand() -> None:
    map_, mask = np.zeros((5, 7)), np.zeros((5, 7), bool)
    mask[1, 1:3] = True
    map_[1, 2], map_[3, 5], map_[0, 0] = 1.0, 3.0, -9.0
    assert not faithfulness.pointing_game(map_, mask)
    # from (3, 5) to (1, 2): 2 rows of 2 mm, 3 columns of 1 mm
    assert faithfulness.pointing_game(map_, mask, tolerance_mm=5.0, spacing_mm=(2.0, 1.0))
    assert not faithfulness.pointing_game(map_, mask, tolerance_mm=4.9, spacing_mm=(2.0, 1.0))
    assert faithfulness.energy_inside(map_, mask) == 0.25
    found = faithfulness.agreement_mm(map_, mask, (2.0, 1.0))
    assert found is not None
    assert found.peak_mm == 5.0
    # centroid (2.5, 4.25), nearest voxel (2, 4); the mask's is (1, 1.5)
    assert found.centroid_mm == pytest.approx(math.hypot(1 * 2.0, 2.0))
    assert found.centres_mm == pytest.approx(math.hypot(1.5 * 2.0, 2.75))
    assert faithfulness.agreement_mm(-mask.astype(float), mask) is None
    assert not faithfulness.pointing_game(-mask.astype(float), mask)
    with pytest.raises(InputError, match=r"^pointing_game: the mask must hold at least one voxel"):
        faithfulness.pointing_game(map_, mask & False)
    with pytest.raises(
        InputError, match=r"^energy_inside: map and mask must have one shape, got \(5, 7\) and \(7, 5\)"
    ):
        faithfulness.energy_inside(map_, mask.T)


def test_sums_by_hand() -> None:
    sums = faithfulness.SumToScore(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[1.5, 2.0, 1.0]]))
    torch.testing.assert_close(sums.l1, torch.tensor([3.5 / 3]))
    # pairs (0,1) agree, (0,2) and (1,2) do not
    assert sums.kendall_tau == pytest.approx([(1 - 2) / 3])
    network, x = cnn_1(2, bias=True), torch.randn(3, 1, 8, 8)
    some = faithfulness.sum_to_score(network, x, method=explain.grad_cam, layer="features", classes=[1, 4])
    torch.testing.assert_close(some.scores, network(x)[:, [1, 4]].detach())
    assert some.sums.shape == (3, 2)


def test_similarity_by_hand() -> None:
    one = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    assert similarity(one, 5 * one**3) == pytest.approx([1.0])
    assert similarity(one, -one + 3) == pytest.approx([-1.0])
    assert similarity(one, -one) == [0.0]  # nowhere positive
    # what is negative is no evidence: ranks 1.5 1.5 3 4 and 1.5 1.5 4 3 -> deviations -1 -1 .5 1.5 and -1 -1 1.5 .5
    assert similarity(torch.tensor([[-1.0, -2, 3, 4]]), torch.tensor([[-2.0, -1, 4, 3]])) == pytest.approx([3.5 / 4.5])


def brightness(network, x, *, target, layer=None):
    """A map that looks right and has nothing to do with the network."""
    return x[:, 0].clone()


def other_class(network, x, *, target, layer=None):
    """A map of what the network did with something else."""
    return explain.grad_cam(network, x, target=1 - target, layer=layer)


def nothing(network, x, *, target, layer=None):
    return torch.zeros(len(x), *x.shape[2:])


def shaky(network, x, *, target, layer=None):
    """Another map for every input, however little it differs."""
    generator = torch.Generator().manual_seed(int(x.double().sum() * 1e6) % 2**31)
    return torch.rand(len(x), *x.shape[2:], generator=generator)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_verdicts_on_planted_evidence(dims) -> None:
    network, (x, masks) = PlantedNetwork(dims), planted(dims)
    for method, layer in [(explain.grad_cam, "relu"), (explain.hires_cam, None)]:
        good = faithfulness.verify(
            network, x, target=0, method=method, layer=layer, mask=masks[:, 0], spacing_mm=(2.0,) * dims
        )
        assert [verdict.faithful for verdict in good] == [True, True], [str(verdict) for verdict in good]
        assert all(verdict.measures["pointing"] for verdict in good)
        assert all(verdict.measures["peak to mask (mm)"] == 0 for verdict in good)
        assert all(verdict.measures["energy inside"] > 0.8 for verdict in good)


def test_verdicts_on_maps_that_are_wrong() -> None:
    network, (x, _) = PlantedNetwork(2), planted(2)
    for method, reason in [
        (brightness, "it survives randomising the weights (rank correlation 1.00)"),
        (other_class, "the score does not depend on what it marks"),
        (nothing, "it is the same everywhere"),
        (shaky, "a little noise changes it"),
    ]:
        bad = faithfulness.verify(network, x, target=0, method=method, layer=None)
        assert [verdict.faithful for verdict in bad] == [False, False], method
        assert all(any(r.startswith(reason) for r in verdict.reasons) for verdict in bad), (method, bad)
        assert str(bad[0]).startswith("not faithful: ")


def test_a_map_that_ignores_the_truth_can_still_be_faithful() -> None:
    """The network looks at channel 0; that an expert would have looked elsewhere is no fault of the map."""
    network, (x, masks) = PlantedNetwork(2), planted(2)
    verdicts = faithfulness.verify(network, x, target=0, method=explain.grad_cam, layer="relu", mask=masks[:, 1])
    assert [verdict.faithful for verdict in verdicts] == [True, True]
    assert not any(verdict.measures["pointing"] for verdict in verdicts)


def test_stages_of_randomisation() -> None:
    network, (x, _) = PlantedNetwork(2), planted(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = faithfulness.parameter_randomisation(
        network, x, target=0, method=explain.grad_cam, layer="relu", stages=2, draws=3
    )
    assert found.modules == ["fc", "conv"]
    assert [len(stage) for stage in found.similarity] == [2, 2]
    kept = faithfulness.parameter_randomisation(network, x, target=0, method=brightness, stages=9, draws=1)
    assert kept.modules == ["fc", "conv"]
    assert kept.similarity == [pytest.approx([1.0, 1.0])] * 2
    assert kept.survives == [True, True]
    # the pattern of the features alone does not see the classifier, only the first stage leaves it
    pattern = faithfulness.parameter_randomisation(network, x, target=0, method=explain.eigen_cam, stages=2, draws=3)
    assert pattern.similarity[0] == pytest.approx([1.0, 1.0])
    assert max(pattern.similarity[1]) < 0.99
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_stability() -> None:
    network, (x, _) = PlantedNetwork(2), planted(2)
    calm = faithfulness.stability(network, x, target=0, method=explain.grad_cam, layer="relu")
    assert min(calm) > 0.8
    wild = faithfulness.stability(network, x, target=0, method=explain.grad_cam, layer="relu", noise=50.0)
    assert max(wild) < min(calm)
    assert faithfulness.stability(network, x, target=0, method=shaky, noise=0.0) == pytest.approx([1.0, 1.0])
