"""Rows of the mechanisms in which every position looks at every other: non-local blocks and self-attention."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mechanism_row import Change, Mechanism, features

from saccade import attention


def non_local(pairwise: str, other: str) -> Mechanism:
    """The row of one form of the non-local block; ``other`` is another form."""
    return Mechanism(
        make=attention.NonLocal,
        arguments=lambda dims: {"channels": 6, "pairwise": pairwise, "spatial_dims": dims},
        inputs=features(6),
        changes={
            "channels": 7,
            "pairwise": other,
            "inner_channels": 5,
            "subsample": 2,
            "batch_norm": False,
            "scale": Change(True, {"pairwise": "gaussian"}),
            "pool_first": Change(True, {"subsample": 2}),
        },
        maps={"map": "pairwise"},
        bad=[
            ({"channels": 0}, r"NonLocal: channels must be at least 1, got 0\."),
            ({"inner_channels": 0}, r"NonLocal: inner_channels must be at least 1, got 0\."),
            ({"spatial_dims": 4}, r"NonLocal: spatial_dims must be 1, 2 or 3, got 4\."),
            ({"subsample": 0}, r"NonLocal: subsample must be a whole number of at least 1, or 1 of them, got 0\."),
            (
                {"pairwise": "gausian"},
                r"NonLocal: unknown pairwise 'gausian'\. Did you mean 'gaussian'\? "
                r"Known: embedded_gaussian, gaussian, dot_product, concatenation\.$",
            ),
            (
                {"pairwise": "dot_product", "scale": True},
                r"NonLocal: scale must go with a gaussian form, got pairwise='dot_product'\. Leave it out\.$",
            ),
            (
                {"pool_first": True},
                r"NonLocal: pool_first must go with subsample, got subsample=False\. Set subsample=True\.$",
            ),
        ],
    )


PAIRWISE: dict[str, Mechanism] = {
    "non-local-embedded-gaussian": non_local("embedded_gaussian", "dot_product"),
    "non-local-gaussian": non_local("gaussian", "embedded_gaussian"),
    "non-local-dot-product": non_local("dot_product", "embedded_gaussian"),
    "non-local-concatenation": non_local("concatenation", "dot_product"),
    "self-attention": Mechanism(
        make=attention.SelfAttention,
        arguments=lambda dims: {"channels": 6, "inner_channels": 2, "spatial_dims": dims},
        inputs=features(6),
        changes={
            "channels": 7,
            "inner_channels": 3,
            "value_channels": 5,
            "subsample": 2,
            "bias": False,
            "spectral_norm": True,
        },
        maps={"map": "pairwise"},
        bad=[
            ({"channels": 0}, r"SelfAttention: channels must be at least 1, got 0\.$"),
            ({"inner_channels": 0}, r"SelfAttention: inner_channels must be at least 1, got 0\.$"),
            ({"value_channels": 0}, r"SelfAttention: value_channels must be at least 1, got 0\.$"),
            ({"spatial_dims": 0}, r"SelfAttention: spatial_dims must be 1, 2 or 3, got 0\.$"),
            ({"subsample": (2, 2)}, r"SelfAttention: subsample must be .* or 1 of them, got \(2, 2\)\.$"),
        ],
    ),
}
