"""Small datasets, archives and views for the tests of downloads."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from contextlib import contextmanager

from PIL import Image

from ndcl_domainbed.downloading.arranging import from_archives
from ndcl_domainbed.downloading.downloaders import Patience
from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, Way

HASTY = Patience(timeout=5.0, max_stalls=3, pause=0.0)
DOMAINS = ("ink", "oil paint")
CLASSES = ("cat", "fire_dog")
PER_CLASS = 3


class Listener:
    """A view that keeps what it is given."""

    def __init__(self):
        self.lines = []
        self.steps = {}

    def say(self, line):
        self.lines.append(line)

    @contextmanager
    def progress(self, what, unit="bytes"):
        calls = self.steps.setdefault(what, [])
        yield lambda done, total: calls.append((done, total))


def picture(shade):
    """A small real image."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 10, 20)).save(stream, "PNG")
    return stream.getvalue()


def toy_files(top="toy/", domains=DOMAINS, classes=CLASSES):
    """Path -> content of the images of the toy dataset, as an archive has them."""
    return {
        f"{top}{domain}/{name}/{i}.png": picture(10 * i + 3 * len(domain) + len(name))
        for domain in domains
        for name in classes
        for i in range(PER_CLASS)
    }


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def md5(content):
    return "md5:" + hashlib.md5(content).hexdigest()


def toy_recipe(*ways, **changes):
    """A recipe for the toy dataset; a way may be given as the address of its only file."""
    settled = [
        way if isinstance(way, Way) else Way((RemoteFile(f"toy{i}", (way,)),), from_archives)
        for i, way in enumerate(ways)
    ]
    given = {
        "dataset": "Toy", "folder": "toy_data", "domains": DOMAINS, "classes": CLASSES,
        "summary": "cats and dogs", "paper": "A. Author. Toys. 2020", "terms": "do as you like",
        "largest": 10**6, "ways": tuple(settled),
    }  # fmt: skip
    return Recipe(**(given | changes))


def tree(root):
    """Relative path -> content of every file below ``root``."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
