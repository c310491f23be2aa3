import json

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping.flags import parse

HERE = ["--output_dir", "out", "--data_dir", "data"]


def written(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return ["launch", *HERE, "--sweep", str(path)]


def test_defaults_are_domainbeds():
    options, (grid,) = parse(["launch", *HERE])
    assert (grid.n_hparams_from, grid.n_hparams, grid.n_trials) == (0, 20, 3)
    assert (grid.datasets, grid.algorithms, grid.imbalance) == (None, None, None)
    assert (grid.run_args, grid.single_test_envs) == ({}, False)
    assert (options.command_launcher, options.seed, options.skip_confirmation) == (
        "local", 0, False,
    )  # fmt: skip


def test_a_file_stands_for_flags(tmp_path):
    argv = written(
        tmp_path,
        """
        datasets: [PACS, VLCS]
        algorithms: ERM
        imbalance: [Duality]
        holdout_fraction: 0
        hparams: {lr: 0.01, batch_size: 8}
        single_test_envs: true
        skip_model_save: false
        stop_early: false
        jobs: 3
        """,
    )
    options, (grid,) = parse(argv)
    words = [
        "--datasets", "PACS", "VLCS", "--algorithms", "ERM", "--imbalance", "Duality",
        "--holdout_fraction", "0", "--hparams", '{"batch_size": 8, "lr": 0.01}',
        "--single_test_envs", "--jobs", "3",
    ]  # fmt: skip
    same_options, (same_grid,) = parse(["launch", *HERE, *words])
    assert grid == same_grid
    assert options.jobs == same_options.jobs == 3


def test_numbers_of_a_file_are_what_they_look_like(tmp_path):
    text = """
        command_launcher: slurm
        slurm_time: 12:00:00
        slurm_mem: 16G
        holdout_fraction: .5
        hparams: {lr: 1e-3, weight_decay: 0.5e-4, batch_size: 8, nesterov: true}
        """
    options, (grid,) = parse(written(tmp_path, text))
    assert (options.slurm_time, options.slurm_mem) == (12 * 60, "16G")
    assert grid.run_args["holdout_fraction"] == 0.5
    assert json.loads(grid.run_args["hparams"]) == {
        "lr": 1e-3, "weight_decay": 5e-5, "batch_size": 8, "nesterov": True,
    }  # fmt: skip


def test_a_file_may_hold_flags_of_a_launcher_that_another_one_replaces(tmp_path):
    argv = written(tmp_path, "{command_launcher: slurm, slurm_gpus: 1, datasets: [PACS]}")
    assert parse([*argv, "--command_launcher", "local"])[0].command_launcher == "local"
    with pytest.raises(InputError, match="--slurm_mem is for --command_launcher slurm, not for lo"):
        parse([*argv, "--command_launcher", "local", "--slurm_mem", "1G"])
    with pytest.raises(InputError, match="--slurm_gpus is for --command_launcher slurm, not for l"):
        parse(written(tmp_path, "{slurm_gpus: 1, datasets: [PACS]}"))


def test_flags_win_over_blocks_and_blocks_over_the_file(tmp_path):
    text = """
    n_trials: 5
    n_hparams: 7
    datasets: [PACS]
    blocks:
      - {imbalance: [GINIDG]}
      - {imbalance: [Duality], datasets: [OfficeHome], n_trials: 2, n_hparams: 9}
    """
    _, (first, second) = parse([*written(tmp_path, text), "--n_hparams", "1"])
    assert (first.imbalance, first.datasets, first.n_trials, first.n_hparams) == (
        ["GINIDG"], ["PACS"], 5, 1,
    )  # fmt: skip
    assert (second.imbalance, second.datasets, second.n_trials, second.n_hparams) == (
        ["Duality"], ["OfficeHome"], 2, 1,
    )  # fmt: skip


BLOCKS = """
    algorithms: [ERM, NDCL]
    hparams: {frozen: true, image_size: 128}
    blocks:
      - {datasets: [PACS, VLCS], imbalance: [Duality, GINIDG]}
      - {datasets: [Office31], imbalance: [Duality]}
      - {datasets: [PACS], algorithms: [NDCL], imbalance: [GINIDG], hparams: {class_prior: logit}}
    """


def _chosen(tmp_path, *flags):
    _, grids = parse([*written(tmp_path, BLOCKS), *flags])
    return [(grid.datasets, grid.algorithms, grid.imbalance) for grid in grids]


def test_flags_choose_among_the_values_of_blocks(tmp_path):
    both = ["ERM", "NDCL"]
    assert _chosen(tmp_path, "--datasets", "PACS") == [
        (["PACS"], both, ["Duality", "GINIDG"]), (["PACS"], ["NDCL"], ["GINIDG"]),
    ]  # fmt: skip
    assert _chosen(tmp_path, "--imbalance", "Duality") == [
        (["PACS", "VLCS"], both, ["Duality"]), (["Office31"], both, ["Duality"]),
    ]  # fmt: skip
    assert _chosen(tmp_path, "--datasets", "Office31", "--algorithms", "NDCL") == [
        (["Office31"], ["NDCL"], ["Duality"]),
    ]  # fmt: skip
    assert _chosen(tmp_path, "--algorithms", "NDCL")[2] == (["PACS"], ["NDCL"], ["GINIDG"])


def test_values_of_which_no_block_has_any_replace_those_of_the_blocks(tmp_path):
    assert [datasets for datasets, *_ in _chosen(tmp_path, "--datasets", "mine")] == [["mine"]] * 3


def test_a_value_that_no_block_lists_beside_one_that_some_list_is_an_error(tmp_path):
    message = r"--datasets mine: no block .* lists it; the blocks list Office31, PACS, VLCS\.$"
    with pytest.raises(InputError, match=message):
        _chosen(tmp_path, "--datasets", "PACS", "mine")


def test_hyper_parameters_are_merged_one_by_one(tmp_path):
    argv = [*written(tmp_path, BLOCKS), "--hparams", '{"image_size": 96, "lr": 0.1}']
    _, (first, _, last) = parse(argv)
    shared = {"frozen": True, "image_size": 96, "lr": 0.1}
    assert json.loads(first.run_args["hparams"]) == shared
    assert json.loads(last.run_args["hparams"]) == {**shared, "class_prior": "logit"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm: [ERM]", "unknown key in .*sweep.yaml 'algorithm'; did you mean 'algorithms'"),
        ("blocks: [{jobs: 2}]", "unknown key in .*sweep.yaml, block 1 'jobs'"),
        ("blocks: 3", "blocks must be a list"),
        ("n_trials: many", "sweep.yaml: .*--n_trials.* invalid int value: 'many'"),
        ("n_trials:", "n_trials has no value"),
        ("single_test_envs: 3", "sweep.yaml: "),
        ("sweep: other.yaml", "unknown key .* 'sweep'"),
        ("[1, 2]", "sweep.yaml: it must hold names of flags"),
        ("", "sweep.yaml is empty: it must hold names of flags"),
        ("a: b: c", "not valid YAML"),
        ("seed: 2026-13-45", "sweep.yaml: .*--seed.* invalid int value: '2026-13-45'"),
    ],
)
def test_a_bad_file_is_an_error(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        parse(written(tmp_path, text))


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    argv = written(tmp_path, "")
    (tmp_path / "sweep.yaml").write_bytes(b"algorithms: [ERM] # \xff")
    with pytest.raises(InputError, match=r"sweep\.yaml is not valid YAML: 'utf-8' codec"):
        parse(argv)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot read --sweep .*nothing\.yaml"):
        parse(["launch", *HERE, "--sweep", str(tmp_path / "nothing.yaml")])


@pytest.mark.parametrize("missing", ["output_dir", "data_dir"])
def test_folders_must_be_named(missing):
    argv = ["launch", "--output_dir", "out", "--data_dir", "data"]
    at = argv.index(f"--{missing}")
    with pytest.raises(InputError, match=f"--{missing} is missing"):
        parse(argv[:at] + argv[at + 2 :])


@pytest.mark.parametrize(
    ("launcher", "flag"),
    [("local", "--slurm_mem"), ("slurm", "--ray_cpus"), ("dummy", "--jobs_per_gpu")],
)
def test_the_flag_of_another_launcher_is_an_error(launcher, flag):
    with pytest.raises(
        InputError, match=f"{flag} is for --command_launcher .*, not for {launcher}"
    ):
        parse(["launch", *HERE, "--command_launcher", launcher, flag, "2"])


def test_flags_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit) as error:
        parse(["launch", *HERE, "--n_trial", "1"])
    assert error.value.code == 2
    assert "--n_trial" in capsys.readouterr().err
