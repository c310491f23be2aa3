"""DomainNet."""

from __future__ import annotations

from ndcl_domainbed.downloading.recipe import GB, Recipe, RemoteFile, Way, archive

_OFFICIAL = "csr.bu.edu/ftp/visda/2019/multi-source"

# Paths of the cleaned version, and beginnings of the SHA-512 digests that the kwcoco project
# compares with.
_ZIPS = {
    "groundtruth/clipart.zip": "3bcfb9ec1b4061e8d5b0b887d4ebd4a708732787fc563c6dfc2d",
    "infograph.zip": "47841f0d1b8606e4b02d508b250484d54f5cf04ef6c4875c6c5a39c",
    "groundtruth/painting.zip": "4c98b02563075948668a298c488660fda1d1a7ed85fd69caa7985fba",
    "quickdraw.zip": "127cce1dd57fc99992f8614de77d03ae8ed6af242973f7a013ec0a",
    "real.zip": "751713d4592d1278b50bf69787988cfae280cabdac80ee34ec4016e",
    "sketch.zip": "369b8b6d78ac61bfcc85f660d878ba5fc701524b82bbc2eb65ca9a",
}

RECIPE = Recipe(
    dataset="DomainNet",
    folder="domain_net",
    domains=("clipart", "infograph", "painting", "quickdraw", "real", "sketch"),
    summary="images in six styles; 6 domains, 345 classes, 596,006 images (17.5 GB)",
    paper=(
        "X. Peng, Q. Bai, X. Xia, Z. Huang, K. Saenko, B. Wang. Moment Matching for Multi-Source "
        "Domain Adaptation. ICCV 2019. arXiv 1812.01754"
    ),
    terms=(
        "For non-commercial research and education (the authors' fair use notice): it contains "
        "copyrighted material; anything beyond needs the copyright owners' permission."
    ),
    largest=80 * GB,
    ways=(
        Way(
            tuple(
                RemoteFile(
                    path.rpartition("/")[2],
                    (f"http://{_OFFICIAL}/{path}", f"https://{_OFFICIAL}/{path}"),
                    digest=f"sha512:{digest}",
                )
                for path, digest in _ZIPS.items()
            )
        ),
        # The copy of the WILDS project.
        archive(
            "DomainNet-wilds.tar.gz",
            "https://worksheets.codalab.org/rest/bundles/"
            "0x0b8ca76eef384b98b879d0c8c4681a32/contents/blob/",
            size=19_255_770_459,
        ),
    ),
    note=(
        "DomainBed's own script also removes 9,431 images that are duplicates, which leaves "
        "586,575; the published label counts are those of all 596,006"
    ),
)
