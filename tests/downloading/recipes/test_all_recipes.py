"""What every recipe must keep, a new one included."""

from urllib.parse import urlsplit

import pytest

from imbalance_splits.published import DOMAINS, label_counts
from ndcl_domainbed.downloading import all_recipes
from ndcl_domainbed.downloading.arranging import spelling, usual_names
from ndcl_domainbed.testbed.datasets import get_dataset_class

RECIPES = all_recipes()
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


def listed_files(recipe):
    """Return the files that are known without asking a host."""
    return [file for way in recipe.ways if not callable(way.files) for file in way.files]


def test_the_datasets_with_a_recipe():
    offices = {"Office31", "OfficeCaltech10", "OfficeHome"}
    assert set(RECIPES) == {"PACS", "VLCS", "DomainNet", "TerraIncognita", *offices}


@pytest.mark.parametrize("name", RECIPES)
def test_it_lands_where_the_dataset_is_looked_for(name):
    recipe, dataset = RECIPES[name], get_dataset_class(name)
    assert recipe.dataset == name
    assert recipe.folder == dataset.FOLDER
    assert list(recipe.domains) == list(dataset.DOMAINS.values())


@pytest.mark.parametrize("name", DOMAINS)
def test_classes_and_domains_are_those_of_the_published_counts(name):
    recipe = RECIPES[name]
    assert list(recipe.domains) == list(DOMAINS[name].values())
    for counts in label_counts(name).values():
        assert set(recipe.class_names()) == set(counts)


@pytest.mark.parametrize("name", RECIPES)
def test_names_differ_even_when_spelled_otherwise(name):
    recipe = RECIPES[name]
    for names in (recipe.domains, recipe.class_names()):
        assert len({spelling(one) for one in names}) == len(names)
    assert set(usual_names(recipe).values()) == set(recipe.domains)


@pytest.mark.parametrize("name", RECIPES)
def test_addresses_and_digests_are_well_formed(name):
    recipe = RECIPES[name]
    urls = [url for file in listed_files(recipe) for url in file.urls]
    assert len(set(urls)) == len(urls)
    for url in urls:
        address = urlsplit(url)
        assert address.scheme in ("http", "https")
        assert "." in (address.hostname or "")
        assert address.path.startswith("/")
    for file in listed_files(recipe):
        assert file.urls
        assert file.name == file.name.replace("/", "")
        assert file.size is None or 0 < file.size <= recipe.largest
        if file.digest is not None:
            algorithm, _, digits = file.digest.partition(":")
            assert 32 <= len(digits) <= DIGITS[algorithm]
            assert set(digits) <= set("0123456789abcdef")
    names = [file.name for file in listed_files(recipe)]
    assert len(set(names)) == len(names)  # they share a folder


@pytest.mark.parametrize("name", RECIPES)
def test_nobody_is_left_with_one_host(name):
    hosts = {urlsplit(u).hostname for file in listed_files(RECIPES[name]) for u in file.urls}
    assert len(hosts) > 1


@pytest.mark.parametrize("name", RECIPES)
def test_the_summary_counts_domains_and_classes(name):
    recipe = RECIPES[name]
    assert f"{len(recipe.domains)} domains, {len(recipe.class_names())} classes" in recipe.summary
