"""zjuchenlong/sca-cnn.cvpr17, the authors' code of SCA-CNN: the attention in one step of lstm_cond_layer.

It is written for Theano and has no class; the names of weights are those of its dictionary of parameters. The builder
takes no arguments of its own: all sizes are those of the weights.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from saccade.attention.sca import SCA
from saccade.errors import InputError
from saccade.reference.request import Request


def step(request: Request) -> nn.Module:
    shapes = request.state_shapes
    if len(shapes.get("Wc_att_2", ())) != 2:
        raise InputError("from_reference: lstm_cond_layer: sizes are read off the weights, which must have Wc_att_2.")
    channels, inner = shapes["Wc_att_2"]
    hidden = shapes["Wd_att_2"][0] if "Wd_att_2" in shapes else None
    return SCA(channels, inner_channels=inner, hidden_size=hidden)


CLASSES: dict[str, Callable[..., nn.Module]] = {"lstm_cond_layer._step (res5c_branch2b layer)": step}


def _names(module: Any) -> dict[str, str]:
    places = {
        "weight": "Wc_att",
        "bias": "b_att",
        "hidden_weight": "Wd_att",
        "out_weight": "U_att",
        "out_bias": "c_att",
    }
    return {
        f"{part}.{ours}": f"{theirs}_{number}"
        for number, part in enumerate(("channel", "spatial"), start=1)
        for ours, theirs in places.items()
        if module.hidden_size is not None or ours != "hidden_weight"
    }


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {SCA: _names}
