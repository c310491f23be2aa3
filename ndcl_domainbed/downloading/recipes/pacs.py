"""PACS."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import github_zip, google_drive, hub_file
from ndcl_domainbed.downloading.parquet import OTHER_ORDER, arrange_parquet
from ndcl_domainbed.downloading.recipe import GB, Recipe, RemoteFile, Way, archive

_PARQUET = RemoteFile(
    "PACS.parquet",
    (
        hub_file(
            "flwrlabs/pacs",
            "394113073258ead631f617d2e13bb377c0715c4b",
            "data/train-00000-of-00001.parquet",
        ),
    ),
    digest="sha256:4fc041ee92eec6043fe6e2859e8bdd138e5f958bc621afd153879812cbe65ff5",
    size=191_395_900,
)

RECIPE = Recipe(
    dataset="PACS",
    folder="PACS",
    domains=("art_painting", "cartoon", "photo", "sketch"),
    aliases={"art": "art_painting"},
    summary="art paintings, cartoons, photos and sketches; 4 domains, 7 classes, 9,991 images",
    paper=(
        "D. Li, Y. Yang, Y.-Z. Song, T. M. Hospedales. Deeper, Broader and Artier Domain "
        "Generalization. ICCV 2017. arXiv 1710.03077"
    ),
    terms=(
        "The authors state no license. The images come from Caltech256, Sketchy, TU-Berlin and "
        "Google Images, and their owners' rights remain: use it for research."
    ),
    largest=2 * GB,
    ways=(
        archive(
            "PACS.zip",
            google_drive("1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd"),
            digest="md5:fd5db817f7cdafeef3bfd525aaf9b42e",
        ),
        # A copy that a user offered in DomainBed's tracker in 2025.
        archive("PACS-copy.zip", google_drive("1WWi9tuUNFmUiw7Eirq_JT_hxYZv3J-Vv")),
        # Its listing was checked by others: four domains, 9,991 images.
        archive(
            "PACS-hub.zip",
            hub_file("Azeez577/PACS", "fb1ee820df83b4e9957251d9f6973eb6d424c494", "PACS.zip"),
        ),
        # The copy of the DeepDG project.
        archive("PACS-azure.zip", "https://wjdcloud.blob.core.windows.net/dataset/PACS.zip"),
        # A course's repository that holds the images.
        archive(
            "PACS-github.zip",
            github_zip(
                "MachineLearning2020/Homework3-PACS", "33f7def03be34c3fbb1a4d5c97384ab602884833"
            ),
        ),
        Way((_PARQUET,), arrange_parquet, OTHER_ORDER),
    ),
)
