"""Names of a published class's weights, told part by part, and loading by them."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from saccade.errors import InputError

# For a type of ours: its parts that hold weights, and own weights, by our name -> by the published name.
Parts = Mapping[type[nn.Module], Callable[[nn.Module], Mapping[str, str]]]


def names(module: nn.Module, parts: Parts) -> dict[str, str]:
    """Our name -> the published name of every parameter and buffer; a part of no listed type keeps its names."""
    rule = next((parts[kind] for kind in type(module).__mro__ if kind in parts), None)
    if rule is None:
        return {key: key for key in module.state_dict()}
    found, own = {}, module.state_dict()
    for ours, theirs in rule(module).items():
        if ours in own:  # a weight that the part holds itself
            found[ours] = theirs
            continue
        for key, name in names(module.get_submodule(ours), parts).items():
            found[_join(ours, key)] = _join(theirs, name)
    return found


def load(module: nn.Module, state: Mapping[str, Tensor], parts: Parts, source: str) -> nn.Module:
    """Copy published weights into our module; every key must find its place and every place its key.

    Counters of batches (``num_batches_tracked``) may be missing: checkpoints from before PyTorch 0.4.1 have none.

    Raises:
        InputError: If keys are left over, missing, or of another shape; the message names them.
    """
    who, translation, own = f"load_reference: {source}", names(module, parts), module.state_dict()
    known = {theirs: ours for ours, theirs in translation.items()}
    left_over = sorted(key for key in state if key not in known)
    if left_over:
        raise InputError(f"{who}: these keys fit nothing in {type(module).__name__}: {', '.join(left_over)}.")
    missing = sorted(key for key in known if key not in state and not key.endswith("num_batches_tracked"))
    if missing:
        raise InputError(f"{who}: these keys of {type(module).__name__} are missing: {', '.join(missing)}.")
    for key, value in state.items():
        if value.shape != own[known[key]].shape:
            wanted = tuple(own[known[key]].shape)
            raise InputError(f"{who}: {key} must have shape {wanted}, got {tuple(value.shape)}.")
    module.load_state_dict({known[key]: value for key, value in state.items()}, strict=False)
    return module


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix and key else prefix or key
