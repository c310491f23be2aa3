"""The names that tables use: datasets and their domains, algorithms, measures.

These are facts about the protocol, kept here so that a table can be made without torch and
without the data. Other datasets' domain names are read from a run's ``split.json``.
"""

from __future__ import annotations

from collections.abc import Iterable

from imbalance_splits.published import DOMAINS
from ndcl_domainbed.results.labels import base_algorithm, base_dataset

NO_SETTING = "none"
"""The name under which runs on DomainBed's ordinary split appear among the settings."""

OWN_SPLIT = "own split"
"""The name under which runs on a split that the dataset itself fixes appear among the settings."""

_SPAWRIOUS = ("Test", "SC_group_1", "SC_group_2")

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "Debug28": ("0", "1", "2"),
    "Debug224": ("0", "1", "2"),
    "DigitsDG": ("MNIST", "MNIST-M", "OPT", "SYN"),
    "ColoredMNIST": ("+90%", "+80%", "-90%"),
    "RotatedMNIST": ("0", "15", "30", "45", "60", "75"),
    "VLCS": tuple(DOMAINS["VLCS"]),
    "PACS": tuple(DOMAINS["PACS"]),
    "OfficeHome": tuple(DOMAINS["OfficeHome"]),
    "TerraIncognita": ("L100", "L38", "L43", "L46"),
    "DomainNet": tuple(DOMAINS["DomainNet"]),
    "Office31": tuple(DOMAINS["Office31"]),
    "OfficeCaltech10": tuple(DOMAINS["OfficeCaltech10"]),
    "SVIRO": (
        *("aclass", "escape", "hilux", "i3", "lexus"),
        *("tesla", "tiguan", "tucson", "x5", "zoe"),
    ),
    "WILDSCamelyon": tuple(f"hospital_{i}" for i in range(5)),
    "WILDSFMoW": tuple(f"region_{i}" for i in range(6)),
    "SpawriousO2O_easy": _SPAWRIOUS,
    "SpawriousO2O_medium": _SPAWRIOUS,
    "SpawriousO2O_hard": _SPAWRIOUS,
    "SpawriousM2M_easy": _SPAWRIOUS,
    "SpawriousM2M_medium": _SPAWRIOUS,
    "SpawriousM2M_hard": _SPAWRIOUS,
}
"""Domain names in environment order; the datasets in the order in which tables show them."""

SETTINGS = (NO_SETTING, "TotalHeavyTail", "Duality", "Cross", "GINIDG")

ALGORITHMS = (
    *("ERM", "IRM", "GroupDRO", "Mixup", "MLDG", "CORAL", "MMD", "DANN", "SagNet", "VREx"),
    *("RSC", "Fishr", "RDM", "Focal", "ReWeight", "BSoftmax", "LDAM", "BoDA", "GINIDG"),
    *("PGrad", "TCRI_HSIC"),
    *("CBLoss", "SqrtReWeight", "ReSample", "LDAM_DRW", "LA", "BCL", "TALLY", "MIRO"),
)
"""The order of rows. Others follow as they are met; NDCL is last."""

METRIC_TITLES = {
    "overall": "Overall",
    "many": "Many",
    "medium": "Medium",
    "few": "Few",
    "zero": "Zero",
    "balanced": "Balanced",
    "worst": "Worst class",
}
METRICS = tuple(METRIC_TITLES)
"""What can be reported of a target domain, in the order of the columns."""


def order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return ``names`` without repeats: the ``known`` first, in their order, then the others.

    >>> order(["B", "X", "A"], ["A", "B"])
    ['A', 'B', 'X']
    """
    present = list(dict.fromkeys(names))
    first = [name for name in known if name in present]
    return first + [name for name in present if name not in first]


def ordered_algorithms(names: Iterable[str]) -> list[str]:
    """Return rows in their order: known algorithms, others, NDCL last; each before its variants.

    >>> ordered_algorithms(["NDCL (beta=0)", "NDCL", "Mine", "ERM"])
    ['ERM', 'Mine', 'NDCL', 'NDCL (beta=0)']
    """
    variants: dict[str, set[str]] = {}
    for name in names:
        variants.setdefault(base_algorithm(name), set()).add(name)
    first = [name for name in order(variants, ALGORITHMS) if name != "NDCL"]
    algorithms = [*first, *(["NDCL"] if "NDCL" in variants else [])]
    return [row for algorithm in algorithms for row in sorted(variants[algorithm])]


def ordered_datasets(labels: Iterable[str]) -> list[str]:
    """Return the labels of datasets in the order of tables, each dataset's together.

    >>> ordered_datasets(["mine", "PACS [resnet18]", "VLCS", "PACS"])
    ['VLCS', 'PACS', 'PACS [resnet18]', 'mine']
    """
    known = list(ENVIRONMENTS)

    def place(label: str) -> tuple[int, str, str]:
        base = base_dataset(label)
        return known.index(base) if base in ENVIRONMENTS else len(known), base, label

    return sorted(set(labels), key=place)


def environment_names(dataset: str, count: int, recorded: Iterable[str] | None = None) -> list[str]:
    """Return ``count`` domain names: the known ones, or as a run ``recorded`` them, or numbers.

    A count of 0 is unknown. Names that are more or fewer than ``count`` are not taken. ``dataset``
    may be a label, with its network.

    >>> environment_names("PACS", 4)
    ['A', 'C', 'P', 'S']
    >>> environment_names("mine", 2)
    ['env0', 'env1']
    """
    for names in (list(ENVIRONMENTS.get(base_dataset(dataset), ())), list(recorded or ())):
        if names and count in (0, len(names)):
            return names
    return [f"env{i}" for i in range(count)]
