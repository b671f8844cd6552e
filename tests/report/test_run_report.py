"""The page: complete in itself, worst case first, harmless whatever the names, made even if things are missing."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread

from saccade.errors import InputError
from saccade.report import draw, write_report
from saccade.report.run_report import fixed, show


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser would see them; unclosed tags are an error."""

    VOID = ("meta", "img", "br", "input", "line", "path", "polyline", "circle")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_of_a_whole_run(run):
    out = write_report(run)
    assert out == run / "report.html"
    page = read(out)
    assert "attention-unet" in page.text
    assert "0.713 ± 0.125" in page.text
    assert "6\u202f411\u202f498" in page.text
    assert "training time3 min 12 s" in page.text
    assert "peak memory1834 MB" in page.text
    assert page.text.index("mean Dice 0.375") < page.text.index("mean Dice 0.750") < page.text.index("mean Dice 0.900")
    assert "f00d" * 16 in page.text
    assert len(page.all("img")) == 6  # three cases, each with contours and one gate
    assert "colour scale 0 to 1" in page.text
    assert len(page.all("polyline")) == 4  # train_loss, val_loss, val_dice, learning_rate
    assert sorted(path.name for path in run.iterdir() if "partial" in path.name) == []


def test_nothing_is_loaded_from_elsewhere(run):
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert all(not key.startswith("on") for key in attributes)
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"https?://|url\(", text)


def test_the_pictures_are_pictures(run):
    for image in read(write_report(run)).all("img"):
        head, content = image["src"].split(",")
        assert head == "data:image/jpeg;base64"
        picture = imread(io.BytesIO(base64.b64decode(content)), format="jpeg")
        assert picture.shape[1] in (1500, 900)
        assert picture.std() > 10
        assert image["alt"]


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_names_and_values_are_harmless(run):
    metrics = json.loads((run / "validation" / "metrics.json").read_text())
    metrics["cases"][EVIL] = {EVIL: {"dice": 0.1, "hd95_mm": EVIL}}
    metrics["summary"][EVIL] = {"dice": {"mean": 0.1, "std": EVIL, "n": EVIL, "n_missed": 0, "n_spurious": 0}}
    (run / "validation" / "metrics.json").write_text(json.dumps(metrics))
    config = (
        (run / "config.yaml").read_text().replace("attention-unet", json.dumps(EVIL)).replace("tiny", json.dumps(EVIL))
    )
    (run / "config.yaml").write_text(config + f"note: {json.dumps(EVIL)}\n")
    for name in ("summary.json", "environment.json"):
        (run / name).write_text(json.dumps({EVIL: EVIL, "list": [EVIL]}))
    splits = json.loads((run / "splits.json").read_text())
    splits["train"].append(EVIL)
    splits["files"][EVIL] = {"image": [EVIL], "label": EVIL, "sha256": {EVIL: EVIL}}
    (run / "splits.json").write_text(json.dumps(splits))
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    quoted = '"' + EVIL.replace('"', '""') + '_loss"'
    (run / "metrics.csv").write_text("\n".join([f"{header},{quoted}", *(f"{row},0.5" for row in rows)]) + "\n")
    old = run / "validation" / "attention" / "good_gate1.nii.gz"
    old.rename(old.with_name("good_<b onclick=alert(1)>&.nii.gz"))
    page = read(write_report(run))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "b" in {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert page.text.count(EVIL) >= 10
    assert "<b onclick=alert(1)>&" in page.text


def test_the_same_run_gives_the_same_page(run, tmp_path):
    first = write_report(run, tmp_path / "a.html").read_bytes()
    assert write_report(run, tmp_path / "b.html").read_bytes() == first


def test_missing_pieces_are_named_on_the_page(run):
    shutil.rmtree(run.parent / "data")
    shutil.rmtree(run / "validation" / "attention")
    (run / "metrics.csv").unlink()
    page = read(write_report(run))
    assert "Not in this report" in page.text
    assert "The scan is not to be found for: bad, good, middling." in page.text
    assert "The run has no attention maps for its validation cases." in page.text
    assert page.all("img") == []
    assert page.text.count("No picture: the scan is not to be found or cannot be read.") == 3


def test_a_bare_run_is_reported(tmp_path):
    (tmp_path / "config.yaml").write_text("system: unet\n")
    page = read(write_report(tmp_path))
    assert "unet" in page.text
    assert "The run has no validation folder: no cases to show." in page.text


def test_only_the_worst_cases_are_drawn_when_asked(run):
    page = read(write_report(run, cases=1))
    assert len(page.all("img")) == 2
    assert "The 1 worst of 3 cases are drawn." in page.text
    assert "good" in page.text


def test_twenty_cases_stay_small(fake, tmp_path):
    # One case of pure noise on a fine grid, which compresses worse than any scan, with three gates, twenty times.
    run = fake.make_run(tmp_path, {"one": (0.5, 0.5)})
    rng = np.random.default_rng(2)
    shape = (251, 241, 97)
    fake.save(run.parent / "data" / "images" / "one.nii.gz", rng.normal(40, 150, shape).astype(np.int16))
    fake.save(run.parent / "data" / "labels" / "one.nii.gz", np.zeros(shape, np.uint8))
    for gate in (1, 2, 3):
        smooth = np.broadcast_to(np.linspace(0, 1, 251, dtype=np.float32)[:, None, None], shape)
        fake.save(run / "validation" / "attention" / f"one_gate{gate}.nii.gz", np.ascontiguousarray(smooth))
    page = write_report(run)
    assert len(read(page).all("img")) == 4
    assert 20 * page.stat().st_size < 20e6


def test_colours_of_a_gate_mean_the_same_in_every_case(fake, run):
    fake.save(run / "validation" / "attention" / "bad_gate1.nii.gz", -np.ones(fake.SHAPE, np.float32))
    fake.save(
        run / "validation" / "attention" / "good_gate1.nii.gz", 3 * np.eye(13, 17, dtype=np.float32)[None].repeat(11, 0)
    )
    text = read(write_report(run)).text
    assert text.count("colour scale -3 to 3") == 3
    assert "-1 everywhere: no overlay" in text


def test_bad_output_and_number(run, tmp_path):
    with pytest.raises(InputError) as caught:
        write_report(run, tmp_path)
    assert str(caught.value) == (
        f"report: the output must be a file, got the folder {tmp_path}. Try {tmp_path}/report.html."
    )
    with pytest.raises(InputError) as caught:
        write_report(run, cases=-1)
    assert str(caught.value) == "report: the number of cases drawn must be 0 or more, got -1."


def test_ticks_by_hand():
    assert draw.nice_ticks(0.08, 0.93) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert draw.nice_ticks(0.0, 59.0, whole=True) == [0, 20, 40, 60]
    assert draw.nice_ticks(0.0, 2.0, whole=True) == [0, 1, 2]
    flat = draw.nice_ticks(0.5, 0.5)
    assert flat[0] < 0.5 < flat[-1]


def test_chart_points_by_hand():
    rows = [{"epoch": 0.0, "val_dice": 0.0}, {"epoch": 2.0, "val_dice": 0.5}, {"epoch": 2.0, "val_dice": 1.5}]
    (chart,) = draw.draw_charts(rows)
    # The frame runs from (46, 186) to (370, 10); the two rows of epoch 2 have the mean 1.0, the top tick.
    assert chart.lines[0].points == [(46.0, 186.0), (370.0, 10.0)]
    assert [text for _, text in chart.x_ticks] == ["0", "1", "2"]
    assert draw.draw_charts([{"val_dice": 1.0}, {"epoch": 1.0}]) == []


def test_one_epoch_and_a_diverged_loss_are_drawn():
    (chart,) = draw.draw_charts([{"epoch": 0.0, "train_loss": 3.0}, {"epoch": 1.0, "train_loss": float("inf")}])
    assert len(chart.lines[0].points) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6411498, "6\u202f411\u202f498"),
        (192.33, "192.3"),
        (71234.5, "71\u202f234"),
        (True, "yes"),
        (None, "–"),
        ("a", "a"),
    ],
)
def test_values_for_a_reader(value, text):
    assert show(value) == text


def test_numbers_in_columns():
    assert [fixed(x) for x in (0.5, -1.25, None, float("nan"), float("inf"), "x")] == [
        "0.500",
        "−1.250",
        "–",
        "–",
        "∞",
        "–",
    ]


def test_a_flat_map_is_drawn_as_the_plain_scan(fake, run):
    def colourfulness(page):
        picture = imread(io.BytesIO(base64.b64decode(page.all("img")[1]["src"].split(",")[1])), format="jpeg")
        planes_only = picture[:, :810].astype(int)  # the colour bar stands to the right of them
        return (planes_only.max(-1) - planes_only.min(-1)).max()

    assert colourfulness(read(write_report(run, cases=1))) > 60
    fake.save(run / "validation" / "attention" / "bad_gate1.nii.gz", np.ones(fake.SHAPE, np.float32))
    assert colourfulness(read(write_report(run, cases=1))) < 12
