"""Comparison of our modules with stored outputs, maps and gradients of published code.

`goldens(*items)` finds the stored cases, `check(case)` compares everything that a case stores. Cases lie in
``shared/golden`` beside the checkout; small copies in ``tests/golden`` keep parity tested on a bare machine.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from saccade import from_reference, record
from saccade.reference import reference_names

TESTS = Path(__file__).parent
FOLDERS = (TESTS.parent.parent / "shared" / "golden", TESTS / "golden")
TOLERANCE = 1e-5


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
    about = json.loads(path.read_text())
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
    inputs = {name: _leaf(value) for name, value in golden.inputs.items()}
    with record(module) as maps:
        result = module(*inputs.values())
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    compared = 0
    for name, want in golden.part(f"{prefix}output").items():
        close(outputs[int(name or 0)], want, f"{prefix}output.{name}")
        compared += 1
    for name, want in _maps(golden, prefix).items():
        close(_seen(maps, ours, name), want, f"{prefix}attention of {name or 'the module'}")
        compared += 1
    cotangents = golden.part(f"{prefix}cotangent") or golden.part("cotangent")
    sum((outputs[int(name or 0)] * weight).sum() for name, weight in cotangents.items()).backward()
    parameters = dict(module.named_parameters())
    for name, want in golden.part(f"{prefix}grad.input").items():
        close(inputs[name].grad, want, f"{prefix}grad.input.{name}")
        compared += 1
    gradients = golden.part(f"{prefix}grad.state")
    for name, want in gradients.items():
        # The bias in front of a normalisation has no gradient but rounding errors, on the scale of its weight's.
        scale = gradients.get(name.removesuffix("bias") + "weight", want)
        close(parameters[ours[name]].grad, want, f"{prefix}grad.state.{name}", scale=scale)
        compared += 1
    if prefix:
        state = module.state_dict()
        for name, want in golden.part("train.state").items():
            close(state[ours[name]], want, f"train.state.{name}")
            compared += 1
    return compared


def close(got: Tensor | None, want: Tensor, what: str, *, scale: Tensor | None = None) -> None:
    """Equal to 1e-5 of each value, or of the largest value of the tensor (or of ``scale``)."""
    assert got is not None, f"{what}: nothing there"
    if not want.is_floating_point():
        assert torch.equal(got.to(want.dtype), want), what
        return
    largest = max([t.abs().max().item() for t in (want, scale) if t is not None and t.numel()], default=0.0)
    torch.testing.assert_close(
        got.detach(), want, rtol=TOLERANCE, atol=TOLERANCE * largest, msg=lambda text: f"{what}: {text}"
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
    """Our recorded maps of the module that has this published path, gates side by side."""
    inside = [mine for theirs, mine in ours.items() if not published or theirs.startswith(published + ".")]
    taps = [name for name in maps if any(mine.startswith(name.removesuffix("map")) for mine in inside)]
    assert taps, f"no map was recorded for '{published}'"
    return torch.cat([maps[name].tensor for name in taps], 1)


def _leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_() if value.is_floating_point() else value


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if name else prefix


def ids(paths: list[Path]) -> Iterator[str]:
    return (f"{path.parent.name}/{path.stem}" for path in paths)
