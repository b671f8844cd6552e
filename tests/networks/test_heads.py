import torch

from saccade.networks.heads import mean_of_softmaxes


def test_the_softmax_of_what_comes_out_is_the_mean_of_the_softmaxes():
    heads = [torch.randn(4, 3) for _ in range(3)]
    want = torch.stack([head.softmax(1) for head in heads]).mean(0)
    torch.testing.assert_close(mean_of_softmaxes(heads).softmax(1), want)
    torch.testing.assert_close(mean_of_softmaxes(heads).exp(), want)
    assert mean_of_softmaxes([torch.tensor([[1e4, -1e4]])] * 2).isfinite().all()
