"""Where attention can be put into a network: modules that give feature maps, found by running it once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from saccade.attention.attach_module import attachments_of, first_tensor, original_class
from saccade.attention.tap import Tap
from saccade.errors import InputError
from saccade.layers.dimensions import BATCH_NORM, CONV, CONV_TRANSPOSE, INSTANCE_NORM

# An input of the network: its one argument, several in order, or by name.
Example = Tensor | Sequence[Any] | Mapping[str, Any]

SIZES = (32, 64, 128)  # of an input that is made up: small is quick, but some networks halve it many times
LISTED = 30  # places that an error names
# What gives as many channels as it takes.
_KEEPS = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Upsample,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding)


@dataclass(frozen=True)
class Place:
    """A module that gives a feature map.

    ``shapes`` are those of its outputs (b, c, *space), one for each call; none where only weights were looked at.
    """

    name: str
    module: nn.Module
    channels: int
    spatial_dims: int
    dtype: torch.dtype
    device: torch.device
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Survey:
    """The places of a network by name, and why the other modules are none.

    ``inputs`` is what the network was run with, None if it was not.
    """

    places: dict[str, Place]
    unfit: dict[str, str]
    inputs: Example | None

    def choose(self, at: str | Sequence[str]) -> list[Place]:
        """The places of a name, a pattern or several of them, each once, in the order of the network for a pattern.

        ``*`` stands for any part of a name between dots, ``**`` also for dots. Of what matches a pattern, modules that
        give no feature map are left out.

        Raises:
            InputError: If a name is no place or a pattern matches none; names the places, the nearest first.
        """
        chosen: dict[int, Place] = {}
        for name in [at] if isinstance(at, str) else at:
            if "*" in name or "?" in name:
                matching = [place for known, place in self.places.items() if _pattern(name).fullmatch(known)]
                if not matching:
                    raise InputError(f"attach: no place matches '{name}'.{self._listing(name)}")
            else:
                matching = [self.find(name)]
            chosen.update((id(place.module), place) for place in matching if id(place.module) not in chosen)
        if not chosen:
            raise InputError("attach: at must name one place or several, got none.")
        return list(chosen.values())

    def find(self, name: str) -> Place:
        """The place of a name.

        Raises:
            InputError: If it is no place; says why, and names the places, the nearest first.
        """
        if name not in self.places:
            why = self.unfit.get(name, "is no module of the network")
            raise InputError(f"attach: '{name}' {why}.{self._listing(name)}")
        return self.places[name]

    def _listing(self, name: str) -> str:
        hint = " Give example=, an input of the network." if self.inputs is None else ""
        names = sorted(self.places, key=lambda known: -SequenceMatcher(None, name, known).ratio())
        if not names:
            return hint
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"{hint} Did you mean '{names[0]}'? Places: {', '.join(names[:LISTED])}{more}."


class _Output(NamedTuple):
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    maker: type | None  # the class of the last layer with weights that ran


@dataclass
class _Outputs:
    """What one module gave, call by call; ``other`` is the type of an output that has no tensor."""

    tensors: list[_Output] = field(default_factory=list)
    other: str = ""


def survey(network: nn.Module, example: Example | None = None) -> Survey:
    """Look for places by running the network once in eval mode, on the example or on zeros of a size that it takes.

    The first convolution says what zeros look like. A network that takes none of them is not run: then only modules
    whose weights tell their channels beyond doubt are places. The network is left as it was.

    Raises:
        InputError: If the network cannot take the example.
    """
    inputs, outputs = _run(network, example)
    if inputs is None:
        return _survey_weights(network)
    image = first_image(inputs)
    places: dict[str, Place] = {}
    unfit: dict[str, str] = {}
    for name, module in _candidates(network):
        seen = outputs.get(id(module), _Outputs())
        why = _why_unfit(module, seen, image)
        if why:
            unfit[name] = why
        else:
            shapes = tuple(x.shape for x in seen.tensors)
            shape, dtype, device, _ = seen.tensors[0]
            places[name] = Place(name, module, shape[1], len(shape) - 2, dtype, device, shapes)
    return Survey(places, unfit, inputs)


def call(network: nn.Module, inputs: Example) -> Any:
    """Run the network: one tensor, several arguments in order, or arguments by name."""
    if isinstance(inputs, Tensor):
        return network(inputs)
    return network(**inputs) if isinstance(inputs, Mapping) else network(*inputs)


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards every module's mode and the random state are what they were."""
    modes = [(module, module.training) for module in network.modules()]
    devices = sorted({p.device.index or 0 for p in network.parameters() if p.device.type == "cuda"})
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        try:
            network.eval()
            yield
        finally:
            for module, training in modes:
                module.training = training


def _run(network: nn.Module, example: Example | None) -> tuple[Example | None, dict[int, _Outputs]]:
    if example is not None:
        try:
            return example, _outputs(network, example)
        except Exception as error:  # whatever a stranger's network raises
            raise InputError(
                f"attach: the network cannot take the example ({type(error).__name__}: {error})."
            ) from error
    for inputs in _made_up(network):
        try:
            return inputs, _outputs(network, inputs)
        except Exception:  # it was a guess; the next size may do, or the weights tell enough
            continue
    return None, {}


def _made_up(network: nn.Module) -> Iterator[Tensor]:
    if any(isinstance(module, nn.modules.lazy.LazyModuleMixin) for module in network.modules()):
        return  # such modules take their size for good from the first input, which must not be a guess
    for module in network.modules():
        dims = next((n for n, conv in CONV.items() if isinstance(module, cast(type, conv))), None)
        if dims is not None:
            weight, channels = cast(Any, module).weight, int(cast(Any, module).in_channels)
            for size in SIZES:
                yield torch.zeros(1, channels, *[size] * dims, dtype=weight.dtype, device=weight.device)
            return


def _outputs(network: nn.Module, inputs: Example) -> dict[int, _Outputs]:
    outputs: dict[int, _Outputs] = {}
    makers: list[type] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if any(True for _ in module.parameters(recurse=False)):
            makers[:] = [original_class(module)]
        seen = outputs.setdefault(id(module), _Outputs())
        x = first_tensor(output)
        if x is None:
            seen.other = type(output).__name__
        else:
            seen.tensors.append(_Output(tuple(x.shape), x.dtype, x.device, makers[0] if makers else None))

    with ExitStack() as stack, undisturbed(network):
        for module in network.modules():
            stack.callback(module.register_forward_hook(keep).remove)
        call(network, inputs)
    return outputs


def first_image(inputs: Example) -> Tensor | None:
    """The first of the inputs that could be an image or a volume."""
    if isinstance(inputs, Tensor):
        return inputs
    given = inputs.values() if isinstance(inputs, Mapping) else inputs
    return next((x for x in given if isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 2), None)


def _why_unfit(module: nn.Module, seen: _Outputs, image: Tensor | None) -> str:
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return "is compiled code, to which nothing can be added"
    if seen.other:
        return f"gives {seen.other}, not a tensor, nor a tuple or list that begins with one"
    if not seen.tensors:
        return "is not called when the network runs"
    shape, dtype, _, maker = seen.tensors[0]
    fits = dtype.is_floating_point and len(shape) - 2 in CONV and (image is None or len(shape) == image.ndim)
    # Three axes may also be tokens (b, n, c); the layer that made them tells.
    if not fits or (maker if len(shape) == 3 else original_class(module)) in _CHANNELS_LAST:
        return f"gives {shape}, which is no feature map (batch, channels, *space)"
    widths = sorted({x.shape[1] for x in seen.tensors})
    if len(widths) > 1:
        return f"is called several times with {' and '.join(map(str, widths))} channels, where one mechanism has one"
    return ""


def _candidates(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules by all their names, without the network itself and the parts of attention that is there already."""
    parts = {id(network)}
    for module in network.modules():
        for attachment in attachments_of(module):
            parts |= {id(part) for part in module.get_submodule(attachment.child).modules()}
    for name, module in network.named_modules(remove_duplicate=False):
        if id(module) not in parts and not isinstance(module, Tap):
            yield name, module


def _survey_weights(network: nn.Module) -> Survey:
    places: dict[str, Place] = {}
    unfit: dict[str, str] = {}
    for name, module in _candidates(network):
        width = width_of(module)
        if width is None:
            unfit[name] = "does not tell its channels by its weights, and the network takes no zeros"
        else:
            weight = next((p for m in (module, network) for p in m.parameters()), torch.empty(0))
            places[name] = Place(name, module, *width, weight.dtype, weight.device)
    return Survey(places, unfit, None)


def width_of(module: nn.Module) -> tuple[int, int] | None:
    """Channels and spatial dimensions of a module's output, where its class and weights tell them; else None."""
    own = original_class(module)
    if isinstance(module, nn.Sequential) and own.forward is nn.Sequential.forward:
        last = next((child for child in reversed(list(module)) if not isinstance(child, _KEEPS)), None)
        return None if last is None else width_of(last)
    for layers, attribute in (
        (CONV, "out_channels"),
        (CONV_TRANSPOSE, "out_channels"),
        (BATCH_NORM, "num_features"),
        (INSTANCE_NORM, "num_features"),
    ):
        for dims, layer in layers.items():
            if own is layer:
                return getattr(module, attribute), dims
    return None


def _pattern(text: str) -> re.Pattern[str]:
    parts = {"**": ".*", "*": r"[^.]*", "?": "[^.]"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", text)))
