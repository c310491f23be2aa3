"""NDCL, 21 baselines and imbalanced splits for domain generalization, in DomainBed's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndcl_domainbed.version import __version__

if TYPE_CHECKING:
    from ndcl_domainbed.training.saved_model import load_model

__all__ = ["__version__", "load_model"]


def __getattr__(name: str) -> Any:
    """Return ``load_model`` when it is asked for: it takes importing torch."""
    if name == "load_model":
        from ndcl_domainbed.training.saved_model import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
