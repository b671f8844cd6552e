import pytest
import torch

from saccade.attention import ConcurrentSqueezeExcitation, record

TOGETHER = {
    "max": lambda a, b: torch.where(a > b, a, b),
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "concatenate": lambda a, b: torch.cat([a, b], 1),
}


@pytest.mark.parametrize("aggregation", list(TOGETHER))
@pytest.mark.parametrize("space", [(11,), (7, 11), (5, 7, 3)], ids=str)
def test_output_is_the_input_times_both_recorded_maps_put_together(aggregation, space):
    layer, x = ConcurrentSqueezeExcitation(6, aggregation=aggregation), torch.randn(2, 6, *space)
    with record(layer) as maps:
        y = layer(x)
    channel = maps["channel.map"].tensor.reshape(2, 6, *[1] * len(space))
    torch.testing.assert_close(y, TOGETHER[aggregation](x * channel, x * maps["spatial.map"].tensor))


@pytest.mark.parametrize(("aggregation", "factor"), [("max", 0.5), ("add", 1.0)])
def test_zero_weights_scale_by_a_known_factor(aggregation, factor):
    layer, x = ConcurrentSqueezeExcitation(6, aggregation=aggregation), torch.randn(2, 6, 7, 11)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(x), factor * x)


def test_number_of_weights_at_the_papers_reduction():
    # C^2 + 1.5 C of the channel part at r = 2, C + 1 of the spatial part.
    assert sum(p.numel() for p in ConcurrentSqueezeExcitation(8).parameters()) == 64 + 12 + 9
