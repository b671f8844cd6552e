"""The page: complete in itself, worst case first, harmless whatever the names, made even if things are missing."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from saccade.errors import InputError
from saccade.report import write_report
from saccade.report.run_report import fixed, show


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser would see them; unclosed tags are an error.

    ``text`` is what a reader sees; ``scripts`` are the contents of the script elements.
    """

    VOID = ("meta", "img", "br", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], "", []
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
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def entries(page):
    """What the viewer is told of each case."""
    (number,) = [n for n, script in enumerate(page.all("script")) if script.get("id") == "viewer-data"]
    return json.loads(page.scripts[number])["cases"]


def test_the_page_of_a_whole_run(run):
    out = write_report(run)
    assert out == run / "report.html"
    page = read(out)
    assert "attention-unet" in page.text
    assert "0.713 ± 0.125" in page.text
    assert "6\u202f411\u202f498" in page.text
    assert "training time3 min 12 s" in page.text
    assert "peak memory1834 MB" in page.text
    assert "HD95, mm" in page.text
    assert "0.7 ± 0.1" in page.text  # distances have fewer decimals
    assert page.text.index("bad0.375") < page.text.index("middling0.750") < page.text.index("good0.900")
    assert "f00d" * 16 in page.text
    assert [entry["name"] for entry in entries(page)] == ["bad", "middling", "good"]
    assert [link["data-case"] for link in page.all("a")] == ["0", "1", "2"]
    assert len([script for script in page.all("script") if script.get("id", "").startswith("volume-")]) == 3 * 4
    assert len(page.all("polyline")) == 4  # train_loss, val_loss, val_dice, learning_rate
    assert len([svg for svg in page.all("svg") if "over the cases" in svg["aria-label"]]) == 2  # Dice and HD95
    assert sorted(path.name for path in run.iterdir() if "partial" in path.name) == []


def test_nothing_is_loaded_and_only_the_pages_own_script_runs(run):
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not {"link", "iframe", "object", "img"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert all(not key.startswith("on") for key in attributes)
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"https?://|url\(|fetch\(|XMLHttpRequest", text)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    running = [body for attributes, body in zip(page.all("script"), page.scripts, strict=True) if not attributes]
    digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in running]
    assert re.findall(r"script-src ([^;]*);", policy) == [f"'sha256-{digest}'" for digest in digests]
    assert len(digests) == 1


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_names_and_values_are_harmless(run):
    metrics = json.loads((run / "validation" / "metrics.json").read_text("utf-8"))
    metrics["cases"][EVIL] = {EVIL: {"dice": 0.1, "hd95_mm": EVIL}}
    metrics["summary"][EVIL] = {"dice": {"mean": 0.1, "std": EVIL, "n": EVIL, "n_missed": 0, "n_spurious": 0}}
    (run / "validation" / "metrics.json").write_text(json.dumps(metrics))
    config = (
        (run / "config.yaml")
        .read_text("utf-8")
        .replace("attention-unet", json.dumps(EVIL))
        .replace("tiny", json.dumps(EVIL))
    )
    (run / "config.yaml").write_text(config + f"note: {json.dumps(EVIL)}\n")
    for name in ("summary.json", "environment.json"):
        (run / name).write_text(json.dumps({EVIL: EVIL, "list": [EVIL]}))
    splits = json.loads((run / "splits.json").read_text("utf-8"))
    splits["train"].append(EVIL)
    splits["files"][EVIL] = {"image": [EVIL], "label": EVIL, "sha256": {EVIL: EVIL}}
    (run / "splits.json").write_text(json.dumps(splits))
    header, *rows = (run / "metrics.csv").read_text("utf-8").splitlines()
    quoted = '"' + EVIL.replace('"', '""') + '_loss"'
    (run / "metrics.csv").write_text("\n".join([f"{header},{quoted}", *(f"{row},0.5" for row in rows)]) + "\n")
    old = run / "validation" / "attention" / "good_gate1.nii.gz"
    old.rename(old.with_name("good_<b onclick=alert(1)>&.nii.gz"))
    before = len(read(write_report(run, cases=0)).all("script"))
    page = read(write_report(run))
    assert before == 0
    assert len(page.all("script")) == 2 + 3 * 4  # description, script and the volumes of three cases
    assert not page.all("img")
    for _, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
    assert page.text.count(EVIL) >= 10
    assert entries(page)[2]["maps"][0]["name"] == "<b onclick=alert(1)>&"
    assert "<b onclick" not in write_report(run).read_text(encoding="utf-8")


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
    assert page.all("script") == []


def test_a_bare_run_is_reported(tmp_path):
    (tmp_path / "config.yaml").write_text("system: unet\n")
    page = read(write_report(tmp_path))
    assert "unet" in page.text
    assert "The run has no validation folder: no cases to show." in page.text


def test_only_the_worst_cases_are_shown_when_asked(run):
    page = read(write_report(run, cases=1))
    assert [entry["name"] for entry in entries(page)] == ["bad"]
    assert "1 of 3 cases can be looked at below; the others are better ones" in page.text
    assert "good" in page.text


def test_a_page_with_little_room_keeps_the_worst_cases(run):
    page = read(write_report(run, max_megabytes=0.012))
    shown = [entry["name"] for entry in entries(page)]
    assert shown == ["bad", "middling", "good"][: len(shown)]
    assert 0 < len(shown) < 3
    volumes = [
        body for tag, body in zip(page.all("script"), page.scripts, strict=True) if "volume" in tag.get("id", "")
    ]
    assert sum(map(len, volumes)) < 0.012e6


def test_bad_output_and_number(run, tmp_path):
    with pytest.raises(InputError) as caught:
        write_report(run, tmp_path)
    assert str(caught.value) == (
        f"report: the output must be a file, got the folder {tmp_path}. Try {tmp_path}/report.html."
    )
    with pytest.raises(InputError) as caught:
        write_report(run, cases=-1)
    assert str(caught.value) == "report: the number of cases shown must be 0 or more, got -1."
    with pytest.raises(InputError) as caught:
        write_report(run, max_megabytes=0.0)
    assert str(caught.value) == "report: the size of the page must be above 0 megabytes, got 0."


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
