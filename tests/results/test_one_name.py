"""One thing has one name, and two things have two."""

import pytest

from ndcl_domainbed.results import chosen, load, read_sweep, select, summary
from ndcl_domainbed.results.identity import short_names
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.scripts import collect_results, list_top_hparams
from tests.results.builder import record, write_run

SHARES = {f"{env}_{split}": 0.5 for env in range(4) for split in ("in", "out")}


def write(root, share=0.5, done=True, split=None, **args):
    made = record(0, {**SHARES, "0_in": share}, **{"test_envs": [0], **args})
    return write_run(root / f"{len(list(root.iterdir())):03}", [made], done=done, split=split)


def test_tables_of_one_file_name_are_told_apart(tmp_path):
    write(tmp_path, 0.2, imbalance="a/mild.json")
    write(tmp_path, 0.9, imbalance="b/mild.json")
    rows = select(load(tmp_path), "training")
    assert dict(zip(rows["setting"], rows["overall"], strict=True)) == {
        "a/mild": 0.2,
        "b/mild": 0.9,
    }


def test_copies_of_one_table_are_one_setting(tmp_path):
    counts = {"C": [5, 1]}
    for path, n in (("a/mild.json", 5), ("/copy/mild.json", 5), ("b/mild.json", 6)):
        write(tmp_path, imbalance=path, split={"train_counts": {"C": [n, 1]}, "thresholds": None})
        write(tmp_path, imbalance=path, test_envs=[1], split={"train_counts": counts})
    settings = read_sweep(tmp_path).runs["setting"].tolist()
    assert settings[:4] == ["copy/mild"] * 4
    assert settings[4:] == ["b/mild"] * 2


def test_a_split_that_the_list_fixes_is_no_ordinary_split(tmp_path):
    split = {"thresholds": {"many": 4, "few": 2}}
    made = record(0, SHARES, test_envs=[0], dataset="faces.csv")
    write_run(tmp_path / "000", [{**made, "env0_in_0many": 0.5}], split=split)
    write(tmp_path, dataset="faces.csv", test_envs=[1])  # of an earlier version
    write(tmp_path, dataset="plain.csv", split={"thresholds": None})
    assert read_sweep(tmp_path).runs["setting"].tolist() == ["own split"] * 2 + ["none"]
    (built,) = build(read_sweep(tmp_path), ["training"])
    titles = [table.title for table in built.tables if table.kind == "domains"]
    shown = {title["Dataset"]: title.get("imbalance") for title in titles}
    assert shown == {"plain": None, "faces": "own split"}


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["tables/Cross.json", "Cross"], ["tables/Cross", "Cross"]),
        (["a/mild.json", "a/mild.csv"], ["a/mild.json", "a/mild.csv"]),
        (["/home/me/x/mild.json", "/home/me/y/mild.json"], ["x/mild", "y/mild"]),
        (["/home/me/faces", "PACS"], ["faces", "PACS"]),
        (["my/faces", "PowerLaw:exponent=2"], ["my/faces", "PowerLaw:exponent=2"]),
    ],
)
def test_a_path_is_shown_by_as_much_as_tells_it_from_the_others(texts, names):
    assert list(short_names(texts).values()) == names


def test_spellings_of_one_path_are_one_dataset_and_one_table(tmp_path):
    for name in ("faces", "./faces", "faces/", "x/../faces"):
        write(tmp_path, dataset=name, imbalance="t/mild.json")
        write(tmp_path, dataset=name, imbalance="./t//mild.json")
    runs = read_sweep(tmp_path).runs
    assert set(runs["dataset"]) == {"faces"}
    assert set(runs["setting"]) == {"mild"}


def test_a_domain_has_its_name_of_the_ordinary_split_under_every_setting(tmp_path, capsys):
    folders = {"environments": ["art_painting", "cartoon", "photo", "sketch"], "classes": []}
    write(tmp_path, imbalance="Cross", split=folders)
    write(tmp_path, test_envs=[3])
    (built,) = build(read_sweep(tmp_path), ["training"])
    tables = [table for table in built.tables if table.kind == "domains"]
    assert [table.columns for table in tables] == [["A", "C", "P", "S", "Avg"]] * 2
    assert set(load(tmp_path)["domain"]) == {"A", "S"}
    of = ["--dataset", "PACS", "--algorithm", "ERM", "--imbalance", "none", "--test_env"]
    for text in ("3", "S", "sketch"):
        assert list_top_hparams.main(["--input_dir", str(tmp_path), *of, text]) == 0
        assert "test_acc: 0.5000" in capsys.readouterr().out


def test_runs_of_domainbeds_own_scripts_are_selected_on_the_balanced_split_under_its_name(tmp_path):
    steps = [(0.3, 0.9), (0.6, 0.1)]  # the accuracy on both splits that have 5 images a class
    for name, split, args in (
        ("attached", "out", {"dataset": "PACS_Cross"}),
        ("ours", "val", {"dataset": "PACS", "imbalance": "Cross", "algorithm": "NDCL"}),
    ):
        records = []
        for step, (target, source) in enumerate(steps):
            shares = {**SHARES, "0_in": target} | {f"{env}_{split}": source for env in (1, 2, 3)}
            records.append(record(step, shares, test_envs=[0], **args))
        write_run(tmp_path / name, records)
    by_balance = select(load(tmp_path), "balanced")
    assert by_balance["overall"].tolist() == [0.3, 0.3]
    assert by_balance["algorithm"].tolist() == ["ERM", "NDCL"]
    # what training left over is evaluated in our runs alone
    assert select(load(tmp_path), "training")["algorithm"].tolist() == ["NDCL"]
    (built,) = build(read_sweep(tmp_path), ["training"])
    assert "own scripts evaluate no such split" in dict(built.tables[0].rows)["ERM"][0].reason
    assert select(load(tmp_path), "oracle")["algorithm"].tolist() == ["ERM", "NDCL"]


def test_runs_evaluated_on_few_images_count_in_no_table_unless_asked(tmp_path):
    write(tmp_path, 0.2)
    write(tmp_path, 0.9, eval_images=64, hparams_seed=1)
    sweep = read_sweep(tmp_path)
    assert summary.runs_line(sweep) == "Runs: 1 done, 1 tried out (left out)."
    assert build(sweep, ["training"])[0].selected["overall"].tolist() == [0.2]
    assert build(sweep, ["training"], partial=True)[0].selected["overall"].tolist() == [0.9]
    frame = load(tmp_path)
    assert frame["eval_images"].tolist() == [0, 64]
    assert frame["done"].tolist() == [True, False]
    only = sweep.only(algorithm=["ERM"])
    only.runs = only.runs[only.runs["hparams_seed"] == 1]
    (built,) = build(read_sweep(tmp_path / "001"), ["training"])
    assert built.tables[0].rows[0][1][0].reason == "1 run tried out"


def test_no_absolute_path_is_passed_on(tmp_path, capsys):
    home = tmp_path / "home" / "me"
    sweep = home / "sweep"
    sweep.mkdir(parents=True)
    own = {"dataset": str(home / "faces"), "imbalance": str(home / "tables" / "mild.json")}
    for algorithm in ("ERM", "NDCL"):
        write(sweep, algorithm=algorithm, **own)
    made = record(0, SHARES, test_envs=[0], overrides={"weights": str(home / "net.pth")},
                  hparams={"weights": str(home / "net.pth")}, **own,
                  network={"backbone": "x", "weights": str(home / "net.pth")})  # fmt: skip
    write_run(sweep / "weights", [made])
    failed = record(0, SHARES, test_envs=[1], **own)
    write_run(sweep / "failed", [failed], done=False, err=f"error: no file {home}/cat.png\n")
    write_run(sweep / "none", [], done=False)
    output, report = tmp_path / "t.csv", tmp_path / "report.html"
    flags = ["--input_dir", str(sweep), "--output", str(output), "--html", str(report)]
    assert collect_results.main([*flags, "--statistics"]) == 0
    table = chosen.every_run(read_sweep(sweep), ["training"])
    texts = [path.read_text() for path in (output, tmp_path / "t_hparams.csv", report)]
    for text in (*texts, table.to_csv(), capsys.readouterr().out):
        assert str(tmp_path) not in text
        assert "faces" in text
    assert "1 run failed (no file cat.png)" in texts[0]
    assert "sweep/none: no record" in texts[2]
