"""Counting the arithmetic of a pass, the fused attention of CPUs included."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_flops() -> FlopCounterMode:
    """PyTorch's counter of floating-point operations; a multiply-add counts as two.

    Matrix products, convolutions and attention count; additions, activations and normalisations do not.

    >>> with count_flops() as counter:
    ...     _ = torch.nn.Linear(3, 5)(torch.zeros(7, 3))
    >>> counter.get_total_flops()  # 2 x 7 x 3 x 5
    210
    """
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={fused: _attention_flops})


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """The two products of attention on CPUs, which PyTorch's counter leaves out; shapes are (b, heads, n, d)."""
    return int(2 * query[0] * query[1] * query[2] * key[2] * (query[3] + value[3]))
