"""VLCS."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import google_drive
from ndcl_domainbed.downloading.recipe import GB, Recipe, archive

RECIPE = Recipe(
    dataset="VLCS",
    folder="VLCS",
    domains=("Caltech101", "LabelMe", "SUN09", "VOC2007"),
    aliases={"caltech": "Caltech101", "sun": "SUN09", "pascal": "VOC2007", "voc": "VOC2007"},
    summary="photos of four older datasets; 4 domains, 5 classes, 10,729 images",
    paper=(
        "C. Fang, Y. Xu, D. N. Rockmore. Unbiased Metric Learning: On the Utilization of "
        "Multiple Datasets and Web Images for Softening Bias. ICCV 2013"
    ),
    terms=(
        "VLCS states no license of its own. Its parts are Caltech101, LabelMe, SUN09 and PASCAL "
        "VOC 2007, each with its own terms: use it for research."
    ),
    largest=15 * GB,
    ways=(
        archive(
            "VLCS.tar.gz",
            google_drive("1skwblH1_okBwxWxmRsp9_qi15hyPpxg8"),
            digest="md5:8870171eba660927d9668f4e515928e4",
        ),
        # A copy that a user offered in DomainBed's tracker in 2025.
        archive("VLCS-copy", google_drive("1yDuLrJdPSvMbTmpq-7XmwG0HnJengD-T")),
        # The copy of the DeepDG project.
        archive("VLCS-azure.zip", "https://wjdcloud.blob.core.windows.net/dataset/VLCS/VLCS.zip"),
    ),
)
