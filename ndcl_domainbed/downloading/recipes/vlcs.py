"""VLCS."""

from __future__ import annotations

from ndcl_domainbed.downloading.addresses import google_drive
from ndcl_domainbed.downloading.arranging import from_archives
from ndcl_domainbed.downloading.recipe import GB, Recipe, RemoteFile, Way

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
        "VLCS states no licence of its own. Its parts are Caltech101, LabelMe, SUN09 and PASCAL "
        "VOC 2007, each with its own terms: use it for research."
    ),
    largest=15 * GB,
    ways=(
        Way(
            (
                RemoteFile(
                    "VLCS.tar.gz",
                    (google_drive("1skwblH1_okBwxWxmRsp9_qi15hyPpxg8"),),
                    digest="md5:8870171eba660927d9668f4e515928e4",
                ),
            ),
            from_archives,
        ),
        # A copy that a user offered in DomainBed's tracker in 2025.
        Way(
            (RemoteFile("VLCS-copy", (google_drive("1yDuLrJdPSvMbTmpq-7XmwG0HnJengD-T"),)),),
            from_archives,
        ),
        # The copy of the DeepDG project.
        Way(
            (
                RemoteFile(
                    "VLCS-azure.zip",
                    ("https://wjdcloud.blob.core.windows.net/dataset/VLCS/VLCS.zip",),
                ),
            ),
            from_archives,
        ),
    ),
)
