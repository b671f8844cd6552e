"""Attention over the epochs: what stands where in the picture, and that nothing else is needed for a report."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from saccade.report import write_report
from saccade.report.epochs import draw_epochs
from saccade.report.gather import gather

EPOCHS = (3, 6, 10)


@pytest.fixture
def watched(run):
    """A slice of 20 x 30 pixels of 2 x 1 mm whose second gate turns on, epoch by epoch, from the right."""
    attention = np.zeros((3, 2, 20, 30), np.float16)
    for n in range(3):
        attention[n, 1, 15 - 5 * n :] = 0.5 * n
    arrays = {
        "epochs": np.array(EPOCHS),
        "gates": np.array(["gates_0", "<b>gate</b> $x"]),
        "cases": np.array(["bad"]),
        "spacing_mm": np.array([2.0, 1.0]),
        "image_0": np.zeros((20, 30), np.float32),
        "truth_0": np.zeros((20, 30), np.uint8),
        "prediction_0": np.zeros((3, 20, 30), np.uint8),
        "attention_0": attention,
    }
    (run / "attention").mkdir()
    np.savez_compressed(run / "attention" / "epochs.npz", **arrays)
    return run


def picture_of(source):
    return imread(io.BytesIO(base64.b64decode(source.split(",")[1])), format="jpeg").astype(int)


def test_rows_are_gates_and_columns_epochs(watched):
    notices = []
    (found,) = draw_epochs(watched, gather(watched), notices)
    assert notices == []
    assert (found.case, found.epochs) == ("bad", EPOCHS)
    assert found.scale == "gates_0: 0 to 1; <b>gate</b> $x: 0 to 1"
    picture = picture_of(found.source)
    assert picture.shape[1] == pytest.approx(120 * (0.24 + 3 * 2.45), abs=2)
    # 40 mm across and 30 mm down: each plane is 288 pixels wide and 216 high, below a line of titles.
    left, top = [29 + 294 * n for n in range(3)], [29, 29 + 222]

    def colour(row, column, across):
        y, x = top[row] + 108, left[column] + round(288 * across)
        return np.ptp(picture[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1)))

    assert max(colour(0, column, across) for column in range(3) for across in (0.1, 0.9)) < 10
    assert colour(1, 0, 0.1) < 10  # not yet
    assert colour(1, 1, 0.1) > 40  # the right of the patient is on the left of the picture
    assert colour(1, 1, 0.9) < 10
    assert colour(1, 2, 0.6) > 40


def test_the_page_has_the_section_only_with_the_file(watched):
    page = write_report(watched).read_text(encoding="utf-8")
    assert "Attention over the epochs" in page
    assert "<b>gate</b>" not in page
    assert re.findall(r'src="(data:image/jpeg;base64,)', page) == ["data:image/jpeg;base64,"]
    (watched / "attention" / "epochs.npz").unlink()
    assert "Attention over the epochs" not in write_report(watched).read_text(encoding="utf-8")


def test_a_broken_file_is_named(watched):
    (watched / "attention" / "epochs.npz").write_bytes(b"PK nothing")
    page = write_report(watched).read_text(encoding="utf-8")
    assert "epochs.npz: cannot be read as attention over epochs" in page
