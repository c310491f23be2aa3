"""A real DomainBed, its scripts unmodified, with this project's things registered in it.

``python -m ndcl_domainbed.attach domainbed.scripts.train …`` runs a script of the checkout;
:func:`register` does the same from a line in a script or a fork of one's own. Importing this
package imports neither torch nor DomainBed.
"""

from __future__ import annotations

import importlib
import os
import sys

from imbalance_splits.errors import InputError

__all__ = ["register"]


def register() -> None:
    """Add to DomainBed, in this process and in the jobs that its sweep launches.

    Registered are the algorithms of :mod:`ndcl_domainbed.algorithms` with their hyper-parameters,
    the datasets of this project, and every dataset under every imbalance setting, such as
    ``PACS_TotalHeavyTail``. Called again it changes nothing. Raises InputError if there is no
    checkout, or if this process runs on the embedded testbed.
    """
    chosen = os.environ.get("NDCL_BACKEND") or "domainbed"
    if chosen != "domainbed":
        raise InputError(
            f"NDCL_BACKEND={chosen} excludes attaching to a DomainBed checkout: unset it."
        )
    backend = sys.modules.get("ndcl_domainbed.backend")
    if backend is None:
        os.environ["NDCL_BACKEND"] = chosen
        backend = importlib.import_module("ndcl_domainbed.backend")
    if not hasattr(backend, "DESCRIPTION"):
        return  # a fork calls this while our backend imports it: our scripts need no more
    if backend.NAME != "domainbed":
        raise InputError(
            "register() comes too late: this process runs on the embedded testbed. "
            "Call it before anything else of ndcl_domainbed is imported."
        )
    importlib.import_module("ndcl_domainbed.attach.registration").register_all()
