"""The learning-rate range test: what it suggests on a curve by hand, and from the command line."""

import numpy as np
import pytest

from saccade.cli.main import main
from saccade.rate_finding import RateCurve


def test_suggestions_on_a_curve_by_hand() -> None:
    rates = 10.0 ** np.arange(-6, 1)
    smoothed = np.array([1.0, 0.98, 0.9, 0.5, 0.4, 0.3, 2.0])
    curve = RateCurve(rates, smoothed, smoothed)
    # the fall over two steps is largest about 1e-4, where it is 0.98 - 0.5, against 0.9 - 0.4 about 1e-3
    assert curve.steepest == pytest.approx(1e-3)
    assert curve.tenth_of_least == pytest.approx(1e-2)


def test_a_loss_that_only_grows_suggests_the_lowest_rate() -> None:
    rates = 10.0 ** np.arange(-6, 1)
    curve = RateCurve(rates, np.arange(1.0, 8.0), np.arange(1.0, 8.0))
    assert curve.steepest == pytest.approx(1e-6)
    assert curve.tenth_of_least == pytest.approx(1e-7)


@pytest.mark.usefixtures("short_check")
def test_from_the_command_line(animals, tmp_path, capsys) -> None:
    small = ["network.channels=[4,8]", "network.blocks=[1,1]", "training.batch_size=8", "data.size=[13,11]"]
    before = sorted(path.name for path in animals.rglob("*"))
    words = ["lr-find", "resnet", "--data", str(animals), "--out", str(tmp_path / "rates"), "--preset", "tiny",
             "--steps", "40", "--freeze-to", "-2"]  # fmt: skip
    assert main([*words, *(part for item in small for part in ("--set", item))]) == 0
    said = capsys.readouterr().out
    assert "steepest fall" in said
    rows = np.loadtxt(tmp_path / "rates" / "rates.csv", delimiter=",", skiprows=1)
    assert 10 <= len(rows) <= 40
    assert rows[0, 0] == pytest.approx(1e-5, rel=1e-4)
    np.testing.assert_allclose(np.diff(np.log(rows[:, 0])), np.log(1e6) / 40, rtol=1e-3)
    assert rows[:, 1].min() <= rows[:, 2].min() <= rows[:, 2].max() <= rows[:, 1].max()
    assert sorted(path.name for path in (tmp_path / "rates").iterdir()) == ["rates.csv", "rates.png"]
    assert sorted(path.name for path in animals.rglob("*")) == before


@pytest.mark.usefixtures("short_check")
def test_bad_input_is_one_line(tmp_path, capsys) -> None:
    words = ["lr-find", "resnet", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "rates")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "rates").exists()
