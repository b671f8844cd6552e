"""Features before and after gates: what is drawn where, that it is what the network computes, and what it may cost."""

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from matplotlib.image import imread

from saccade.networks import AttentionUNet
from saccade.report import features, write_report
from saccade.report.feature_picture import Level, Slice, draw_slice
from saccade.report.gather import gather
from saccade.report.viewer import build_viewer
from saccade.tasks.segmentation.config import SegmentationConfig

ROOM = 1e6


def drawn(run, monkeypatch, predictor=None):
    """The slices that are drawn for a run, in the order of its cases, and the pictures' descriptions."""
    slices = []
    monkeypatch.setattr(features, "draw_slice", lambda seen, colours, dpi: slices.append(seen) or b"jpeg")
    record, notices = gather(run), []
    viewer = build_viewer(record, None, ROOM)
    predictor = predictor or features.open_network(run, record, notices)
    pictures = features.draw_features(predictor, record, viewer.entries, ROOM, notices)
    assert notices == []
    return viewer.entries, slices, pictures


def test_what_is_drawn_is_what_the_network_computes(trained, pairs, monkeypatch):
    entries, slices, pictures = drawn(trained, monkeypatch)
    assert [picture.case for picture in pictures] == [entry["name"] for entry in entries] != []
    predictor = features.open_network(trained, gather(trained), [])
    for entry, seen in zip(entries, slices, strict=True):
        i, j, k = entry["start"]
        (case,) = [case for case in gather(trained).cases if case.name == entry["name"]]
        scan = features.load_case(case.source)[0].array
        like = np.corrcoef(seen.image.ravel(), scan[:, :, k].ravel())[0, 1]
        assert like == pytest.approx(1)  # normalised, so equal but for scale and offset
        (first_i, last_i), (first_j, last_j) = seen.window
        assert (last_i - first_i, last_j - first_j) == (8, 8)
        assert first_i <= i < last_i
        assert first_j <= j < last_j
        first_k = min(max(k - 4, 0), scan.shape[2] - 8)
        prepared = (scan - scan.mean()) / scan.std()
        window = torch.from_numpy(prepared)[first_i:last_i, first_j:last_j, first_k : first_k + 8].float()[None, None]
        with torch.no_grad():
            skip = predictor.network.encode(window)[0][1][0]
        (level,) = seen.levels
        assert (level.name, level.before.shape, level.coefficients.shape) == ("gates.0", (4, 4, 4), (2, 4, 4))
        np.testing.assert_allclose(level.before, skip[..., (k - first_k) // 2], atol=2e-2)
        assert pictures[0].place.endswith("of 11, 2 mm apart")


def test_the_page_shows_it(trained, tmp_path):
    page = write_report(trained, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Features before and after the gates" in page
    assert "Not in this report" not in page
    assert 'alt="Features of case' in page
    held_out = json.loads((trained / "splits.json").read_text("utf-8"))["validation"]
    assert page.count("before and after the gates, axial slice") == len(held_out)


def test_weights_that_are_missing_or_broken_are_named(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "model.safetensors").unlink()
    page = write_report(run).read_text(encoding="utf-8")
    assert "run/model.safetensors is missing: no features before and after the gates." in page
    assert "<h2>Features" not in page
    (run / "model.safetensors").write_bytes(b"broken")
    page = write_report(run).read_text(encoding="utf-8")
    assert re.search("<li>Features before and after the gates: .*model.safetensors: ", page)
    assert "<h2>Features" not in page
    shutil.rmtree(run / "validation" / "attention")  # a network that does not attend is not asked for
    assert "before and after the gates" not in write_report(run).read_text(encoding="utf-8")


def test_pictures_keep_to_their_room(trained, monkeypatch):
    sizes = {100: 9000, 80: 3000, 60: 900, 45: 500}
    monkeypatch.setattr(features, "draw_slice", lambda seen, colours, dpi: bytes(sizes[dpi]))
    record = gather(trained)
    entries = build_viewer(record, None, ROOM).entries
    predictor = features.open_network(trained, record, [])

    def lengths(most):
        found = features.draw_features(predictor, record, entries * 3, most, [])
        assert sum(len(picture.source) for picture in found) <= most
        return [len(base64.b64decode(picture.source.split(",")[1])) for picture in found]

    count = min(3 * len(entries), 10)
    assert lengths(count * 13e3) == [9000] * count
    assert lengths(count * 5e3) == [3000] * count
    assert lengths(count * 1e2) == []


def test_a_case_that_the_network_cannot_take_is_named_and_the_others_are_drawn(trained, monkeypatch):
    record, notices = gather(trained), []
    entries = build_viewer(record, None, ROOM).entries
    predictor = features.open_network(trained, record, notices)
    look, calls = features._look, []

    def fail_first(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("not enough memory: you tried to allocate\nmuch")
        return look(*arguments)

    monkeypatch.setattr(features, "_look", fail_first)
    pictures = features.draw_features(predictor, record, entries * 2, ROOM, notices)
    assert len(pictures) == 2 * len(entries) - 1
    name = entries[0]["name"]
    assert notices == [f"Features before and after the gates of {name}: not enough memory: you tried to allocate"]


def test_a_network_of_slices_and_a_window_larger_than_the_scan(run, monkeypatch):
    """The scans are 11 x 13 x 17 voxels; the network takes slices of 16 x 12."""
    settings = {
        "system": "attention-unet",
        "data": {
            "root": ".",
            "label_names": {1: "liver", 2: "spleen"},
            "patch_size": (16, 12, 1),
            "spacing_mm": (2, 2, 3),
            "intensity": {"kind": "z_score"},
        },
    }
    torch.manual_seed(0)
    network = AttentionUNet(1, 3, spatial_dims=2, channels=(2, 3, 5))
    predictor = SimpleNamespace(network=network, config=SegmentationConfig.parse(settings, "t"), device="cpu")
    entries, slices, _ = drawn(run, monkeypatch, predictor)
    assert entries[0]["start"] == (3, 5, 7)
    seen = slices[0]
    assert seen.image.shape == (11, 13)
    assert seen.truth[3, 5] == 1
    assert seen.window == ((-2, 14), (0, 12))
    assert seen.pixel_mm == pytest.approx((2, 2))
    assert seen.levels[0].before.shape == (3, 8, 6)
    assert network.training  # as it was


def test_a_ct_is_shown_in_its_first_window(run, monkeypatch):
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    settings = {
        "system": "attention-unet",
        "data": config["data"] | {"patch_size": (8, 8, 8), "spacing_mm": (2, 2, 3)},
    }
    settings["data"]["intensity"] = {"kind": "ct_window", "low": -200, "high": 300, "mean": 50.0, "std": 25.0}
    network = AttentionUNet(1, 3, channels=(2, 3, 5))
    predictor = SimpleNamespace(network=network, config=SegmentationConfig.parse(settings, "t"), device="cpu")
    _, slices, _ = drawn(run, monkeypatch, predictor)
    assert slices[0].greys == pytest.approx(((-160 - 50) / 25, (240 - 50) / 25))  # soft tissue: -160 to 240 HU


def picture(seen):
    return imread(io.BytesIO(draw_slice(seen, {1: (255, 0, 0)}, 100)), format="jpeg").astype(int)


@pytest.fixture
def half_open() -> Slice:
    """A level of 6 channels, all 1 but for the fourth, which is 2 at the patient's right; the gate opens at the front.

    40 mm across and 30 mm down.
    """
    before = np.ones((6, 10, 15), np.float32)
    before[3, 5:] = 2
    alpha = np.zeros((1, 10, 15), np.float32)
    alpha[0, :, 8:] = 1
    level = Level("gates.0", before, alpha, np.flip(before, 1).copy())
    return Slice(np.zeros((20, 30), np.float32), (0.0, 1.0), None, (2.0, 1.0), ((0, 20), (0, 30)), [level])


WIDTH = (10.5 - 0.62) / 6 - 0.05  # of a panel, in inches
HEIGHT = WIDTH * 3 / 4


def panel(array, row, column):
    """A panel of the picture; at 100 dpi, rows from the top."""
    top = 100 * (0.30 + row * (0.18 + HEIGHT) + 0.18)
    left = 100 * (0.62 + column * (WIDTH + 0.05))
    return array[round(top) : round(top + 100 * HEIGHT), round(left) : round(left + 100 * WIDTH)]


def corners(array, row, column):
    """Brightness at the picture's upper left, upper right, lower left and lower right."""
    part = panel(array, row, column).mean(2)
    height, width = part.shape
    places = [(y, x) for y in (0.2, 0.8) for x in (0.2, 0.8)]
    return [part[int(y * height) - 4 : int(y * height) + 5, int(x * width) - 4 : int(x * width) + 5].mean()
            for y, x in places]  # fmt: skip


def test_rows_are_before_gate_and_after_and_columns_channels(half_open):
    array = picture(half_open)
    assert array.shape[1] == 1050
    assert array.shape[0] == pytest.approx(100 * (0.30 + 0.12 + 3 * (0.18 + HEIGHT)), abs=2)
    # The channel that varies comes first. Before: bright at the right, which is on the left of the picture.
    upper_left, upper_right, lower_left, lower_right = corners(array, 0, 2)
    assert upper_left == pytest.approx(lower_left, abs=8)
    assert upper_right == pytest.approx(lower_right, abs=8)
    assert upper_left > upper_right + 20
    # Times the gate: as it was at the front (the top), dark behind; the same colours as before.
    product = corners(array, 1, 2)
    assert product[:2] == pytest.approx([upper_left, upper_right], abs=8)
    assert max(product[2:]) < upper_right - 20
    # After: turned over, so bright on the right of the picture.
    after = corners(array, 2, 2)
    assert after[1] > after[0] + 20
    assert after[3] > after[2] + 20
    # The coefficients lie over the scan where the gate opens; the scan itself is black.
    assert max(corners(array, 0, 0)) < 10
    scan = corners(array, 1, 0)
    assert min(scan[:2]) > 60
    assert max(scan[2:]) < 10
    assert panel(array, 2, 0).max() < 30


def test_no_row_after_a_gate_that_transforms_nothing(half_open):
    level = half_open.levels[0]
    bare = Level(level.name, level.before, level.coefficients, level.coefficients * level.before)
    whole = picture(half_open).shape[0]
    rest = picture(Slice(half_open.image, (0.0, 1.0), None, (2.0, 1.0), half_open.window, [bare])).shape[0]
    assert whole - rest == pytest.approx(100 * (0.18 + HEIGHT), abs=2)


def test_signed_features_have_colours_on_both_sides_of_nothing(half_open):
    before = half_open.levels[0].before - 1.5  # the fourth channel: 0.5 at the right, -0.5 at the left
    level = Level("gates.0", before, half_open.levels[0].coefficients, before)
    array = picture(Slice(half_open.image, (0.0, 1.0), None, (2.0, 1.0), half_open.window, [level]))
    part = panel(array, 0, 2)
    height, width, _ = part.shape
    right, left = part[height // 2, width // 5], part[height // 2, 4 * width // 5]
    assert right[0] > right[2] + 40  # red
    assert left[2] > left[0] + 40  # blue


def test_only_the_part_of_the_window_that_the_scan_fills_is_drawn(half_open):
    """A window twice as wide as the scan, whose maps are 2 inside the scan and 0 around it."""
    before = np.zeros((1, 20, 15), np.float32)
    before[0, 5:15] = 2
    level = Level("gates.0", before, np.ones((1, 20, 15), np.float32), before)
    array = picture(Slice(half_open.image, (0.0, 1.0), None, (2.0, 1.0), ((-10, 30), (0, 30)), [level]))
    values = corners(array, 0, 2)
    assert values == pytest.approx([values[0]] * 4, abs=8)
    assert values[0] > 100


def test_the_truth_is_outlined_over_the_scan(half_open):
    truth = np.zeros((20, 30), np.uint8)
    truth[5:15, 8:22] = 1
    array = picture(Slice(half_open.image, (0.0, 1.0), truth, (2.0, 1.0), half_open.window, half_open.levels))
    red = panel(array, 0, 0)
    assert ((red[..., 0] > 120) & (red[..., 1] < 90)).sum() > 50
