"""Small datasets and archives for the tests of downloads."""

import hashlib
import io
import tarfile
import zipfile

from PIL import Image

from ndcl_domainbed.downloading.recipe import Recipe, RemoteFile, Way

DOMAINS = ("ink", "oil paint")
CLASSES = ("cat", "fire_dog")


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
        for i in range(3)
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
    given = {
        "dataset": "Toy", "folder": "toy_data", "domains": DOMAINS, "classes": CLASSES,
        "summary": "cats and dogs", "paper": "A. Author. Toys. 2020", "terms": "do as you like",
        "largest": 10**6,
        "ways": tuple(
            way if isinstance(way, Way) else Way((RemoteFile(f"toy{i}", (way,)),))
            for i, way in enumerate(ways)
        ),
    }  # fmt: skip
    return Recipe(**(given | changes))


def tree(root):
    """Relative path -> content of every file below ``root``."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
