"""Office-Caltech-10."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import github_zip, google_drive
from ndcl_domainbed.downloading.recipe import GB, Recipe, archive

RECIPE = Recipe(
    dataset="OfficeCaltech10",
    folder="OfficeCaltech10",
    domains=("amazon", "caltech10", "dslr", "webcam"),
    aliases={"caltech": "caltech10"},
    summary="classes that Office-31 and Caltech-256 share; 4 domains, 10 classes, 2,533 images",
    paper=(
        "B. Gong, Y. Shi, F. Sha, K. Grauman. Geodesic Flow Kernel for Unsupervised Domain "
        "Adaptation. CVPR 2012"
    ),
    terms=(
        "No license is stated. The images come from amazon.com, Caltech-256 and Office-31, and "
        "their owners' rights remain: use it for research."
    ),
    largest=2 * GB,
    ways=(
        # A project that holds the images; our counts are its.
        archive(
            "OfficeCaltech10-github.zip",
            github_zip(
                "redhat12345/OfficeCaltechDomainAdaptation",
                "74f70487e1b975d1af05bb9a2ecfbf14a7000080",
            ),
        ),
        # A copy of that repository, as the download script of a public project records it.
        archive("OfficeCaltech10-copy.tar.gz", google_drive("1zF-ZR-_lC67YvuGKGXcNG-OyqOcOKhYn")),
    ),
    note=(
        "amazon, dslr and webcam are the images of ten classes of Office-31: "
        "the two datasets are one source of evidence"
    ),
)
