"""Attention behind any module of any network, and the network without it again."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from saccade.attention import attach_module
from saccade.attention.attach_mechanisms import Mechanism, find_mechanism
from saccade.attention.attach_module import Attachment, Signal, attachments_of
from saccade.attention.attach_places import Example, Place, Survey, call, first_image, survey, undisturbed
from saccade.errors import InputError
from saccade.layers.flops import count_flops


def attach(
    network: nn.Module,
    mechanism: str | Callable[..., nn.Module],
    at: str | Sequence[str],
    *,
    gate_from: str | None = None,
    example: Example | None = None,
    say: Callable[[str], None] | None = print,
    **settings: Any,
) -> nn.Module:
    """Send the output of some modules of a network through attention.

    Each module gets a mechanism of its own, as a further child named after it: behind ``layer3`` that is
    ``layer3.cbam``, with parameters ``layer3.cbam.channel.shrink.weight`` and maps ``layer3.cbam.channel.map``. A
    second one of the same name is called ``cbam_2``, and comes behind the first. The module stays the same object;
    its class is mixed with `Attached`, still a subclass of what it was. All names that the network had stay, so that
    ``load_state_dict(old, strict=False)`` loads the weights it had before, and lacks those of the mechanisms alone.
    Copies, pickles and exported programs hold the mechanisms. Of a module that is called several times in one pass,
    every output goes through the same mechanism.

    Channels and dimensions are found by running the network once (in eval mode, without gradients), and a second run
    shows that all works; if it does not, the network is left as it was. Of outputs that are tuples or lists, the first
    tensor is what goes through.

    Args:
        network: Changed in place.
        mechanism: A name (``cbam``, ``se``, ``scse``, ``non-local``, ``gate``, ...; see ``MECHANISMS`` and ``GATES`` in
            `saccade.attention.attach_mechanisms`), or a class or function ``(channels, spatial_dims) -> module`` of
            one's own, for gates ``(channels, gating_channels, spatial_dims)``; it may leave out ``spatial_dims``.
        at: Name of the module (as in ``named_modules``), a pattern, or several: ``*`` stands for any part of a name
            without a dot, ``**`` for any with dots; ``layer*.1`` is the second block of every layer.
        gate_from: For gates: the module whose output is the gating signal; it must run before, in the same pass.
        example: An input of the network: a tensor, several in order, or a dict by name. Default: zeros of a size that
            the network takes, made up from its first convolution.
        say: Gets a line for every mechanism: parameters, and FLOPs for one pass with that input. None for silence.
        settings: Of the mechanism, by name.

    Returns:
        The network itself.

    Raises:
        InputError: For a name, pattern, place or setting that is unknown or does not fit; the message names those that
            do. For a network that is compiled already. Later, in forward, if a gating signal was not computed before
            the gate needs it.

    >>> network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 2, 1))
    >>> attach(network, "cbam", at="1", example=torch.zeros(1, 1, 18, 18)) is network
    cbam behind 1: 32 channels in 2D, 262 parameters, 0.0507 MFLOP for an input of (1, 1, 18, 18)
    True
    >>> detach(network)[1]
    ReLU()
    """
    _refuse_compiled("attach", network)
    found = find_mechanism(mechanism, settings, gate_from is not None)
    seen = survey(network, example)
    targets = seen.choose(at)
    source = None if gate_from is None else seen.find(gate_from)
    added: list[tuple[Place, Attachment]] = []
    try:
        for place in targets:
            added.append((place, _add(network, place, found, source, seen)))
        if seen.inputs is not None:
            _try(network, seen.inputs, added)
    except BaseException:
        for place, attachment in reversed(added):
            attach_module.remove(place.module, attachment)
        raise
    if say is not None:
        for _, attachment in added:
            say(_line(attachment))
    return network


def detach(network: nn.Module) -> nn.Module:
    """Take away all that `attach` added: the same modules, names and weights, bit for bit, as without it.

    Weights trained and modes set meanwhile stay. A network without attention is given back as it is.

    Returns:
        The network itself.

    Raises:
        InputError: If a network with attention is compiled.
    """
    if list_attachments(network):
        _refuse_compiled("detach", network)
    for module in list(network.modules()):
        for attachment in reversed(list(attachments_of(module))):
            attach_module.remove(module, attachment)
    return network


def list_attachments(network: nn.Module) -> list[Attachment]:
    """What `attach` added to a network, in the order of its modules: where, what, its parameters and FLOPs."""
    return [attachment for module in network.modules() for attachment in attachments_of(module)]


def _refuse_compiled(who: str, network: nn.Module) -> None:
    # Code that is compiled already would go on as before.
    for module in network.modules():
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise InputError(f"{who}: the network must not be compiled yet, got a compiled one. Compile it afterwards.")


def _add(root: nn.Module, place: Place, found: Mechanism, source: Place | None, seen: Survey) -> Attachment:
    widths = (place.channels,) if source is None else (place.channels, source.channels)
    attention = found.build(place.name, widths, place.spatial_dims).to(place.device, place.dtype)
    child, number = found.child, 2
    while hasattr(place.module, child):
        child, number = f"{found.child}_{number}", number + 1
    image = None if seen.inputs is None else first_image(seen.inputs)
    attachment = Attachment(
        place=place.name,
        mechanism=found.name,
        child=child,
        channels=place.channels,
        spatial_dims=place.spatial_dims,
        parameters=sum(p.numel() for p in attention.parameters()),
        flops=_flops(attention, found.name, place, source),
        input_shape=None if image is None else tuple(image.shape),
        signal=None if source is None else Signal(source.name),
    )
    attach_module.add(place.module, attention.train(place.module.training), attachment)
    if attachment.signal is not None and source is not None:
        attachment.signal.listen(root, source.module)
    return attachment


def _flops(attention: nn.Module, name: str, place: Place, source: Place | None) -> int | None:
    """Run a mechanism on zeros of the place's shapes, count, and see that the shapes come back.

    Without known shapes it is run on few positions, and the number is None.
    """
    shapes = place.shapes or ((1, place.channels, *[8] * place.spatial_dims),)
    signal = () if source is None else ((source.shapes or ((1, source.channels, *[8] * source.spatial_dims),))[-1],)
    with undisturbed(attention), count_flops() as counter:
        for shape in shapes:
            given = [torch.zeros(s, dtype=place.dtype, device=place.device) for s in (shape, *signal)]
            y = _call_once(attention, name, place.name, given)
            if not isinstance(y, Tensor) or y.shape != shape:
                got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
                raise InputError(f"attach: {name} behind '{place.name}' must give {shape} as it takes it, got {got}.")
    return counter.get_total_flops() if place.shapes else None


def _call_once(attention: nn.Module, name: str, place: str, given: Sequence[Tensor]) -> Any:
    try:
        return attention(*given)
    except Exception as error:  # whatever a stranger's mechanism raises
        what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise InputError(f"attach: {name} behind '{place}' cannot take its output: {what}") from error


def _try(root: nn.Module, inputs: Example, added: list[tuple[Place, Attachment]]) -> None:
    """Run the network, and see that every output of a place goes through its mechanism exactly once."""
    calls = [[0, 0] for _ in added]
    with ExitStack() as stack, undisturbed(root):
        for count, (place, attachment) in zip(calls, added, strict=True):
            for which, module in enumerate((place.module, place.module.get_submodule(attachment.child))):
                stack.callback(module.register_forward_hook(_counter(count, which)).remove)
        try:
            call(root, inputs)
        except InputError:
            raise
        except Exception as error:  # whatever a stranger's network raises
            what = f"{type(error).__name__}: {error}"
            raise InputError(f"attach: the network does not run with {added[0][1].mechanism} ({what}).") from error
    for (place, attachment), (outputs, passed) in zip(added, calls, strict=True):
        if outputs != passed:
            raise InputError(
                f"attach: '{place.name}' runs its parts in a way of its own: of its {outputs} outputs {passed} went "
                f"through {attachment.mechanism}. Attach to a module inside it."
            )


def _counter(count: list[int], which: int) -> Callable[..., None]:
    def hook(*args: Any) -> None:
        count[which] += 1

    return hook


def _line(added: Attachment) -> str:
    gate = "" if added.signal is None else f", gated by {added.signal.source}"
    line = f"{added.mechanism} behind {added.place}{gate}: {added.channels} channels in {added.spatial_dims}D, "
    line += f"{added.parameters:,} parameters"
    if added.flops is None:
        return line
    given = "" if added.input_shape is None else f" for an input of {added.input_shape}"
    return f"{line}, {added.flops / 1e6:.3g} MFLOP{given}"
