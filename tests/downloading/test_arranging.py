"""From archives, and from Parquet files, to the folders of the domains."""

import json

import pytest

from ndcl_domainbed.downloading.arranging import arrange_archives, arrange_parquet
from ndcl_domainbed.downloading.recipe import SourceFailure
from tests.downloading.toys import (
    CLASSES,
    DOMAINS,
    picture,
    tarred,
    toy_files,
    toy_recipe,
    tree,
    zipped,
)

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

PLAIN = toy_files(top="")


def arrange(tmp_path, *archives, **changes):
    """Arrange archives by the toy recipe; return path -> content of the result."""
    files, bench = [], tmp_path / "bench"
    for number, content in enumerate(archives):
        files.append(tmp_path / f"archive{number}")
        files[-1].write_bytes(content)
    bench.mkdir()
    return tree(arrange_archives(toy_recipe(**changes), files, bench))


@pytest.mark.parametrize("top", ["", "kfold/", "./", "a/b/c/"])
def test_domains_are_found_wherever_they_lie(tmp_path, top):
    more = {f"{top}readme.txt": b"x", "splits/cat/0.png": picture(1), f"{top}ink/list.txt": b"x"}
    assert arrange(tmp_path, tarred(toy_files(top) | more)) == PLAIN


@pytest.mark.parametrize("domains", [DOMAINS, DOMAINS[:1]])
def test_a_level_between_domain_and_class_is_left_out(tmp_path, domains):
    files = {
        "/".join([domain, "images", *rest] if domain in domains else [domain, *rest]): content
        for name, content in PLAIN.items()
        for domain, *rest in [name.split("/")]
    }
    assert files != PLAIN
    assert arrange(tmp_path, zipped(files)) == PLAIN


def test_an_archive_for_each_domain(tmp_path):
    parts = [zipped(toy_files("", domains=[domain])) for domain in DOMAINS]
    assert arrange(tmp_path, *parts) == PLAIN


def test_names_get_their_usual_spelling(tmp_path):
    files = {
        name.replace("ink/", "India/").replace("oil paint", "Oil_Paint").replace("_dog", " Dog"): b
        for name, b in toy_files().items()
    }
    assert arrange(tmp_path, zipped(files), aliases={"india": "ink"}) == PLAIN


def test_a_surplus_class_is_left_for_the_verification_to_name(tmp_path):
    files = toy_files("", classes=[*CLASSES, "owl"])
    assert set(arrange(tmp_path, zipped(files))) == set(files)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (toy_files(domains=["ink"]), "has no folder with the domains ink, oil paint"),
        (toy_files(classes=["cat"]), "has no images of the class fire_dog in ink"),
        (toy_files(classes=["train", "test"]), "has no images of the class cat, fire_dog in ink"),
        (toy_files("a/b/c/d/e/"), "has no folder with the domains"),
        ({name + ".txt": b"x" for name in toy_files()}, "has no images of the class"),
        (
            {name.replace("ink/", "ink/images/"): b for name, b in PLAIN.items()}
            | {"ink/images/0.png": picture(1)},
            "ink/images is the only folder of its domain and holds b",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, files, reason):
    with pytest.raises(SourceFailure, match=reason):
        arrange(tmp_path, zipped(files))


def rows():
    """The rows of the toy dataset as the Hub keeps them: class numbers, and names apart."""
    return [
        {
            "image": {"bytes": content, "path": file}, "domain": domain,
            "label": CLASSES.index(name),
        }
        for path, content in PLAIN.items()
        for domain, name, file in [path.split("/")]
    ]  # fmt: skip


def from_rows(tmp_path, *parts, names=CLASSES):
    """Arrange Parquet files with these rows; return path -> content of the result."""
    features = {"label": {"names": list(names), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    files, bench = [], tmp_path / "bench"
    for number, part in enumerate(parts):
        files.append(tmp_path / f"train-{number}.parquet")
        table = arrow.Table.from_pylist(part)
        parquet.write_table(table.replace_schema_metadata(metadata), files[-1])
    bench.mkdir()
    return tree(arrange_parquet(toy_recipe(), files, bench))


def test_rows_become_files_under_their_own_names_in_the_usual_spelling(tmp_path):
    given = rows()
    for row in given:
        row["domain"] = row["domain"].title().replace(" ", "")
    assert from_rows(tmp_path, given[:5], given[5:], names=["Cat", "Fire Dog"]) == PLAIN


def test_images_without_names_are_numbered_and_none_takes_the_name_of_another(tmp_path):
    given = rows()
    for row in given:
        row["image"]["path"] = None
    given[0]["image"]["bytes"] = b"\xff\xd8\xff jpeg"
    given[4]["image"]["path"] = given[5]["image"]["path"] = "same.png"
    found = from_rows(tmp_path, given)
    assert sorted(name.rpartition("/")[2] for name in found) == [
        *(f"row_{i:06d}.{'png' if i else 'jpg'}" for i in range(len(given)) if i != 4),
        "same.png",
    ]
    assert sorted(found.values()) == sorted(row["image"]["bytes"] for row in given)


@pytest.mark.parametrize("name", ["../../../out.png", "/out.png", "..\\..\\out.png", ".out.png"])
def test_names_of_rows_do_not_lead_out_of_the_folder(tmp_path, name):
    given = rows()
    given[0]["image"]["path"] = name
    given[1]["domain"] = "../ink"
    assert len(from_rows(tmp_path, given)) == len(PLAIN)
    assert {path.name for path in tmp_path.iterdir()} == {"bench", "train-0.parquet"}


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "owls"}, {"label": 9}, {"label": -1}, {"label": None}, {"image": None},
        {"image": {"bytes": None, "path": "a.png"}},
    ],
)  # fmt: skip
def test_rows_that_do_not_belong_to_the_dataset(tmp_path, change):
    given = rows()
    given[-1] |= change
    with pytest.raises(SourceFailure, match="not the expected Parquet file"):
        from_rows(tmp_path, given)


def test_parquet_files_of_another_form(tmp_path):
    with pytest.raises(SourceFailure, match="no images of the domain oil paint"):
        from_rows(tmp_path, [row for row in rows() if row["domain"] == "ink"])
    broken, other = tmp_path / "broken.parquet", tmp_path / "other.parquet"
    broken.write_bytes(b"PAR1" + picture(1))
    parquet.write_table(arrow.Table.from_pylist([{"text": "x"}]), other)
    for path in (broken, other):
        with pytest.raises(SourceFailure, match="not the expected Parquet file"):
            arrange_parquet(toy_recipe(), [path], tmp_path / "bench")
