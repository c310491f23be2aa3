"""The guide builds as a site without a warning and without the network, and its links lead on."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parents[2] / "docs"

BUILD = """
import socket, sys

def refuse(*arguments):
    raise AssertionError(f"the build asks the network: {arguments[1:]}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda *arguments: refuse(None, *arguments)
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser fetches on its own: tag -> attribute. (``link rel=search`` and the like too.)"""


def build(source, output):
    """Build strictly, as `make docs` does, in a process that has no network."""
    flags = ["-W", "--keep-going", "--quiet", "-b", "html"]
    return subprocess.run(
        [sys.executable, "-c", BUILD, *flags, "-d", f"{output}-trees", str(source), str(output)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
    )  # fmt: skip


class Page(HTMLParser):
    """The names, links and loaded files of one page, and the pages in its navigation."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.navigation: list[str] = []
        self._in_tree = 0
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names.update(given[key] for key in ("id", "name") if given.get(key))
        if tag == "div" and (self._in_tree or "sidebar-tree" in (given.get("class") or "")):
            self._in_tree += 1
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
            if self._in_tree:
                self.navigation.append(given["href"])
        if given.get(LOADED.get(tag, "")):
            self.loaded.append(given[LOADED[tag]])

    def handle_endtag(self, tag):
        if tag == "div" and self._in_tree:
            self._in_tree -= 1


def test_the_site(tmp_path):
    """Built once: links lead somewhere, nothing is fetched, every page is in the navigation."""
    site = tmp_path / "guide" / "site"
    made = build(DOCS, site)
    assert made.returncode == 0, made.stderr
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    _assert_links_and_anchors_lead_somewhere(pages)
    _assert_nothing_is_fetched(pages, site)
    _assert_every_page_is_in_the_navigation(pages, site)


def _assert_links_and_anchors_lead_somewhere(pages):
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name} links to {link}"
            if parts.fragment and target in pages and parts.fragment != "":
                assert unquote(parts.fragment) in pages[target].names, f"{path.name}: {link}"
                checked += "#" in link and bool(parts.path)
    assert checked > 20


def _assert_nothing_is_fetched(pages, site):
    for path, page in pages.items():
        for file in page.loaded:
            parts = urlsplit(file)
            assert not (parts.scheme or parts.netloc) or parts.scheme == "data", f"{path}: {file}"
            assert (path.parent / unquote(parts.path)).exists(), f"{path.name} loads {file}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text), style


def _assert_every_page_is_in_the_navigation(pages, site):
    start = pages[site / "index.html"]
    listed = {link.split("#")[0] or "index.html" for link in start.navigation}
    written = [path.relative_to(DOCS) for path in DOCS.rglob("*") if path.suffix in (".md", ".rst")]
    assert len(written) > 15
    for path in written:
        assert path.with_suffix(".html").as_posix() in listed | {"index.html"}
