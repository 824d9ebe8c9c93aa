#!/usr/bin/env python3
"""Lists what each page of the site weighs: what a browser fetches at once, and with all pictures that it scrolls to.

    python docs/page_weights.py [FOLDER]

The folder is one that `build_site.py` has written. Files count as they are stored, before a server compresses them; of
a drawing only the picture of one theme counts, because a browser fetches only that.
"""

import argparse
import dataclasses
import html.parser
import sys
import urllib.parse
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Weight:
    """What a page weighs, in bytes.

    Attributes:
        at_once: int, of the page, its styles and scripts, and pictures that are not left for later.
        pictures: int, of the pictures that are fetched when they come into view.
    """

    at_once: int
    pictures: int

    @property
    def whole(self):
        """Everything together."""
        return self.at_once + self.pictures


class _Reader(html.parser.HTMLParser):
    """Collects the addresses that a page fetches: at once, and later."""

    def __init__(self):
        super().__init__()
        self.at_once, self.later = set(), set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "link" and attributes.get("rel") in ("stylesheet", "icon"):
            self.at_once.add(attributes["href"])
        elif tag == "script" and attributes.get("src"):
            self.at_once.add(attributes["src"])
        elif tag == "img" and attributes.get("src") and attributes.get("class") != "only-dark":
            (self.later if attributes.get("loading") == "lazy" else self.at_once).add(attributes["src"])


def weight(path):
    """Returns the `Weight` of a page.

    Args:
        path: Path of an HTML file.

    Raises:
        OSError: if it, or a file that it fetches, cannot be read.
    """
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))

    def size(addresses):
        paths = {urllib.parse.unquote(urllib.parse.urlsplit(address).path) for address in addresses}
        return sum((path.parent / one).stat().st_size for one in paths if one)

    return Weight(
        path.stat().st_size + size(one for one in reader.at_once if not one.startswith("data:")),
        size(one for one in reader.later if not one.startswith("data:")),
    )


def weights(folder):
    """Returns the `Weight` of every page below a folder, by its path there, the heaviest first."""
    found = {path.relative_to(folder).as_posix(): weight(path) for path in folder.rglob("*.html")}
    return dict(sorted(found.items(), key=lambda item: -item[1].whole))


def main(arguments=None):
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="page_weights.py", description="List what the pages of the site weigh.")
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("folder", nargs="?", type=Path, default=root / "build" / "site", help="default: build/site")
    folder = parser.parse_args(arguments).folder
    try:
        found = weights(folder)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    if not found:
        print(f"{folder} has no pages; build_site.py writes them.", file=sys.stderr)
        return 1
    print(f"{'at once':>9} {'with pictures':>14}  page (kB)")
    for name, one in found.items():
        print(f"{one.at_once / 1000:>9,.0f} {one.whole / 1000:>14,.0f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
