"""MkDocs' hooks: the pages above docs/ become part of the site, and links lead where they led.

In the repository README.md says `docs/gate.md`, and docs/gate.md says `../image/policy.toml`; on
the site the first is a page beside it, and the second is in the repository alone.
"""

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]
ABOVE: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "LICENSE": "licence.md",
}
"""Pages of the site that are files above docs/, by their names in the repository."""
DOCS: Final = "docs/"
LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are above docs/."""
    for name, page in ABOVE.items():
        text = (ROOT / name).read_text()
        if not name.endswith(".md"):
            text = f"# Licence\n\n```text\n{text}```\n"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_more: object) -> str:
    """Lead the links of a page to where they lead in the repository."""
    here = page.file.src_uri
    source = next((name for name, uri in ABOVE.items() if uri == here), DOCS + here)
    return LINK.sub(lambda found: _led(found, source, here, config.repo_url or ""), markdown)


def _led(found: re.Match[str], source: str, here: str, repository: str) -> str:
    path, anchor = found["path"], found["anchor"] or ""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if target in ABOVE:
        page = ABOVE[target]
    elif target.startswith(DOCS) and (ROOT / target).is_file():
        page = target.removeprefix(DOCS)
    elif (ROOT / target).exists():
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"{repository}/{kind}/main/{target}{anchor}"
    else:
        return found[0]  # for MkDocs to warn of
    return posixpath.relpath(page, posixpath.dirname(here) or ".") + anchor
