import torch

from saccade.losses import attention_spread, subject_loss

MASK = torch.tensor([[True, True, False], [True, False, False]])
WEIGHTS = torch.tensor([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])


def test_the_spread_is_over_the_patches_that_exist():
    want = torch.tensor([0.2501, 0.7501]).log().sum(), torch.tensor(1.0001).log()
    torch.testing.assert_close(attention_spread(WEIGHTS, MASK), torch.stack(want))
    even, sharp = torch.full((1, 4), 0.25), torch.tensor([[0.97, 0.01, 0.01, 0.01]])
    every = torch.ones(1, 4, dtype=torch.bool)
    assert attention_spread(even, every) > attention_spread(sharp, every)


def test_the_three_terms_by_hand():
    patches = torch.zeros(2, 3, 1, 2)
    patches[~MASK] = 100  # padding
    reconstruction = torch.tensor([1.0, 0.0, 2.0]).reshape(3, 1, 1).expand(3, 1, 2)  # mean square 5 / 3
    task, spread = torch.tensor(0.5), attention_spread(WEIGHTS, MASK).mean()
    loss = subject_loss(task, patches, reconstruction, WEIGHTS, MASK)
    torch.testing.assert_close(loss, 0.5 + 10 * 5 / 3 + 1e-4 * spread)
    loss = subject_loss(task, patches, reconstruction, WEIGHTS, MASK, reconstruction_weight=3.0, spread_weight=0.5)
    torch.testing.assert_close(loss, 0.5 + 3 * 5 / 3 + 0.5 * spread)
