"""Modules whose output passes through attention, and what carries a gating signal to them."""

import threading
from collections import OrderedDict
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from saccade.errors import InputError


class Signal:
    """Carries the output of one module to a gate, within one forward pass of the network around both.

    Every thread carries its own. Nothing is held between passes, so that a gate never sees a tensor of the pass before.

    Args:
        source: Name of the module that is listened to.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        # Kept because a copied or loaded handle finds the hooks of the copy, which plain numbers would not.
        self.handles: tuple[RemovableHandle, ...] = ()
        self._now = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "handles": self.handles}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._now = threading.local()

    def listen(self, network: nn.Module, source: nn.Module) -> None:
        """Start to listen to ``source`` in every forward pass of ``network``."""
        self.handles = (
            network.register_forward_pre_hook(self._begin),
            source.register_forward_hook(self._hear),
            network.register_forward_hook(self._end, always_call=True),
        )

    def stop(self) -> None:
        """Take all hooks away."""
        for handle in self.handles:
            handle.remove()

    def take(self, place: str) -> Tensor:
        """The output of the last call of the source.

        Raises:
            InputError: If there was none in this forward pass.
        """
        tensor = getattr(self._now, "tensor", None)
        if tensor is None:
            raise InputError(
                f"attach: the gate behind '{place}' needs the output of '{self.source}', which has not been computed "
                "in this forward pass of the network. Choose a gate_from that runs before, and call the whole network."
            )
        return tensor

    def _begin(self, network: nn.Module, args: Any) -> None:
        self._now.tensor, self._now.running = None, True

    def _hear(self, source: nn.Module, args: Any, output: Any) -> None:
        if getattr(self._now, "running", False):
            self._now.tensor = first_tensor(output)

    def _end(self, network: nn.Module, args: Any, output: Any) -> None:
        self._now.tensor, self._now.running = None, False


@dataclass
class Attachment:
    """One mechanism behind one module.

    ``place`` is the module's name in the network, ``child`` that of the mechanism in the module; ``flops`` (None: not
    known) are those of one forward pass of a network whose input has ``input_shape``.
    """

    place: str
    mechanism: str
    child: str
    channels: int
    spatial_dims: int
    parameters: int
    flops: int | None = None
    input_shape: tuple[int, ...] | None = None
    signal: Signal | None = None

    def apply(self, module: nn.Module, output: Any) -> Any:
        """The output of the module with its feature map sent through the mechanism."""
        x = first_tensor(output)
        if x is None:
            raise InputError(
                f"attach: '{self.place}' must give a tensor, or a tuple or list that begins with one, "
                f"got {type(output).__name__}. Attach to a module inside it."
            )
        attention = module.get_submodule(self.child)
        y = attention(x) if self.signal is None else attention(x, self.signal.take(self.place))
        if isinstance(output, Tensor):
            return y
        if hasattr(output, "_replace"):  # a named tuple
            return output._replace(**{output._fields[0]: y})
        return type(output)([y, *output[1:]])


class Attached(nn.Module):
    """What `attach` mixes into the class of a module, so that its output passes through the mechanisms.

    The module stays the object that it was and keeps its name, parameters and type (``isinstance``); the mechanisms
    are further children of it. Copies, pickles and replicas are attached too.
    """

    _saccade_class: type[nn.Module]  # the class that it had before
    _saccade_attachments: list[Attachment]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        for attachment in self._saccade_attachments:
            output = attachment.apply(self, output)
        return output

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class is made at run time: pickle is told how to make it, not where it is.
        state = cast(tuple[Any, ...], super().__reduce_ex__(max(int(protocol), 2)))[2:]
        return (_blank, (self._saccade_class,), *state)


class _Sequence:
    """A Sequential that does not show its mechanisms: they are no steps of it."""

    _saccade_class: type

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(_own(self).values())

    def __len__(self) -> int:
        return len(_own(self))

    def __getitem__(self, index: Any) -> nn.Module:
        if isinstance(index, slice):
            part: nn.Module = self._saccade_class(OrderedDict(list(_own(self).items())[index]))
            return part
        return list(_own(self).values())[index]


class _Dictionary:
    """A ModuleDict that does not show its mechanisms."""

    def __iter__(self) -> Iterator[str]:
        return iter(_own(self))

    def __len__(self) -> int:
        return len(_own(self))

    def keys(self) -> KeysView[str]:
        return _own(self).keys()

    def values(self) -> ValuesView[nn.Module]:
        return _own(self).values()

    def items(self) -> ItemsView[str, nn.Module]:
        return _own(self).items()


def add(module: nn.Module, attention: nn.Module, attachment: Attachment) -> None:
    """Send the output of a module through one mechanism more."""
    if not isinstance(module, Attached):
        module.__class__ = _attached_class(cast(Any, type(module)))
        module.__dict__["_saccade_attachments"] = []
    attachments_of(module).append(attachment)
    module.add_module(attachment.child, attention)


def remove(module: nn.Module, attachment: Attachment) -> None:
    """Take one mechanism away; with the last one the module has its own class again."""
    left = attachments_of(module)
    left.remove(attachment)
    delattr(module, attachment.child)
    if attachment.signal is not None:
        attachment.signal.stop()
    if not left:
        module.__class__ = original_class(module)
        del module.__dict__["_saccade_attachments"]


def attachments_of(module: nn.Module) -> list[Attachment]:
    """The mechanisms of one module in order, none for a module of another class."""
    return module._saccade_attachments if isinstance(module, Attached) else []


def original_class(module: nn.Module) -> type[nn.Module]:
    """The class of a module, of one that has mechanisms the class without them."""
    return module._saccade_class if isinstance(module, Attached) else type(module)


def first_tensor(output: Any) -> Tensor | None:
    """The tensor that a module gives, of a tuple or list the first; None for anything else."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _own(module: Any) -> OrderedDict[str, nn.Module]:
    hidden = {attachment.child for attachment in module._saccade_attachments}
    return OrderedDict((name, child) for name, child in module._modules.items() if name not in hidden)


@cache
def _attached_class(base: type[nn.Module]) -> type[nn.Module]:
    parents: tuple[type, ...] = (Attached, base)
    for container, hiding in ((nn.Sequential, _Sequence), (nn.ModuleDict, _Dictionary)):
        if issubclass(base, container):
            parents = (Attached, hiding, base)
    made = type(f"Attached{base.__name__}", parents, {"_saccade_class": base, "__module__": base.__module__})
    return cast(type[nn.Module], made)


def _blank(base: type[nn.Module]) -> nn.Module:
    made = _attached_class(cast(Any, base))
    return made.__new__(made)
