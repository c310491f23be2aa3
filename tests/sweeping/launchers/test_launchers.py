import argparse
import pkgutil

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import launchers
from ndcl_domainbed.sweeping.flags import parse

HERE = ["launch", "--output_dir", "out", "--data_dir", "data"]


def test_a_launcher_is_a_file():
    files = {info.name for info in pkgutil.iter_modules(launchers.__path__)}
    assert set(launchers.launchers()) == files
    assert files >= {"local", "multi_gpu", "slurm", "ray", "dummy"}


@pytest.mark.parametrize("name", launchers.launchers())
def test_it_has_what_a_launcher_needs(name):
    module = launchers.get_launcher(name)
    assert module.__doc__.splitlines()[0].endswith(".")
    assert callable(module.launch)
    group = argparse.ArgumentParser(add_help=False).add_argument_group()
    module.add_flags(group)
    assert all(action.help or action.metavar for action in group._group_actions)


@pytest.mark.parametrize(
    ("launcher", "flag"),
    [("local", "--slurm_mem"), ("slurm", "--ray_cpus"), ("dummy", "--jobs_per_gpu")],
)
def test_the_flag_of_another_launcher_is_an_error(launcher, flag):
    with pytest.raises(
        InputError, match=f"{flag} is for --command_launcher .*, not for {launcher}"
    ):
        parse([*HERE, "--command_launcher", launcher, flag, "2"])
