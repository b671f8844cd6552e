"""Comparison of our modules with stored outputs, maps and gradients of published code.

`goldens(*items)` finds the stored cases, `check(case)` compares everything that a case stores. Cases lie in
``shared/golden`` beside the checkout; small copies in ``tests/golden`` keep parity tested on a bare machine.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from saccade import from_reference, record
from saccade.reference import reference_names

TESTS = Path(__file__).parent
FOLDERS = (TESTS.parent.parent / "shared" / "golden", TESTS / "golden")
TOLERANCE = 1e-5
# What processors differ by in the gradients of deep networks in training mode; stored values carry that error too.
ROUNDING = 1e-4


@dataclass
class Golden:
    """One stored case: the published class with its arguments, and the tensors that it gave."""

    about: dict
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors named by the prefix, or by the prefix and a dot, without it."""
        cut = len(prefix) + 1
        return {
            key[cut:]: value for key, value in self.tensors.items() if key == prefix or key.startswith(prefix + ".")
        }

    @property
    def inputs(self) -> dict[str, Tensor]:
        order = list(self.about["tensors"])
        return dict(sorted(self.part("input").items(), key=lambda item: order.index(_join("input", item[0]))))

    def module(self) -> nn.Module:
        about = self.about
        return from_reference(
            about["repository"],
            about["class"],
            about["arguments"],
            self.part("state"),
            align_corners=about.get("align_corners", False),
        )


def goldens(*items: str) -> list[Path]:
    """The json file of every stored case of these items, each name once, sorted."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        for item in items:
            for path in (folder / item).glob("*.json"):
                found.setdefault(f"{item}/{path.stem}", path)
    return [found[name] for name in sorted(found)]


def load(path: Path) -> Golden:
    about = json.loads(path.read_text("utf-8"))
    return Golden(about, load_file(path.with_suffix(".safetensors")))


def check(golden: Golden) -> None:
    """Outputs, attention maps, gradients, and after a training step the buffers: everything that is stored."""
    compared = 0
    for prefix in ("", "train."):
        if any(key.startswith(f"{prefix}output") for key in golden.tensors):
            compared += _check_mode(golden, prefix)
    assert compared > 0, "nothing was compared"


def _check_mode(golden: Golden, prefix: str) -> int:
    module = golden.module().train(prefix == "train.")
    ours = {theirs: mine for mine, theirs in reference_names(module, golden.about["repository"]).items()}
    outputs, maps, gradients = _run(golden, prefix, module, ours)
    compared = 0
    for name, want in golden.part(f"{prefix}output").items():
        close(outputs[int(name or 0)], want, f"{prefix}output.{name}")
        compared += 1
    for name, want in _maps(golden, prefix).items():
        seen = _seen(maps, ours, name)
        one_head = seen.ndim == want.ndim + 1  # published code has no axis for a single head
        close(seen.squeeze(1) if one_head else seen, want, f"{prefix}attention of {name or 'the module'}")
        compared += 1
    compared += _check_gradients(golden, prefix, gradients, ours)
    if prefix:
        state = module.state_dict()
        for name, want in golden.part("train.state").items():
            close(state[ours[name]], want, f"train.state.{name}")
            compared += 1
    return compared


def _run(
    golden: Golden, prefix: str, module: nn.Module, ours: dict[str, str]
) -> tuple[list[Tensor], Mapping[str, Any], dict[str, Tensor]]:
    """Outputs, maps, and all gradients by the names under which they are stored."""
    inputs = {name: _leaf(value, next(module.parameters(), value).dtype) for name, value in golden.inputs.items()}
    with record(module) as maps:
        result = module(*inputs.values())
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    cotangents = golden.part(f"{prefix}cotangent") or golden.part("cotangent")
    sum((outputs[int(name or 0)] * weight).sum() for name, weight in cotangents.items()).backward()
    parameters = dict(module.named_parameters())
    gradients = {_join("input", name): value.grad for name, value in inputs.items()}
    gradients |= {f"state.{theirs}": parameters[mine].grad for theirs, mine in ours.items() if mine in parameters}
    return outputs, maps, gradients


def _check_gradients(golden: Golden, prefix: str, found: dict[str, Tensor], ours: dict[str, str]) -> int:
    """Equal to 1e-5; where rounding is larger, stored and found values are equal to those of float64 up to rounding."""
    stored, exact = golden.part(f"{prefix}grad"), None
    largest = max((want.abs().max().item() for want in stored.values() if want.numel()), default=0.0)
    for name, want in stored.items():
        what, got = f"{prefix}grad.{name}", found[name]
        # The bias in front of a normalisation has no gradient but rounding errors, on the scale of its weight's.
        weight = name.removesuffix("bias") + "weight" if name.endswith("bias") else name.replace(".c_att", ".U_att")
        scale = stored.get(weight, want)
        try:
            close(got, want, what, scale=scale)
        except AssertionError:
            if exact is None:
                module = golden.module().double().train(prefix == "train.")
                exact = _run(golden, prefix, module, ours)[2]
            if exact[name].abs().max() <= 1e-10 * largest:  # zero: what is stored is rounding alone
                assert max(got.abs().max(), want.abs().max()) <= 1e-3 * largest, what
                continue
            close(exact[name].float(), want, f"{what} in float64", scale=scale, tolerance=ROUNDING)
            close(got, exact[name].float(), what, scale=scale, tolerance=ROUNDING)
    return len(stored)


def close(
    got: Tensor | None, want: Tensor, what: str, *, scale: Tensor | None = None, tolerance: float = TOLERANCE
) -> None:
    """Equal to 1e-5 (or ``tolerance``) of each value, or of the largest value of the tensor (or of ``scale``)."""
    assert got is not None, f"{what}: nothing there"
    if not want.is_floating_point():
        assert torch.equal(got.to(want.dtype), want), what
        return
    largest = max([t.abs().max().item() for t in (want, scale) if t is not None and t.numel()], default=0.0)
    torch.testing.assert_close(
        got.detach(), want, rtol=tolerance, atol=tolerance * largest, msg=lambda text: f"{what}: {text}"
    )


def _maps(golden: Golden, prefix: str) -> dict[str, Tensor]:
    """Stored attention maps by the published path of the module that made them."""
    named = {name.removesuffix(".map"): value for name, value in golden.part(f"{prefix}attention").items()}
    blocks = {
        key.removeprefix(prefix): value
        for key, value in golden.tensors.items()
        if key.removeprefix(prefix).startswith("attentionblock") and key.startswith(prefix)
    }
    return {**named, **blocks}


def _seen(maps, ours: dict[str, str], published: str) -> Tensor:
    """Our recorded maps of the module that has this published path, gates side by side; or the map of this name."""
    if f"{published}_map" in maps:
        return maps[f"{published}_map"].tensor.flatten(1)  # published without a grid
    inside = [mine for theirs, mine in ours.items() if not published or theirs.startswith(published + ".")]
    taps = [name for name in maps if any(mine.startswith(name.removesuffix("map")) for mine in inside)]
    assert taps, f"no map was recorded for '{published}'"
    return torch.cat([maps[name].tensor for name in taps], 1)


def _leaf(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype, copy=True).requires_grad_() if value.is_floating_point() else value


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if name else prefix


def ids(paths: list[Path]) -> Iterator[str]:
    return (f"{path.parent.name}/{path.stem}" for path in paths)
