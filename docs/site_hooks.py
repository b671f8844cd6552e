"""Lets MkDocs put files from outside docs/ on the site, and turns links between pages into what they are there.

Links are written for readers of the repository: ``../README.md`` on a page, ``docs/data.md`` in the README. On the site
everything of `outside` stands beside the pages.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)")


def outside() -> dict[str, str]:
    """Paths in the repository, outside docs/, and on the site; a README there would be the home page."""
    places = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
    records = {f"evidence/{path.name}": f"evidence/{path.name}" for path in (ROOT / "evidence").glob("*.json")}
    return places | {"LICENSE": "licence.txt"} | records


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what stands outside docs/."""
    for path, place in outside().items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page into those of the site; what leads nowhere stays, for MkDocs to warn of."""
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation", "toc"]  # a front page; its lists are the navigation
    places = outside()
    homes = {place: path for path, place in places.items()}
    folder = posixpath.dirname(homes.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def lead(found: re.Match[str]) -> str:
        if ":" in found[0]:  # another site
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, found[0]))
        place = path.removeprefix("docs/") if path.startswith("docs/") else places.get(path)
        here = posixpath.dirname(page.file.src_uri) or "."
        return found[0] if place is None else posixpath.relpath(place, here)

    return _LINK.sub(lead, markdown)
