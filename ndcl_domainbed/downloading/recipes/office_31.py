"""Office-31."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import github_zip, google_drive
from ndcl_domainbed.downloading.recipe import GB, Recipe, archive

RECIPE = Recipe(
    dataset="Office31",
    folder="Office31",
    domains=("amazon", "dslr", "webcam"),
    summary="office objects from three sources; 3 domains, 31 classes, 4,110 images",
    paper=(
        "K. Saenko, B. Kulis, M. Fritz, T. Darrell. Adapting Visual Category Models to New "
        "Domains. ECCV 2010"
    ),
    terms=(
        "The authors state no license. The images of amazon come from amazon.com, and their "
        "owners' rights remain: use it for research."
    ),
    largest=2 * GB,
    ways=(
        # A project that holds the images, in the official layout; our counts are its.
        archive(
            "Office31-github.zip",
            github_zip("syorami/DDC-transfer-learning", "9090f7fdd7c149c6158c5145b516abee97bb0944"),
        ),
        # The archive that the authors' page links to, as many public projects record it.
        archive(
            "Office31.tar.gz",
            google_drive("0B4IapRTv9pJ1WGZVd1VDMmhwdlE", "0-gNMHVtZfRAyO_t2_WrOunA"),
        ),
        # The copy of the transferlearning project.
        archive(
            "Office31-azure.zip", "https://wjdcloud.blob.core.windows.net/dataset/OFFICE31.zip"
        ),
    ),
)
