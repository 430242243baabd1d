"""A hook of mkdocs: pages made of the files beside docs/, and navigation without the pages that are not there.

README.md is the site's first page, CONTRIBUTING.md and CHANGELOG.md are pages; their links are written as from docs/.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
OPTIONAL = {"python.md", "extending.md", "cluster.md", "notebooks/index.md"}


def on_config(config: Any) -> Any:
    """Leave out optional pages that a checkout lacks."""
    config.nav = _present(config.nav)
    return config


def _present(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        ((title, value),) = item.items()
        if isinstance(value, list):
            kept.append({title: _present(value)})
        elif value not in OPTIONAL or (ROOT / "docs" / value).is_file():
            kept.append(item)
    return kept


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of ``PAGES``."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_as_from_docs(text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of docs/ that lead out of it, to files that are pages here."""
    for source, target in PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({target}")
    return markdown


def on_post_build(config: Any) -> None:
    """Refuse a site that loads a script, style, font or picture from elsewhere: it is read without a network."""
    loads = re.compile(r"<(?:script|img|iframe|source)[^>]+src=\"?https?:|<link[^>]+stylesheet[^>]+href=\"?https?:")
    for page in Path(config.site_dir).rglob("*.html"):
        if found := loads.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page}: loads from elsewhere: {found[0]}")


def _as_from_docs(text: str) -> str:
    text = re.sub(r"\]\(docs/", "](", text)
    for source, page in PAGES.items():
        text = text.replace(f"]({source}", f"]({page}")
    return re.sub(r"\[([^\]]*)\]\((CITATION\.cff|LICENSE)\)", r"`\1`", text)
