"""The command, as a user calls it, against hosts on the loopback interface."""

import signal
import subprocess
import sys

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed import downloading
from ndcl_domainbed.downloading import all_recipes
from ndcl_domainbed.scripts.download import main
from tests.downloading.toys import tarred, toy_files, toy_recipe, tree, zipped

ZIP = zipped(toy_files())


def call(recipe, data_dir, *flags: object) -> int:
    """Run the command as if ``recipe`` were the only one."""
    arguments = ["--dataset", recipe.dataset, "--data_dir", data_dir, *flags]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloading, "all_recipes", lambda: {recipe.dataset: recipe})
        return main([str(a) for a in arguments])


def test_a_download_shows_what_it_gets_and_checks_it(host, tmp_path, capsys):
    assert call(toy_recipe(host.serve("/a", ZIP), note="mind the dogs"), tmp_path) == 0
    here = host.address.removeprefix("http://")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "Toy: cats and dogs",
        "terms: do as you like",
        "cite:  A. Author. Toys. 2020",
        f"toy0: downloading from {here}",
        "note: 2 domains, ink, oil paint; 2 classes",
        "note: mind the dogs",
        f"{tmp_path}/toy_data: 12 images, all sound; there are no published counts to compare with",
    ]
    assert captured.err == ""
    assert tree(tmp_path / "toy_data") == toy_files(top="")


def test_published_counts_are_compared(host, tmp_path, capsys):
    pacs = all_recipes()["PACS"]
    files = toy_files("kfold/", domains=pacs.domains, classes=pacs.class_names())
    recipe = toy_recipe(
        host.serve("/a", zipped(files)),
        dataset="PACS", folder="PACS", domains=pacs.domains, classes=(),
    )  # fmt: skip
    assert call(recipe, tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "missing: art_painting/dog has 3 images, 376 fewer than published" in lines
    assert lines[-1] == f"{tmp_path}/PACS: 84 images, 28 problems"


def test_what_is_there_is_left_alone_unless_forced(host, tmp_path, capsys):
    recipe = toy_recipe(host.serve("/slow", ZIP), host.serve("/fast", ZIP))
    (tmp_path / "toy_data" / "ink").mkdir(parents=True)
    assert call(recipe, tmp_path) == 0
    assert "is there already and was left alone" in capsys.readouterr().out
    assert host.asked == []
    assert call(recipe, tmp_path, "--force", "--not_from", "/slow", "/other") == 0
    assert [path for path, _ in host.asked] == ["/fast"]
    assert tree(tmp_path / "toy_data") == toy_files(top="")
    with pytest.raises(InputError, match="--not_from leaves no address of Toy"):
        call(recipe, tmp_path, "--force", "--not_from", "/slow", "/fast")


def test_a_killed_download_is_resumed(host, tmp_path):
    body = tarred({"readme": bytes(40 * 10**6)} | toy_files(), "w")  # more than sockets buffer
    url = host.serve("/a", body, stalls_after=30 * 10**6)
    code = (
        "import sys; from tests.downloading.test_command import call;"
        "from tests.downloading.toys import toy_recipe;"
        "call(toy_recipe(sys.argv[1], largest=10**8), sys.argv[2])"
    )
    with subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path)]) as process:
        assert host.stalled.wait(60)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "toy_data").exists()
    (part,) = (tmp_path / ".download" / "toy_data").glob("toy0.*.part")
    kept = part.stat().st_size
    assert kept > 10**6
    host.serve("/a", body)
    assert call(toy_recipe(url, largest=10**8), tmp_path) == 0
    assert host.ranges("/a")[-1] == f"bytes={kept}-"
    assert tree(tmp_path / "toy_data") == toy_files(top="")


def test_an_unknown_dataset():
    with pytest.raises(InputError, match="download 'Office-Home'; did you mean 'OfficeHome'"):
        main(["--dataset", "Office-Home"])
