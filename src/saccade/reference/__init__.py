"""Published classes by their own names: the equal Saccade module, with the published weights."""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from saccade.errors import InputError, unknown_name
from saccade.reference import (
    agn,
    ai_med,
    arctic_captions,
    attention_module,
    captioning_tutorial,
    ecanet,
    groundhog,
    monai,
    non_local_pytorch,
    pytorch,
    recurrent_attention,
    sagan,
    sca_cnn,
    self_attention_gan,
    senet_pytorch,
    subject2vec,
    timm,
    torchvision,
)
from saccade.reference.request import Request
from saccade.reference.translate import load, names

_REPOSITORIES: dict[str, ModuleType] = {
    "ozan-oktay/Attention-Gated-Networks": agn,
    "AlexHex7/Non-local_pytorch": non_local_pytorch,
    "BangguWu/ECANet": ecanet,
    "Jongchan/attention-module": attention_module,
    "Project-MONAI/MONAI": monai,
    "ai-med/squeeze_and_excitation": ai_med,
    "batmanlab/Subject2Vec": subject2vec,
    "brain-research/self-attention-gan": sagan,
    "heykeetae/Self-Attention-GAN": self_attention_gan,
    "moskomule/senet.pytorch": senet_pytorch,
    "zjuchenlong/sca-cnn.cvpr17": sca_cnn,
    "kelvinxu/arctic-captions": arctic_captions,
    "kevinzakka/recurrent-visual-attention": recurrent_attention,
    "pascanur/GroundHog": groundhog,
    "pytorch/pytorch": pytorch,
    "sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning": captioning_tutorial,
    "timm": timm,
    "torchvision": torchvision,
}

__all__ = ["from_reference", "load_reference", "reference_names"]


def from_reference(
    repository: str,
    class_name: str,
    arguments: Mapping[str, Any] | None,
    state_dict: Mapping[str, Tensor] | None = None,
    align_corners: bool = False,
) -> nn.Module:
    """The Saccade module equal to a published class, with its weights.

    Its forward takes the published class's inputs in their order and returns all its outputs.

    Args:
        repository: Where it was published, as ``owner/name`` on GitHub; or ``torchvision`` or ``timm``.
        class_name: The class, or the function, in that repository; where two files define it, or two versions of it
            exist, followed by a bracket that says which.
        arguments: Of the published constructor, by their names there; left out ones take the defaults there. None is
            the same as no arguments (functions have no constructor).
        state_dict: The published module's weights; None for a fresh start.
        align_corners: How linear interpolation aligns grids. Code for PyTorch before 0.4 meant True; the same code
            computes False today.

    Raises:
        InputError: For an unknown repository, class or argument, arguments that the published code cannot run with,
            and weights that do not fit; the message names what.

    >>> repository = "ozan-oktay/Attention-Gated-Networks"
    >>> net = from_reference(repository, "unet_CT_dsv_3D", {"n_classes": 4, "in_channels": 1})
    >>> sum(parameter.numel() for parameter in net.parameters())
    5888004
    """
    classes = _repository("from_reference", repository).CLASSES
    if class_name not in classes:
        raise unknown_name("from_reference", f"class of {repository}", class_name, sorted(classes))
    build, arguments = classes[class_name], arguments or {}
    known = list(inspect.signature(build).parameters)[1:]
    for name in arguments:
        if name not in known:
            raise unknown_name("from_reference", f"argument of {class_name}", name, known)
    try:
        inspect.signature(build).bind(None, **arguments)
    except TypeError as error:
        raise InputError(f"from_reference: {class_name}: {error}.") from error
    state_keys = None if state_dict is None else frozenset(state_dict)
    shapes = {key: tuple(value.shape) for key, value in (state_dict or {}).items()}
    module = build(Request(align_corners, state_keys, shapes), **arguments)
    return module if state_dict is None else load_reference(module, state_dict, repository)


def load_reference(module: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> nn.Module:
    """Copy published weights into a Saccade module of the same architecture, and give it back.

    Args:
        module: A network or part, as `from_reference`, a constructor or ``saccade.build`` made it.
        state_dict: The published module's weights, under the names there.
        source: The repository whose names they are, as ``owner/name``; or ``torchvision`` or ``timm``.

    Raises:
        InputError: For an unknown repository, and for keys left over, missing, or of another shape, by name.
    """
    published = _repository("load_reference", source)
    state = published.prepare(state_dict) if hasattr(published, "prepare") else state_dict
    return load(module, state, published.PARTS, source)


def reference_names(module: nn.Module, source: str) -> dict[str, str]:
    """Our name -> the published name of every parameter and buffer.

    Raises:
        InputError: For an unknown repository.
    """
    return names(module, _repository("reference_names", source).PARTS)


def _repository(who: str, repository: str) -> ModuleType:
    name = repository.split(" (")[0]  # a bracket behind the name is a remark: what the code is written in, say
    if name not in _REPOSITORIES:
        raise unknown_name(who, "repository", repository, list(_REPOSITORIES))
    return _REPOSITORIES[name]
