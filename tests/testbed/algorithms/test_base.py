import sys

import pytest
import torch

from imbalance_splits.discovery import find_classes
from imbalance_splits.errors import InputError
from ndcl_domainbed.hparams import declares_hparams
from ndcl_domainbed.testbed.algorithms.base import Algorithm, domain_indices, to_floats
from ndcl_domainbed.testbed.algorithms.erm import ERM

ERM_AGAIN = """
from ndcl_domainbed.testbed.algorithms.erm import ERM as Imported

class Mine(Imported):
    pass

class _Private(Imported):
    pass
"""


def test_scalars_keep_order_names_and_values():
    found = to_floats(
        loss=torch.tensor(0.1, requires_grad=True), steps=3, one=torch.tensor([[2.0]])
    )
    assert list(found) == ["loss", "steps", "one"]
    assert found == {"loss": torch.tensor(0.1).item(), "steps": 3, "one": 2.0}
    assert type(found["loss"]) is float
    assert type(found["steps"]) is int
    assert to_floats(loss=0.0) == {"loss": 0.0}


def test_algorithm_asks_for_update_and_predict():
    with pytest.raises(TypeError, match=r"predict.*update"):
        Algorithm((3, 8, 8), 2, 2, {})


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a user's own algorithms."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "first.py").write_text(ERM_AGAIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "mine"
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


def discover():
    return find_classes("mine", "algorithms", Algorithm, declares_hparams, elsewhere=False)


def test_discovery_finds_public_classes_where_they_are_defined(package):
    found = discover()
    assert list(found) == ["Mine"]
    assert issubclass(found["Mine"], ERM)


def test_hyper_parameters_that_are_none_are_named(package):
    own = ERM_AGAIN.replace("Mine(Imported):", "Other(Imported):\n    HPARAMS = {'foo': 3}")
    (package / "second.py").write_text(own)
    with pytest.raises(InputError, match=r"Other.HPARAMS\['foo'\] is 3; it takes an Hparam"):
        discover()


def test_domain_indices_go_with_the_joined_samples():
    minibatches = [(torch.zeros(n, 1), torch.zeros(n)) for n in (2, 0, 3)]
    assert domain_indices(minibatches).tolist() == [0, 0, 2, 2, 2]
