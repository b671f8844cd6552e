import pytest
import torch
from torch import nn

from saccade import record
from saccade.networks import LeNet, Localisation, STNClassifier


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_new_network_sees_its_input_as_it_is(dims):
    network = STNClassifier(1, 3, spatial_dims=dims, classifier=LeNet(1, 3, spatial_dims=dims, channels=(2, 3, 4)))
    x = torch.randn(2, 1, *(32, 33, 35)[:dims])
    with record(network) as seen:
        y = network(x)
    torch.testing.assert_close(y, network.classifier(x), rtol=1e-4, atol=1e-5)
    assert seen["transformer.map"].kind == "transform"
    assert seen["transformer.map"].tensor.shape == (2, *x.shape[2:], dims)


def test_the_classes_teach_where_to_look():
    network = STNClassifier(1, 3, size=(28, 28))
    x = torch.randn(4, 1, 40, 44)
    for _ in range(2):  # in the first step the last layer of the localisation is zero, and passes nothing on
        network.zero_grad()
        nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 2, 0])).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
    assert network.transformer.localisation.layers[1].weight.grad.abs().max() > 0
    y, plain = network(x), network.classifier(nn.functional.interpolate(x, (28, 28)))
    assert (y - plain).abs().max() > 1e-6


def test_the_localisation_of_the_demonstration():
    part = Localisation(1)
    x = torch.randn(2, 1, 32, 32)
    assert part.layers[:6](x).shape == (2, 20, 2, 2)  # the mean over a grid of 2 changes nothing here
    assert [layer.in_features for layer in part.layers if isinstance(layer, nn.Linear)] == [80]
    assert part(torch.randn(2, 1, 28, 61)).shape == (2, 20)
    own = Localisation(3, spatial_dims=1, channels=4, features=5, grid=3)
    assert own(torch.randn(2, 3, 40)).shape == (2, 5)
    assert own.layers[8].weight.shape == (5, 12)


def test_small_inputs_stand_in_a_field_of_28():
    part, x = Localisation(1), torch.randn(2, 1, 13, 40)
    torch.testing.assert_close(part(x), part(nn.functional.pad(x, (0, 0, 7, 8))))
    network = STNClassifier(1, 3, size=(9, 11))
    assert network(torch.randn(2, 1, 13, 11)).shape == (2, 3)


def test_every_setting_of_the_transformer_is_handed_on():
    network = STNClassifier(1, 3, size=(30, 28), transform="attention", padding="border")
    part = network.transformer
    assert (part.size, part.transform, part.padding, part.spatial_dims) == ((30, 28), "attention", "border", 2)
    assert part.head.weight.shape == (3, 20)
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 20))
    assert STNClassifier(1, 3, localisation=own).transformer.localisation is own
    assert STNClassifier(1, 3, localisation=own)(torch.randn(2, 1, 8, 8)).shape == (2, 3)


def test_an_unknown_transform_is_named():
    with pytest.raises(ValueError, match=r"^SpatialTransformer: unknown transform 'afine'\. Did you mean 'affine'\?"):
        STNClassifier(1, 3, transform="afine")
