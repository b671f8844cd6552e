"""Preparation, targets, calibration and planning, each by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from saccade.data.classification.case import Case
from saccade.data.classification.prepare import Values, fitted_size, prepare, resize
from saccade.data.classification.read import Image
from saccade.errors import InputError
from saccade.tasks.classification.calibrate import fit_temperature, read_temperature
from saccade.tasks.classification.config import Data
from saccade.tasks.classification.plan import Fingerprint, plan_images
from saccade.tasks.classification.targets import balanced_weights, encode, probabilities, sampling_weights


def data(kind: str, classes=("a", "b", "c"), columns=("class",), **more) -> Data:
    return Data.model_validate(
        {"root": ".", "columns": columns, "kind": kind, "classes": classes, "size": (5, 7),
         "intensity": {"kind": "z_score"}, **more}
    )  # fmt: skip


def case(*values: str) -> Case:
    return Case("x", Path("x.png"), values)


def test_probabilities_of_levels_do_not_rise() -> None:
    logits = torch.tensor([[2.0, -1.0], [-1.0, 2.0]])
    found = probabilities(logits, data("ordinal"))
    up, down = torch.sigmoid(torch.tensor([2.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(found[0], torch.stack([1 - up, up - down, down]))
    torch.testing.assert_close(found[1], torch.stack([1 - down, torch.zeros_like(up), down]))
    assert probabilities(torch.tensor([[4.0, 0.0, 0.0]]), data("classes"), 2.0)[0, 0].item() == pytest.approx(
        np.exp(2) / (np.exp(2) + 2)
    )
    two = data("regression", (), ("a", "b"), target_mean=(10.0, 0.0), target_std=(2.0, 1.0))
    assert probabilities(torch.tensor([[1.5, 3.0]]), two).tolist() == [[13.0, 3.0]]


def test_targets_as_numbers() -> None:
    assert encode(case("c"), data("classes")).item() == 2
    labels = data("multi_label", ("u", "v"), ("u", "v"))
    assert encode(case("1", ""), labels).nan_to_num(-1).tolist() == [1, -1]
    with pytest.raises(InputError, match=r"^case x: class must be one of a, b, c, got 'd'\.$"):
        encode(case("d"), data("classes"))
    with pytest.raises(InputError, match=r"^case x: u must be 0 or 1, got '2'\.$"):
        encode(case("2", ""), labels)
    with pytest.raises(InputError, match=r"^case x: age must be a number, got 'old'\.$"):
        encode(case("old"), data("regression", (), ("age",)))


def test_weights_by_rarity() -> None:
    cases = [case("a")] * 6 + [case("b")] * 3 + [case("c")] * 3
    assert balanced_weights(cases, data("classes")) == pytest.approx((12 / 18, 12 / 9, 12 / 9), abs=1e-4)
    drawn = sampling_weights(cases)
    assert sum(drawn[:6]) == pytest.approx(sum(drawn[6:9]))
    labels = data("multi_label", ("u", "v"), ("u", "v"))
    assert balanced_weights([case("1", "0"), case("0", "1"), case("0", "")], labels) == (2.0, 1.0)


def test_the_temperature_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(4000, 3, generator=generator) * 2
    truth = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    found = fit_temperature(honest * 3, truth, data("classes"))
    assert found is not None
    assert found.temperature == pytest.approx(3, rel=0.08)
    assert found.loss_after < found.loss_before
    assert fit_temperature(honest[:9], truth[:9], data("classes")) is None
    assert fit_temperature(honest, truth, data("regression", (), ("age",))) is None


def test_a_calibration_that_is_none(tmp_path) -> None:
    assert read_temperature(tmp_path) == 1
    (tmp_path / "calibration.json").write_text('{"temperature": "hot"}')
    with pytest.raises(InputError, match=r"calibration.json: must hold a temperature from 0.05 to 20.0, got 'hot'"):
        read_temperature(tmp_path)


@pytest.mark.parametrize(("fit", "size"), [("stretch", (8, 8)), ("pad", (8, 4)), ("crop", (16, 8))])
def test_how_an_image_of_other_proportions_fits(fit, size) -> None:
    image = Image(np.random.default_rng(0).random((20, 10, 1)), None)
    assert fitted_size(image, (8, 8), fit) == size
    ready = prepare(image, channels=1, size=(8, 8), fit=fit, values=Values("min_max"), where="")
    assert ready.shape == (1, 8, 8)
    if fit == "pad":
        assert (ready[0, :, :2] == 0).all()
        assert (ready[0, :, 6:] == 0).all()
        assert ready[0, :, 2:6].max() == 1
    flat = Image(np.zeros((4, 4, 2, 1)), (1.0, 1.0, 3.0))
    assert fitted_size(flat, (8, 8, 8), "pad") == (5, 5, 8)  # 4 x 4 x 6 mm


def test_what_is_shrunk_is_averaged_and_what_fits_is_left_alone() -> None:
    fine = torch.arange(16.0).view(1, 4, 4) % 2  # stripes of 0 and 1
    torch.testing.assert_close(resize(fine, (4, 4)), fine)
    torch.testing.assert_close(resize(fine, (2, 2)), torch.full((1, 2, 2), 0.5), atol=0.1, rtol=0)
    volume = fine[..., None].expand(1, 4, 4, 6).contiguous()
    torch.testing.assert_close(resize(volume, (2, 2, 3)), torch.full((1, 2, 2, 3), 0.5))
    assert resize(volume, (8, 2, 3)).shape == (1, 8, 2, 3)


def test_values() -> None:
    image = torch.tensor([[[-5.0, 1.0], [3.0, 90.0]]])
    standard = Values("standardise", low=0.0, high=4.0, mean=(1.0,), std=(2.0,))
    torch.testing.assert_close(standard(image), torch.tensor([[[-0.5, 0.0], [1.0, 1.5]]]))
    assert Values("z_score")(image).std().item() == pytest.approx(1)
    assert Values("z_score")(torch.ones(1, 2, 2)).tolist() == [[[0, 0], [0, 0]]]


def test_planning_by_hand() -> None:
    scan = Fingerprint((448.0, 448.0), True, 3, 0.0, 255.0, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), False, False)
    planned = plan_images(scan)
    assert (planned["size"], planned["fit"], planned["channels"]) == ([224, 224], "stretch", 3)
    assert planned["intensity"] == {"kind": "standardise", "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]}
    ct = Fingerprint((100.0, 50.0, 20.0), False, 1, -900.0, 400.0, (10.0,), (200.0,), True, True)
    planned = plan_images(ct, pixels=12_500)
    assert (planned["size"], planned["fit"]) == ([50, 25, 10], "pad")
    assert (planned["intensity"]["low"], planned["intensity"]["high"]) == (-900, 400)


def test_settings_that_are_none() -> None:
    with pytest.raises(ValidationError, match="classes must be 2 to 1000 different ones, got 1"):
        data("classes", ("a",))
    with pytest.raises(ValidationError, match="columns must be one for kind ordinal, got a, b"):
        data("ordinal", columns=("a", "b"))
