import resource

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import manifest
from ndcl_domainbed.sweeping.jobs import make_job


def jobs(folder, seeds):
    return [make_job({"trial_seed": seed, "test_envs": [0]}, str(folder), 7) for seed in seeds]


def test_each_job_is_noted_once(tmp_path):
    assert manifest.read_jobs(str(tmp_path)) == []
    manifest.record_jobs(jobs(tmp_path, range(3)), str(tmp_path))
    manifest.record_jobs(jobs(tmp_path, range(1, 5)), str(tmp_path))
    found = manifest.read_jobs(str(tmp_path))
    assert found == jobs(tmp_path, range(5))
    assert [job.train_args for job in found] == [job.train_args for job in jobs(tmp_path, range(5))]
    assert {job.n_steps for job in found} == {7}


def test_a_torn_line_costs_its_job_alone(tmp_path):
    path = tmp_path / "jobs.jsonl"
    manifest.record_jobs(jobs(tmp_path, range(2)), str(tmp_path))
    path.write_text(path.read_text()[:-9])
    assert manifest.read_jobs(str(tmp_path)) == jobs(tmp_path, range(1))
    manifest.record_jobs(jobs(tmp_path, range(2)), str(tmp_path))
    assert manifest.read_jobs(str(tmp_path)) == jobs(tmp_path, range(2))


def with_data(folder, data_dir, seeds):
    return [make_job({"trial_seed": s, "data_dir": data_dir}, str(folder), 7) for s in seeds]


def test_jobs_that_differ_in_data_dir_alone_keep_their_folders(tmp_path):
    known = with_data(tmp_path, "data", range(2))
    manifest.record_jobs(known, str(tmp_path))
    again = with_data(tmp_path, "data/", range(3))
    found = manifest.keep_known_folders(again, str(tmp_path))
    assert found == [*known, again[2]]
    assert [job.train_args for job in found] == [job.train_args for job in again]
    manifest.record_jobs(found, str(tmp_path))
    assert manifest.read_jobs(str(tmp_path)) == found
    assert manifest.keep_known_folders(known, str(tmp_path)) == known


def test_jobs_that_were_launched_with_another_spelling_keep_their_folders(tmp_path):
    spelled = {"dataset": "./faces/", "imbalance": "./a/mild.json", "data_dir": "d"}
    earlier = make_job(spelled, str(tmp_path), 7)
    manifest.record_jobs([earlier], str(tmp_path))
    plain = {"dataset": "faces", "imbalance": "a/mild.json", "data_dir": "d"}
    other = {**plain, "imbalance": "b/mild.json"}
    jobs = [make_job(args, str(tmp_path), 7) for args in (plain, other)]
    assert manifest.keep_known_folders(jobs, str(tmp_path)) == [earlier, jobs[1]]


def test_a_launch_that_names_two_folders_of_data_has_jobs_for_each(tmp_path):
    both = with_data(tmp_path, "small", [0]) + with_data(tmp_path, "large", [0])
    manifest.record_jobs(both[:1], str(tmp_path))
    assert manifest.keep_known_folders(both, str(tmp_path)) == both
    other = with_data(tmp_path, "small/", [0])
    assert manifest.keep_known_folders(other + both[1:], str(tmp_path)) == both
    assert len(set(manifest.keep_known_folders(other + both[1:] + other, str(tmp_path)))) == 3


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to --output_dir .*file"):
        manifest.record_jobs(jobs(tmp_path, range(1)), str(tmp_path / "file"))


def test_a_disk_that_is_full_costs_no_job(tmp_path):
    manifest.record_jobs(jobs(tmp_path, range(20)), str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*jobs\.jsonl: File too large"):
            manifest.record_jobs(jobs(tmp_path, range(200)), str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert jobs(tmp_path, range(20)) == manifest.read_jobs(str(tmp_path))[:20]
    manifest.record_jobs(jobs(tmp_path, range(200)), str(tmp_path))
    assert manifest.read_jobs(str(tmp_path)) == jobs(tmp_path, range(200))
