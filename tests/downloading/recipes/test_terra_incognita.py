import json

import pytest

from ndcl_domainbed.downloading import get_recipe
from ndcl_domainbed.downloading.arranging import arrange_camera_traps
from ndcl_domainbed.downloading.recipe import SourceFailure
from tests.downloading.toys import picture, tarred, tree

CATEGORIES = [
    {"id": 6, "name": "bobcat"}, {"id": 30, "name": "empty"}, {"id": 33, "name": "car"},
    {"id": 1, "name": "opossum"},
]  # fmt: skip
# file -> (place, categories)
SEEN = {
    "a.jpg": (38, [6]),
    "b.jpg": (38, [6, 6]),  # two animals of a kind
    "c.jpg": (43, [1, 6]),  # of two kinds
    "d.jpg": ("46", [30]),
    "e.jpg": (100, [1]),
    "f.jpg": (100, [33]),  # no class of ours
    "g.jpg": (7, [6]),  # no place of ours
    "h.jpg": (100, []),
}
EXPECTED = {
    "location_38/bobcat/a.jpg", "location_38/bobcat/b.jpg", "location_43/opossum/c.jpg",
    "location_43/bobcat/c.jpg", "location_46/empty/d.jpg", "location_100/opossum/e.jpg",
}  # fmt: skip
PICTURES = {name: picture(20 * i) for i, name in enumerate(SEEN)}


def annotations(seen):
    """One annotation file for ``seen``, of the form that the benchmark has."""
    return {
        "categories": CATEGORIES,
        "images": [
            {"id": name[:-4], "file_name": name, "location": place}
            for name, (place, _) in seen.items()
        ],
        "annotations": [
            {"id": f"{name}{i}", "image_id": name[:-4], "category_id": kind, "bbox": [0, 0, 1, 1]}
            for name, (_, kinds) in seen.items()
            for i, kind in enumerate(kinds)
        ],
    }


def run(tmp_path, notes, pictures=PICTURES):
    images, labels, bench = (tmp_path / name for name in ("images", "labels", "bench"))
    images.write_bytes(tarred({f"all_images_sm/{n}": body for n, body in pictures.items()}))
    labels.write_bytes(tarred({f"notes/{n}": json.dumps(t).encode() for n, t in notes.items()}))
    bench.mkdir()
    return tree(arrange_camera_traps(get_recipe("TerraIncognita"), [images, labels], bench))


def test_images_go_to_their_place_and_animal(tmp_path):
    half = dict(list(SEEN.items())[:4]), dict(list(SEEN.items())[4:])
    found = run(tmp_path, {"train.json": annotations(half[0]), "val.json": annotations(half[1])})
    assert set(found) == EXPECTED
    assert all(body == PICTURES[name.rpartition("/")[2]] for name, body in found.items())


def test_images_that_the_archive_lacks(tmp_path):
    fewer = {name: body for name, body in PICTURES.items() if name not in ("a.jpg", "d.jpg")}
    with pytest.raises(SourceFailure, match="images lacks 2 of the annotated images"):
        run(tmp_path, {"train.json": annotations(SEEN)}, fewer)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.pop("images"),
        lambda table: table["images"][0].pop("location"),
        lambda table: table["annotations"][0].update(category_id=99),
        lambda table: table["annotations"][0].update(image_id="zz"),
    ],
)
def test_annotations_of_another_form(tmp_path, change):
    table = annotations(SEEN)
    change(table)
    with pytest.raises(SourceFailure, match="annotations of another form"):
        run(tmp_path, {"train.json": table})


def test_a_place_without_images(tmp_path):
    seen = {name: value for name, value in SEEN.items() if value[0] != 43}
    with pytest.raises(SourceFailure, match="annotated images of 3 of 4 places"):
        run(tmp_path, {"train.json": annotations(seen)})


def test_a_repeated_annotation_changes_nothing_and_no_file_name_leads_out(tmp_path):
    table = annotations(SEEN)
    table["images"][0]["file_name"] = "../../../a.jpg"
    assert set(run(tmp_path, {"train.json": table, "val.json": table})) == EXPECTED
