import shlex
import sys

from ndcl_domainbed.scripts.train import build_parser
from ndcl_domainbed.sweeping import jobs
from ndcl_domainbed.sweeping.jobs import Job, make_job
from ndcl_domainbed.training.arguments import TrainArguments

ARGS = {
    "dataset": "PACS", "algorithm": "ERM", "test_envs": [0, 2], "holdout_fraction": 0.2,
    "hparams_seed": 3, "data_dir": "my data", "task": "domain_generalization", "trial_seed": 1,
    "seed": 17, "hparams": '{"lr": 0.001}', "skip_model_save": True,
}  # fmt: skip


def test_the_command_is_read_back_as_the_same_arguments():
    job = make_job(ARGS, "out dir", 5001)
    command = job.command()
    assert command[:3] == [sys.executable, "-m", "ndcl_domainbed.scripts.train"]
    assert shlex.split(shlex.join(command)) == command
    parsed = TrainArguments(**vars(build_parser().parse_args(command[3:])))
    assert parsed == job.arguments()
    assert parsed.output_dir == str(job.folder)


def test_jobs_are_equal_when_their_folders_are():
    other = Job({**ARGS, "seed": 18}, make_job(ARGS, "out", 1).folder, 5)
    assert other == make_job(ARGS, "out", 1) != make_job(ARGS, "elsewhere", 1)
    assert len({other, make_job(ARGS, "out", 1)}) == 1


def test_title_tells_what_is_special_as_tables_do():
    title = make_job({**ARGS, "imbalance": "Duality"}, "out", 1).title()
    assert title == "ERM (lr=0.001) on PACS/Duality, test 0,2, hparams 3 trial 1"
    given = '{"resnet18": true, "class_prior": "logit"}'
    title = make_job({**ARGS, "algorithm": "NDCL", "hparams": given}, "out", 1).title()
    assert title.startswith("NDCL (class_prior=logit) on PACS [resnet18], test 0,2,")


def test_what_does_not_change_the_results_does_not_change_the_folder():
    job = make_job(ARGS, "out", 1, {"feature_cache": "cache", "num_workers": 2})
    assert job == make_job(ARGS, "out", 1)
    assert job.arguments().feature_cache == "cache"
    words = job.command()
    assert words[words.index("--num_workers") + 1] == "2"


def test_a_job_gets_its_share_of_the_cores_and_no_more_threads_than_asked_for(monkeypatch):
    monkeypatch.setattr(jobs, "cores", lambda: 8)
    found = []
    for limit in ("", "3,2", "16", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        found.append([jobs.threads_per_job(n) for n in (1, 2, 20)])
    assert found == [[8, 4, 1], [3, 3, 1], [8, 4, 1], [1, 1, 1], [8, 4, 1]]
