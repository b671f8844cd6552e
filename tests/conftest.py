"""What all tests share."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tensors in tests are small: more threads only wait for each other, above all beside other processes."""
    torch.set_num_threads(1)
