"""A hook of mkdocs: links to files outside docs/ become plain text there, since the site does not hold these files."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """[text](../splip/x.py) -> text (`splip/x.py`); links within docs/ stay.

    Raises:
        ValueError: a link leads to no file of the repository.
    """
    here = (DOCS / page.file.src_uri).parent

    def plain(link: "re.Match[str]") -> str:
        target = (here / link[2].partition("#")[0]).resolve()
        if not target.exists():
            raise ValueError(f"{page.file.src_uri}: no file {link[2]}")
        return link[0] if target.is_relative_to(DOCS) else f"{link[1]} (`{target.relative_to(DOCS.parent)}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\((\.\.?/[^)\s]+)\)", plain, markdown)
