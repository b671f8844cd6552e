import csv

import pytest
import torch
from torch import nn

from saccade.errors import InputError
from saccade.runs import load
from saccade.tasks.classification.output import find_inputs
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.vectors import vectors_of, write_vectors


def test_scores_follow_from_the_vectors_of_the_table(classified, animals, tmp_path) -> None:
    predictor, cases = load(classified), find_inputs([animals])[:5]
    with write_vectors(predictor, cases, tmp_path).open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["case", *(f"v{number}" for number in range(1, len(header)))]
    assert [row[0] for row in rows] == [case.id for case in cases]
    vectors = torch.tensor([[float(value) for value in row[1:]] for row in rows])
    last = [part for part in predictor.network.modules() if isinstance(part, nn.Linear)][-1]
    scores = torch.tensor([found for _, _, found in predictor.predict_cases(cases)])
    torch.testing.assert_close(last(vectors), scores, atol=1e-4, rtol=1e-4)
    assert not any(part._forward_hooks for part in predictor.network.modules())


class Ending(nn.Module):
    """A network of convolutions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


def test_a_network_without_a_last_linear_layer_makes_none(classified) -> None:
    config = load(classified).config
    message = "predict: resnet does not end in a linear layer and makes no vectors; leave --vectors out."
    for network in (Ending(), nn.Sequential(nn.Flatten(), nn.Linear(9, 2), nn.Tanh())):
        with pytest.raises(InputError) as error:
            vectors_of(ClassificationPredictor(network, config), torch.zeros(2, 1, 3, 3))
        assert str(error.value) == message
