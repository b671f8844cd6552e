"""README and docs keep their word: every block runs, shows what it prints, names what exists."""

import re
import shutil
from pathlib import Path
from typing import get_args, get_origin

import pytest
from blocks import DOCS, PAGES, ROOT, SET_UP, Block, blocks_of, make_demo, run_block
from pydantic import BaseModel

from saccade.systems import list_systems
from saccade.tasks.segmentation.config import SegmentationConfig

README = ROOT / "README.md"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    make_demo(folder / "demo")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT).with_suffix("")))
def test_every_block_runs_and_prints_what_stands_behind_it(
    page: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demo, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language in ("python", "sh"):
            printed = run_block(block, namespace)
            assert block.output is None or printed == block.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT).with_suffix("")))
def test_blocks_are_of_a_kind_that_is_run(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= {"python", "sh", "text"}


def test_a_wrong_block_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n\nwords\n\n```text\nfree\n```\n")
    first, second = blocks_of(page)
    assert first == Block("python", "print(1 + 1)\n", "3\n")
    assert run_block(first, {}) == "2\n"
    assert second == Block("text", "free\n", None)
    with pytest.raises(AssertionError, match="not a command that can be tested: rm -r demo"):
        run_block(Block("sh", "rm -r demo\n", None), {})
    with pytest.raises(AssertionError, match="saccade systems --wrong"):
        run_block(Block("sh", "saccade systems --wrong\n", None), {})


def test_readme_is_short_and_begins_with_a_sentence_and_a_picture() -> None:
    text = README.read_text(encoding="utf-8")
    lines = text.splitlines()
    results = text[text.index("<!-- results:") : text.index("<!-- end -->")].splitlines()
    assert len(lines) - len(results) < 150  # the table grows with the evidence
    title, sentence, picture = [line for line in lines if line][:3]
    assert title == "# Saccade"
    assert sentence.endswith(".")
    assert picture.startswith("![")


def test_readme_gives_the_two_set_up_commands_first() -> None:
    assert blocks_of(README)[0] == Block("sh", "\n".join([*SET_UP, ""]), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT).with_suffix("")))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_index_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    paths = [page.relative_to(DOCS).as_posix() for page in PAGES[1:] if page != DOCS / "index.md"]
    assert [path for path in paths if f"({path})" not in index] == []


def test_every_system_has_a_page_with_its_parameters() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES[1:])
    assert [s.name for s in list_systems() if f"`{s.name}`" not in text or f"{s.parameters:,}" not in text] == []


def test_training_page_names_every_setting() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    missing = []
    for section, field in SegmentationConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            missing += [f"{section}.{name}" for name in kind.model_fields if f"`{section}.{name}`" not in text]
    losses = get_args(SegmentationConfig.model_fields["training"].annotation.model_fields["loss"].annotation)
    assert get_origin(losses) is None
    assert missing + [name for name in losses if f"| `{name}` |" not in text] == []
