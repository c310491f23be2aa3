import pytest

from imbalance_splits.settings import setting_names
from ndcl_domainbed.results.identity import identity
from ndcl_domainbed.results.names import environment_names


def test_a_runs_own_names_come_first():
    assert environment_names("PACS", 2, ["x", "y"]) == ["x", "y"]


def test_names_that_do_not_fit_the_number_of_domains_are_not_taken():
    assert environment_names("PACS", 3) == ["env0", "env1", "env2"]
    assert environment_names("PACS", 4, ["x"]) == ["A", "C", "P", "S"]


@pytest.mark.parametrize("setting", setting_names())
def test_every_setting_is_known_in_the_name_of_an_attached_data_set(setting):
    run = identity({"dataset": f"PACS_{setting}", "algorithm": "ERM", "test_envs": [0]})
    assert (run.dataset, run.setting) == ("PACS", setting)


@pytest.mark.parametrize("name", ["PACS_mine", "office_home", "my_Balanced_photos"])
def test_other_names_with_underscores_stay_whole(name):
    run = identity({"dataset": name, "algorithm": "ERM", "test_envs": [0]})
    assert (run.dataset, run.setting) == (name, "none")
