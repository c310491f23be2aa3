"""NDCL, 21 baselines and imbalanced splits for domain generalization, in DomainBed's protocol."""

from ndcl_domainbed.version import __version__

__all__ = ["__version__"]
