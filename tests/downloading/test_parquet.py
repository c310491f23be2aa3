from __future__ import annotations

import json

import pytest

from ndcl_domainbed.downloading.errors import BadArchive
from ndcl_domainbed.downloading.parquet import from_parquet
from tests.downloading.toys import CLASSES, DOMAINS, Listener, picture, toy_files, toy_recipe, tree

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

IMAGES = toy_files(top="")


def rows_of(images):
    """The rows of the toy dataset as the Hub keeps them: class numbers, and names apart."""
    rows = []
    for path, content in images.items():
        domain, name, file = path.split("/")
        image = {"bytes": content, "path": file}
        rows.append({"image": image, "domain": domain, "label": CLASSES.index(name)})
    return rows


def write(path, rows, names=CLASSES):
    features = {"label": {"names": list(names), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = arrow.Table.from_pylist(rows)
    parquet.write_table(table.replace_schema_metadata(metadata), path)


def arrange(tmp_path, *parts, names=CLASSES, **changes):
    files, bench, view = [], tmp_path / "bench", Listener()
    for number, rows in enumerate(parts):
        files.append(tmp_path / f"train-{number}.parquet")
        write(files[-1], rows, names)
    bench.mkdir()
    return tree(from_parquet(toy_recipe(**changes), files, bench, view)), view


def test_images_are_written_as_they_are_under_their_own_names(tmp_path):
    rows = rows_of(IMAGES)
    found, view = arrange(tmp_path, rows[:5], rows[5:])
    assert found == IMAGES
    assert view.steps["writing images"][-1] == (len(IMAGES), len(IMAGES))


def test_images_without_names_of_their_own_are_numbered(tmp_path):
    rows = rows_of(IMAGES)
    for row in rows:
        row["image"]["path"] = None
    rows[0]["image"]["bytes"] = b"\xff\xd8\xff jpeg"
    found, _ = arrange(tmp_path, rows)
    assert sorted(name.rpartition("/")[2] for name in found) == [
        f"row_{i:06d}.{'png' if i else 'jpg'}" for i in range(len(rows))
    ]
    assert sorted(found.values()) == sorted(row["image"]["bytes"] for row in rows)


def test_no_image_takes_the_name_of_another(tmp_path):
    rows = rows_of(IMAGES)
    for row in rows:
        row["image"]["path"] = "same.png"
    found, _ = arrange(tmp_path, rows)
    assert sorted(found.values()) == sorted(IMAGES.values())


def test_spellings_are_made_the_usual_ones(tmp_path):
    rows = rows_of(IMAGES)
    for row in rows:
        row["domain"] = row["domain"].title().replace(" ", "")
    found, _ = arrange(tmp_path, rows, names=["Cat", "Fire Dog"])
    assert found == IMAGES


@pytest.mark.parametrize("name", ["../../../out.png", "/out.png", "..\\..\\out.png", ".out.png"])
def test_names_do_not_lead_out_of_the_folder(tmp_path, name):
    rows = rows_of(IMAGES)
    rows[0]["image"]["path"] = name
    found, _ = arrange(tmp_path, rows)
    assert len(found) == len(IMAGES)
    assert {path.name for path in tmp_path.iterdir()} == {"bench", "train-0.parquet"}


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(domain="../ink"),
        lambda row: row.update(domain="owls"),
        lambda row: row.update(label=9),
        lambda row: row.update(label=-1),
        lambda row: row.update(label=None),
        lambda row: row.update(image=None),
        lambda row: row.update(image={"bytes": None, "path": "a.png"}),
    ],
)
def test_rows_that_are_not_of_the_data_set(tmp_path, change):
    rows = rows_of(IMAGES)
    change(rows[-1])
    if rows[-1]["domain"] == "../ink":  # spelled oddly, and still a domain's name
        found, _ = arrange(tmp_path, rows)
        assert {name.split("/")[0] for name in found} == set(DOMAINS)
        return
    with pytest.raises(BadArchive, match="not the expected Parquet file"):
        arrange(tmp_path, rows)


def test_a_domain_that_is_missing(tmp_path):
    with pytest.raises(BadArchive, match="no images of the domain oil paint"):
        arrange(tmp_path, rows_of({n: b for n, b in IMAGES.items() if n.startswith("ink")}))


def test_files_of_another_form(tmp_path):
    bench = tmp_path / "bench"
    bench.mkdir()
    broken, other = tmp_path / "broken.parquet", tmp_path / "other.parquet"
    broken.write_bytes(b"PAR1" + picture(1))
    parquet.write_table(arrow.Table.from_pylist([{"text": "x"}]), other)
    for path in (broken, other):
        with pytest.raises(BadArchive, match="not the expected Parquet file"):
            from_parquet(toy_recipe(), [path], bench, Listener())
