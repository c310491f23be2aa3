from __future__ import annotations

import pytest

from ndcl_domainbed.downloading.arranging import from_archives
from ndcl_domainbed.downloading.errors import BadArchive
from tests.downloading.toys import (
    CLASSES,
    DOMAINS,
    Listener,
    picture,
    tarred,
    toy_files,
    toy_recipe,
    tree,
    zipped,
)

PLAIN = toy_files(top="")


def arrange(tmp_path, *archives, **changes):
    """Arrange archives by the toy recipe; return path -> content of the result."""
    files, bench = [], tmp_path / "bench"
    for number, content in enumerate(archives):
        files.append(tmp_path / f"archive{number}")
        files[-1].write_bytes(content)
    bench.mkdir()
    return tree(from_archives(toy_recipe(**changes), files, bench, Listener()))


@pytest.mark.parametrize("top", ["", "kfold/", "./", "a/b/c/"])
def test_domains_are_found_wherever_they_lie(tmp_path, top):
    assert arrange(tmp_path, tarred(toy_files(top))) == PLAIN


def test_only_the_domains_are_taken(tmp_path):
    more = {"toy/readme.txt": b"x", "toy/splits/cat/0.png": picture(1), "toy/ink/list.txt": b"x"}
    assert arrange(tmp_path, zipped(toy_files() | more)) == PLAIN


@pytest.mark.parametrize("domains", [DOMAINS, DOMAINS[:1]])
def test_a_level_between_domain_and_class_is_left_out(tmp_path, domains):
    files = {
        "/".join([domain, "images", *rest] if domain in domains else [domain, *rest]): content
        for name, content in PLAIN.items()
        for domain, *rest in [name.split("/")]
    }
    assert files != PLAIN
    assert arrange(tmp_path, zipped(files)) == PLAIN


def test_a_level_that_also_holds_images_is_refused(tmp_path):
    files = {f"ink/images/{i}.png": picture(i) for i in range(2)}
    files |= {name.replace("ink/", "ink/images/"): content for name, content in PLAIN.items()}
    with pytest.raises(BadArchive, match="ink/images is the only folder of its domain and holds b"):
        arrange(tmp_path, zipped(files))


def test_an_archive_for_each_domain(tmp_path):
    parts = [zipped(toy_files("", domains=[domain])) for domain in DOMAINS]
    assert arrange(tmp_path, *parts) == PLAIN


def test_names_get_their_usual_spelling(tmp_path):
    files = {
        name.replace("ink/", "India/").replace("oil paint", "Oil_Paint").replace("_dog", " Dog"): b
        for name, b in toy_files().items()
    }
    assert arrange(tmp_path, zipped(files), aliases={"india": "ink"}) == PLAIN


def test_a_class_too_much_is_left_for_the_verification_to_name(tmp_path):
    files = toy_files("", classes=[*CLASSES, "owl"])
    assert set(arrange(tmp_path, zipped(files))) == set(files)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (toy_files(domains=["ink"]), "has no folder with the domains ink, oil paint"),
        (toy_files(classes=["cat"]), "has no images of the class fire_dog in ink"),
        (toy_files(classes=["train", "test"]), "has no images of the class cat, fire_dog in ink"),
        (toy_files("a/b/c/d/e/"), "has no folder with the domains"),
        (toy_files() | {"toy/ink/cat/": b""}, None),
        (dict.fromkeys(toy_files(), b"") | {"x": b""}, None),
        ({name + ".txt": b"x" for name in toy_files()}, "has no images of the class"),
    ],
)
def test_what_is_missing_is_named(tmp_path, files, reason):
    if reason is None:
        arrange(tmp_path, zipped(files))
        return
    with pytest.raises(BadArchive, match=reason):
        arrange(tmp_path, zipped(files))


def test_progress_is_shown_for_each_archive(tmp_path):
    view, bench = Listener(), tmp_path / "bench"
    bench.mkdir()
    (tmp_path / "a.zip").write_bytes(zipped(toy_files()))
    from_archives(toy_recipe(), [tmp_path / "a.zip"], bench, view)
    assert list(view.steps) == ["a.zip: unpacking"]
    assert len(view.steps["a.zip: unpacking"]) == len(PLAIN)
