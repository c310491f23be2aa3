"""Office-Home."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import google_drive, hub_parquet
from ndcl_domainbed.downloading.parquet import OTHER_ORDER, arrange_parquet
from ndcl_domainbed.downloading.recipe import GB, Recipe, Way, archive

RECIPE = Recipe(
    dataset="OfficeHome",
    folder="office_home",
    domains=("Art", "Clipart", "Product", "Real World"),
    summary="objects from offices and homes; 4 domains, 65 classes, 15,588 images",
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
        archive(
            "OfficeHome.zip",
            google_drive("1uY0pj7oFsjMxRwaD3Sxy0jgel0fsYXLC"),
            google_drive("0B81rNlvomiwed0V1YUxQdC1uOTg", "0-2SNWq0CDAuWOBRRBL7ZZsw"),
            google_drive("1o2ieb-WCn-d4UBpJ_Fg5n1uIil60nJz2"),
            digest="md5:b1c14819770c4448fd5b6d931031c91c",
        ),
        # A copy that a user offered in DomainBed's tracker in 2025.
        archive("OfficeHome-copy", google_drive("1USXqK4nCvOAR5Ty4iwKcuCOrRJoRuDyU")),
        # The copy of the DeepDG project.
        archive(
            "OfficeHome-azure.zip",
            "https://wjdcloud.blob.core.windows.net/dataset/OfficeHome.zip",
        ),
        Way(lambda: hub_parquet("flwrlabs/office-home"), arrange_parquet, OTHER_ORDER),
    ),
)
