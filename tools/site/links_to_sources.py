"""A hook of mkdocs: files of the repository that pages link to, outside docs/, become files of the site.

A page is read in the repository, where ``../deeplift_core/rules/linear.py`` is a file, and on the site, which
has pages of docs/ only.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\]\((?P<target>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_FOLDER = "repository"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add every file outside docs/ that a page links to, as text."""
    docs = Path(config.docs_dir)
    for page in list(files.documentation_pages()):
        for link in _LINK.finditer(page.content_string):
            source = _outside(page, link["target"], docs)
            if source is not None and not files.get_file_from_path(_place(source, docs)):
                content = source.read_bytes()
                files.append(File.generated(config, _place(source, docs), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Let links that lead out of docs/ lead to these files."""
    docs = Path(config.docs_dir)

    def changed(link: re.Match[str]) -> str:
        source = _outside(page.file, link["target"], docs)
        if source is None:
            return link[0]
        start = posixpath.dirname(page.file.src_uri)
        return f"]({posixpath.relpath(_place(source, docs), start or '.')})"

    return _LINK.sub(changed, markdown)


def _outside(page: File, target: str, docs: Path) -> Path | None:
    """Return the file to which a link leads, if it lies outside docs/."""
    source = (docs / page.src_uri).parent.joinpath(target).resolve()
    return source if source.is_file() and not source.is_relative_to(docs.resolve()) else None


def _place(source: Path, docs: Path) -> str:
    """Return the path of such a file within the site; markdown is shown as text, not as a page."""
    inside = source.relative_to(docs.resolve().parent).as_posix()
    return f"{_FOLDER}/{inside}.txt"
