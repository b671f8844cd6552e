"""What holds for every mechanism of the table in `mechanisms.py`."""

import copy
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from saccade import record
from saccade.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from convolutional_rows import CONVOLUTIONAL
from mechanisms import MECHANISMS, Change, draws, randomised

SPACES = {1: (11,), 2: (7, 11), 3: (5, 7, 3)}
SMALL = {1: (5,), 2: (3, 5), 3: (3, 2, 5)}

EACH = [pytest.param(name, id=name) for name in MECHANISMS]
EACH_DIM = [pytest.param(name, dims, id=f"{name}-{dims}d") for name, row in MECHANISMS.items() for dims in row.dims]


def having(check, cases):
    """The cases whose row does not skip the check."""
    return [case for case in cases if check not in MECHANISMS[case.values[0]].skip]


class Called(nn.Module):
    """A mechanism called as its row says, as one module."""

    def __init__(self, row, module):
        super().__init__()
        self.row, self.module = row, module

    def forward(self, *inputs):
        return tuple(self.row.run(self.module, inputs))


def close(found, wanted, **tolerance):
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize(("name", "dims"), having("items", EACH_DIM))
def test_a_batch_equals_its_items_one_by_one(name, dims):
    row = MECHANISMS[name]
    module, inputs = row.build(dims), row.inputs(draws(), 3, SPACES[dims])
    whole = row.run(module, inputs)
    single = [row.run(module, [x[i : i + 1] for x in inputs]) for i in range(3)]
    close(whole, [torch.cat(items) for items in zip(*single, strict=True)], rtol=1e-4, atol=1e-5)
    assert all(y.isfinite().all() and len(y) == 3 for y in whole)
    assert any((y[0] - y[1]).abs().max() > 1e-3 for y in whole)


@pytest.mark.parametrize(("name", "dims"), having("voxel", EACH_DIM))
def test_one_item_of_one_voxel_is_taken(name, dims):
    row = MECHANISMS[name]
    outputs = row.run(row.build(dims), row.inputs(draws(), 1, (1,) * dims))
    assert outputs
    assert all(y.isfinite().all() for y in outputs)


@pytest.mark.parametrize(("name", "dims"), [c for c in having("slab", EACH_DIM) if c.values[1] < 3])
def test_a_slab_one_voxel_thick_equals_the_image(name, dims):
    row = MECHANISMS[name]
    if dims + 1 not in row.dims:
        pytest.skip("exists in one dimension only")
    image, slab = row.build(dims), row.make(**{**row.arguments(dims + 1), **row.thick(dims)}).eval()
    slab.load_state_dict({k: in_plane(v, slab.state_dict()[k]) for k, v in image.state_dict().items()})
    inputs = row.inputs(draws(), 2, SPACES[dims])
    wanted = row.run(image, inputs)
    found = row.run(slab, [x.unsqueeze(2) if x.ndim == dims + 2 else x for x in inputs])
    close([y.squeeze(2) if y.ndim == dims + 3 else y for y in found], wanted, rtol=1e-4, atol=1e-5)


def in_plane(weight, like):
    """A kernel as the middle plane of one with an axis more; whatever has the same shape stays."""
    if weight.shape == like.shape:
        return weight
    thick = torch.zeros_like(like)
    thick[:, :, like.shape[2] // 2] = weight
    return thick


@pytest.mark.parametrize(("name", "dims"), EACH_DIM)
def test_gradients_of_inputs_and_weights(name, dims):
    row = MECHANISMS[name]
    module = row.build(dims).double()
    inputs = [x.double().requires_grad_() for x in row.inputs(draws(), 2, SMALL[dims])]
    weights = {key: value.detach().clone().requires_grad_() for key, value in module.named_parameters()}

    def call(*values):
        mine = {f"module.{key}": value for key, value in zip(weights, values, strict=False)}
        outputs = torch.func.functional_call(Called(row, module), mine, values[len(weights) :])
        return tuple(y for y in outputs if y.is_floating_point())

    assert torch.autograd.gradcheck(call, (*weights.values(), *inputs), fast_mode=True)


@pytest.mark.parametrize("name", EACH)
def test_eval_twice_is_identical_and_changes_nothing(name):
    row = MECHANISMS[name]
    module, inputs = row.build(row.dims[-1]), row.inputs(draws(), 2, SPACES[row.dims[-1]])
    before = copy.deepcopy(module.state_dict())
    first, second = row.run(module, inputs), row.run(module, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", EACH)
def test_the_table_names_every_argument(name):
    row = MECHANISMS[name]
    parameters = inspect.signature(row.make).parameters
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    assert set(row.changes) == set(parameters) - {"spatial_dims"}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, row in MECHANISMS.items() for argument in row.changes]
)
def test_every_argument_changes_something(name, argument):
    row, change = MECHANISMS[name], MECHANISMS[name].changes[argument]
    change = change if isinstance(change, Change) else Change(change)
    base = {**row.arguments(row.dims[-1]), **change.given}
    one, other = base, {**base, argument: change.value}
    if _starts(row, one) == _starts(row, other):
        one, other = (_behaviour(row, arguments) for arguments in (one, other))
        assert len(one) == len(other)
        assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(one, other, strict=True)), argument


def _starts(row, arguments):
    """Names, shapes and values of fresh weights."""
    torch.manual_seed(0)
    return {key: value.tolist() for key, value in row.make(**arguments).state_dict().items()}


def _behaviour(row, arguments):
    """Outputs, maps and buffers of a module with the same weights whatever the arguments."""
    found = []
    for training in (False, True):
        module = randomised(row.make(**arguments)).train(training)
        inputs = row.inputs(draws(), 3, SPACES[row.dims[-1]])
        torch.manual_seed(0)
        with record(module) as maps:
            found += row.run(module, inputs)
        found += [call for seen in maps.values() for call in seen.calls] + list(module.buffers())
    return found


@pytest.mark.parametrize(("name", "dims"), having("maps", EACH_DIM))
def test_recording_changes_nothing_and_shows_every_map(name, dims):
    row = MECHANISMS[name]
    module, inputs = row.build(dims), row.inputs(draws(), 2, SPACES[dims])
    before = copy.deepcopy(module.state_dict())
    wanted = row.run(module, inputs)
    with record(module) as maps:
        found = row.run(module, inputs)
    close(found, wanted, rtol=1e-6, atol=1e-6)
    assert {key: seen.kind for key, seen in maps.items()} == row.maps
    for seen in maps.values():
        assert (seen.grid is None) == (seen.kind in ("channel", "alignment"))
        assert all(call.isfinite().all() and call.std() > 0 for call in seen.calls)
    assert not any(part._forward_hooks for part in module.modules())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    close(row.run(module, inputs), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "dims"), having("bfloat16", EACH_DIM))
def test_bfloat16_comes_near(name, dims):
    row = MECHANISMS[name]
    module, inputs = row.build(dims), row.inputs(draws(), 2, SPACES[dims])
    wanted = row.run(module, inputs)
    found = row.run(module.bfloat16(), [x.bfloat16() for x in inputs])
    for y, want in zip(found, wanted, strict=True):
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), want, rtol=0.1, atol=0.05 * want.abs().max().item())


@pytest.mark.parametrize(("name", "dims"), having("export", EACH_DIM))
def test_it_can_be_exported(name, dims):
    row = MECHANISMS[name]
    module, inputs = Called(row, row.build(dims)), row.inputs(draws(), 2, SPACES[dims])
    program = torch.export.export(module, inputs)
    other = row.inputs(draws(5), 2, SPACES[dims])
    close(list(program.module()(*other)), list(module(*other)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_what_is_exported_takes_any_number_of_items(name):
    row = MECHANISMS[name]
    module, inputs = Called(row, row.build(2)), row.inputs(draws(), 2, SPACES[2])
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(module, inputs, dynamic_shapes={"inputs": tuple({0: batch} for _ in inputs)})
    for items in (1, 5):
        other = row.inputs(draws(5), items, SPACES[2])
        close(list(program.module()(*other)), list(module(*other)), rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What `torch.compile` says of every row: "" or what went wrong.

    In a process of its own, because the run-time shape checks that the tests install cannot be traced.
    """
    out = tmp_path_factory.mktemp("compiled") / "found.json"
    subprocess.run([sys.executable, __file__, str(out)], check=True, timeout=300)
    return json.loads(out.read_text("utf-8"))


@pytest.mark.parametrize("name", having("compile", EACH))
def test_it_compiles_to_one_graph_with_the_same_numbers(name, compiled):
    assert compiled[name] == ""


@pytest.mark.skipif(shutil.which("g++") is None, reason="the default back end of torch.compile needs a C++ compiler")
def test_the_default_back_end_gives_the_same_numbers(compiled):
    assert compiled["inductor"] == ""


def compile_all(out):
    """Compile every row as one graph and note what does not work or changes a number."""
    found = {}
    for case in having("compile", EACH):
        row = MECHANISMS[case.id]
        dims = row.dims[-1]
        torch.compiler.reset()
        try:
            module, inputs = Called(row, row.build(dims)), row.inputs(draws(), 2, SPACES[dims])
            close(
                list(torch.compile(module, backend="eager", fullgraph=True)(*inputs)),
                list(module(*inputs)),
                rtol=1e-5,
                atol=1e-6,
            )
            found[case.id] = ""
        except Exception as error:
            found[case.id] = f"{type(error).__name__}: {error}"[:2000]
    if shutil.which("g++") is not None:
        found["inductor"] = compile_one()
    Path(out).write_text(json.dumps(found))


def compile_one():
    """One for all: this back end writes and compiles C++, which takes long."""
    module, x = MECHANISMS["squeeze-excitation"].build(2), draws()(2, 6, *SPACES[2])
    try:
        close([torch.compile(module, fullgraph=True)(x)], [module(x)], rtol=1e-4, atol=1e-5)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:2000]
    return ""


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [(name, arguments, message) for name, row in MECHANISMS.items() for arguments, message in row.bad],
)
def test_bad_arguments_are_named(name, arguments, message):
    row = MECHANISMS[name]
    with pytest.raises(InputError, match=f"^{message}"):
        row.make(**{**row.arguments(row.dims[0]), **arguments})


if __name__ == "__main__":
    compile_all(sys.argv[1])
