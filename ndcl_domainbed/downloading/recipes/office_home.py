"""Office-Home."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import google_drive, hub_parquet
from ndcl_domainbed.downloading.arranging import from_archives
from ndcl_domainbed.downloading.parquet import OTHER_ORDER, from_parquet
from ndcl_domainbed.downloading.recipe import GB, Recipe, RemoteFile, Way

RECIPE = Recipe(
    dataset="OfficeHome",
    folder="office_home",
    domains=("Art", "Clipart", "Product", "Real World"),
    summary="things of office and home; 4 domains, 65 classes, 15,588 images",
    paper=(
        "H. Venkateswara, J. Eusebio, S. Chakraborty, S. Panchanathan. Deep Hashing Network for "
        "Unsupervised Domain Adaptation. CVPR 2017. arXiv 1706.07522"
    ),
    terms=(
        "For non-commercial research and education (the authors' fair use notice): it contains "
        "copyrighted material; anything beyond needs the copyright owners' permission."
    ),
    largest=8 * GB,
    ways=(
        Way(
            (
                RemoteFile(
                    "OfficeHome.zip",
                    (
                        google_drive("1uY0pj7oFsjMxRwaD3Sxy0jgel0fsYXLC"),
                        google_drive("0B81rNlvomiwed0V1YUxQdC1uOTg", "0-2SNWq0CDAuWOBRRBL7ZZsw"),
                        google_drive("1o2ieb-WCn-d4UBpJ_Fg5n1uIil60nJz2"),
                    ),
                    digest="md5:b1c14819770c4448fd5b6d931031c91c",
                ),
            ),
            from_archives,
        ),
        # A copy that a user offered in DomainBed's tracker in 2025.
        Way(
            (RemoteFile("OfficeHome-copy", (google_drive("1USXqK4nCvOAR5Ty4iwKcuCOrRJoRuDyU"),)),),
            from_archives,
        ),
        # The copy of the DeepDG project.
        Way(
            (
                RemoteFile(
                    "OfficeHome-azure.zip",
                    ("https://wjdcloud.blob.core.windows.net/dataset/OfficeHome.zip",),
                ),
            ),
            from_archives,
        ),
        Way(
            lambda: hub_parquet("flwrlabs/office-home"),
            from_parquet,
            note=OTHER_ORDER,
        ),
    ),
)
