"""The page in itself, and in a real browser where there is one."""

import json
import re
from html import escape

import numpy as np
import pytest

from ndcl_domainbed.results import chosen, read_sweep
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.results.report import page
from ndcl_domainbed.results.report.provenance import training_hours
from tests.browser import found_in_a_browser, needs_browser
from tests.results.builder import random_sweep, record, write_run

DOMAINS = ["north", "south", "<east>"]
SPLIT = {
    "environments": DOMAINS,
    "classes": ["cat", "dog & </script>", "owl"],
    "train_counts": {"north": [30, 20, 1], "south": [10, 5, 0]},
    "thresholds": {"many": 15, "few": 3},
    "shots": ["many", "medium", "few"],
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep of 3 algorithms, 3 domains, 2 trials, imbalanced; and an ordinary one."""
    root = tmp_path_factory.mktemp("report")
    rng = np.random.RandomState(0)
    number = 0
    for algorithm, skill in (("ERM", 0.2835), ("CORAL", 0.4), ("NDCL", 0.5)):
        for target in range(3):
            for trial in range(2):
                records = []
                for step in (0, 10, 20):
                    shares = {f"{e}_{s}": rng.uniform() for e in range(3) for s in ("in", "out")}
                    shares |= {f"{e}_val": step / 40 for e in range(3) if e != target}
                    base = skill + step / 100
                    shares[f"{target}_in"] = base
                    made = record(
                        step, shares, test_envs=[target], algorithm=algorithm, trial_seed=trial,
                        dataset="mine", imbalance="Cross",
                        class_acc={f"env{target}_in": [base, base / 2, None]},
                    )  # fmt: skip
                    made |= {f"env{target}_in_0many": base, f"env{target}_in_2few": base / 2}
                    records.append(made | {"backend": "embedded"})
                folder = write_run(root / f"{number:03d}", records, split=SPLIT)
                (folder / "out.txt").write_text("Environment:\n\tPyTorch: 9.9\nArgs:\n\tx: 1\n")
                number += 1
    write_run(root / "zz", [records[0]], done=False, err="error: <b>no space left</b>\n")
    random_sweep(root, algorithms=["ERM", "NDCL"], draws=1, trials=1, prefix="plain")
    return read_sweep(root)


@pytest.fixture(scope="module")
def html(sweep):
    return page(sweep, build(sweep))


def data_of(html) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    return json.loads(text)


def test_the_page_needs_no_network(html):
    found = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert {url.rstrip("\\") for url in found} <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert not re.search(r"<(link|img|iframe)\b|\bsrc=|@import|url\((?!#)", html)


def test_text_from_the_runs_is_escaped(html):
    assert "<b>no space left</b>" not in html
    assert "&lt;b&gt;no space left&lt;/b&gt;" in html
    assert html.count("</script>") == 9


def test_the_figures_are_those_of_the_tables(sweep, html):
    data = data_of(html)
    assert [board["key"] for board in data["boards"]] == ["PACS", "mine / Cross"]
    (built,) = build(sweep, ["balanced"])
    rows = dict(built.tables[0].rows)
    figures = data["figures"]["balanced"]["mine / Cross"]
    assert figures["algorithms"] == ["ERM", "CORAL", "NDCL"]
    for name, row in zip(figures["algorithms"], figures["domains"]["overall"], strict=True):
        assert [cell[0] for cell in row] == [float(f"{cell.mean:.1f}") for cell in rows[name]]


def test_curves_and_classes_are_those_of_the_chosen_run(html):
    data = data_of(html)
    run = data["chosen"]["balanced"]["mine / Cross"]["NDCL"]["1"]
    assert (run["step"], run["trial"]) == (20, 0)
    assert run["classes"] == [700, 350, None]
    curve = data["curves"][run["curve"]]
    assert curve["steps"] == [0, 10, 20]
    assert curve["target"] == [500, 600, 700]
    assert curve["val"] == [0, 250, 500]
    classes = data["classes"]["mine / Cross"]["1"]
    assert classes["counts"] == [40, 25, 1]


def test_the_chosen_hyper_parameters_are_in_the_page(sweep, html):
    found = data_of(html)["hparams"]
    table = chosen.selected_hparams(sweep, build(sweep))
    assert found["columns"] == list(table.columns)
    assert len(found["rows"]) == len(found["boards"]) == len(table)
    first = dict(zip(found["columns"], found["rows"][0], strict=True))
    assert (first["selection"], first["algorithm"], first["hparams.lr"]) == (
        "training",
        "ERM",
        1e-3,
    )
    assert first["zero"] is None
    assert set(found["boards"]) == {"PACS", "mine / Cross"}


def test_the_costs_are_in_the_page(html):
    found = data_of(html)["costs"]
    assert found["columns"] == ["Seconds per run", "Draws per cell", "Seconds per cell"]
    assert set(found["rows"]) == {"PACS", "mine / Cross"}
    # 21 updates of half a second; a trial has one run
    assert found["rows"]["mine / Cross"] == [
        [name, "10.5", "1", "10.5"] for name in ("ERM", "CORAL", "NDCL")
    ]


def test_the_provenance_is_shown(html):
    for text in ("embedded (19 runs)", "PyTorch 9.9", "1 failed (left out)", "ndcl-domainbed"):
        assert text in html


def test_hours_are_the_sum_of_the_recorded_steps(tmp_path):
    records = [record(step, {"0_in": 0, "0_out": 0}, test_envs=[0]) for step in (0, 9, 19)]
    write_run(tmp_path / "a", records)
    write_run(tmp_path / "b", records)
    assert training_hours(read_sweep(tmp_path)) == pytest.approx(2 * 20 * 0.5 / 3600)


FROZEN = {"frozen": True, "resnet18": True, "batch_size": 4}
NETWORK = {"backbone": "resnet18", "weights": "<w>", "digest": "sha256:ab", "image_size": 224}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The page of ERM and two variants of NDCL on a frozen network, ERM and NDCL on the usual."""
    root = tmp_path_factory.mktemp("networks")
    variants = [("ERM", FROZEN), ("NDCL", FROZEN), ("NDCL", FROZEN | {"beta": 0})]
    for number, (algorithm, overrides) in enumerate([*variants, ("ERM", None), ("NDCL", None)]):
        for target in range(2):
            shares = {f"{e}_{s}": number / 10 for e in range(2) for s in ("in", "out")}
            made = record(
                0, shares, test_envs=[target], algorithm=algorithm, overrides=overrides,
                class_acc={f"env{target}_in": [number / 10]},
                network={**NETWORK, "frozen": True} if overrides else None,
            )  # fmt: skip
            write_run(root / f"{number}{target}", [made], split={**SPLIT, "environments": []})
    sweep = read_sweep(root)
    return page(sweep, build(sweep, ["training"]))


def test_networks_have_boards_and_variants_have_rows(networks):
    data = data_of(networks)
    label = "PACS [frozen resnet18]"
    assert [board["key"] for board in data["boards"]] == ["PACS", label]
    assert data["boards"][0]["legend"] == []
    meaning, fixed = data["boards"][1]["legend"]
    assert "frozen: the backbone is not trained" in meaning
    assert fixed == "All runs fix batch_size=4."
    rows = ["ERM", "NDCL", "NDCL (beta=0)"]
    assert data["figures"]["training"][label]["algorithms"] == rows
    classes = {name: run["0"]["classes"] for name, run in data["chosen"]["training"][label].items()}
    assert classes == {"ERM": [0], "NDCL": [100], "NDCL (beta=0)": [200]}
    assert data["chosen"]["training"]["PACS"]["NDCL"]["0"]["classes"] == [400]
    ranks = {name: by["training"]["overall"]["cells"] for name, by in data["ranks"].items()}
    assert {name: text.split(" (")[0] for name, text in ranks.items()} == {
        "": "Over 2 cells", "frozen resnet18": "Over 2 cells",
    }  # fmt: skip
    assert [board["network"] for board in data["boards"]] == list(ranks)
    assert data["hparams"]["boards"].count(label) == 3 * 2


def test_networks_are_told_with_their_weights_and_digest(networks):
    assert networks.count("<dt>Network</dt>") == 1
    told = "resnet18, frozen, 224 px, weights &lt;w&gt;, sha256:ab (6 runs)"
    assert f"<dt>Network</dt><dd>{told}</dd>" in networks


CHECK = """
<pre id="found"></pre><script>
const found = {};
const table = byId("board-table");
const nameOf = (row) => row.cells[0].textContent;
const words = () => [...table.querySelectorAll("tbody tr")].map(nameOf);
const press = (title) => [...table.querySelectorAll("th button")]
  .find((button) => button.textContent === title).click();
const sortedBy = () => table.querySelector("[aria-sort]").getAttribute("aria-sort");
try {
  byId("board").value = "mine / Cross"; byId("board").dispatchEvent(new Event("change"));
  found.criterion = byId("criterion").value;
  found.before = words();
  press("Algorithm"); found.names = [...words(), sortedBy()];
  press("Few"); found.few = words(); found.focus = document.activeElement.textContent;
  press("Few"); found.fewAgain = words();
  found.sorted = sortedBy();
  found.best = [...table.querySelectorAll("b")].map((node) => nameOf(node.closest("tr")));
  found.charts = Object.fromEntries(["groups", "heat", "curves", "classes", "ranks"].map(
    (id) => [id, byId(id).hidden ? 0 : byId(id).querySelectorAll("svg").length]));
  found.hparams = [...byId("hparams-table").rows].map(
    (row) => [...row.cells].map((cell) => cell.textContent));
  found.costs = [...byId("costs-table").rows].map(
    (row) => [...row.cells].map((cell) => cell.textContent));
  found.csv = csvOf({ columns: ["a", "b"], rows: [[1e-5, 'x,"y"'], [null, true]] });
  found.curveTitles = [...byId("curves").querySelectorAll("figcaption")].map((n) => n.textContent);
  found.dots = byId("curves").querySelectorAll("circle").length;
  byId("filter").value = "nd er"; byId("filter").dispatchEvent(new Event("input"));
  found.filtered = words(); found.shown = byId("shown").textContent;
  byId("filter").value = "zz"; byId("filter").dispatchEvent(new Event("input"));
  found.none = [words(), byId("ranks").innerHTML.includes("NaN")];
  byId("filter").value = ""; byId("filter").dispatchEvent(new Event("input"));
  byId("board").value = "PACS"; byId("board").dispatchEvent(new Event("change"));
  found.plain = words(); found.plainGroups = byId("groups").hidden;
  byId("criterion").value = "oracle"; byId("criterion").dispatchEvent(new Event("change"));
  found.oracle = byId("criterion").value;
} catch (error) { errors.push(String(error)); }
found.errors = errors;
byId("found").textContent = JSON.stringify(found);
</script></body>
"""

DRAWN = """
<pre id="found"></pre><script>
DATA.reasons.push("unfinished");
const curve = { steps: [0, 300], target: [100, 700], val: [100, 500] };
const classes = { names: ["a"], counts: [9] };
const values = [500];
const drawn = ["circle", "square"].map((mark) => ({ name: "A", color: "red", mark, values }));
const [first, second] = drawn.map((one) => marks(one, 0, [0], classes, 0, 56, Number)[0]);
byId("found").textContent = JSON.stringify({
  missing: heatMap([{ name: "A", row: 0 }], [[DATA.reasons.length - 1]], ["d"], [0], 1)
    .querySelector("title").textContent,
  white: [-10, -7, 7, 10].map((difference) => heatColor(difference, 10).dark),
  bars: [1, 2].map((trials) => bar(Number, 0, [50, 0.5, trials], "red", "A")[0].textContent),
  heights: [...curveFigure({ name: "A", run: { step: 0 }, curve }, "val", [7, 77])
    .querySelectorAll("[text-anchor=end]")].map((label) => label.textContent),
  covers: second.getAttribute("fill"), covered: first.getAttribute("fill"),
  wide: textWidth(["W".repeat(20)]),
});
</script></body>
"""

PHONE = """
<iframe width="390" height="800" srcdoc="{page}"></iframe><pre id="found"></pre><script>
onload = () => {{
  const frame = document.querySelector("iframe");
  const page = frame.contentDocument;
  const board = page.getElementById("board");
  board.value = "mine / Cross"; board.dispatchEvent(new Event("change"));
  const scales = (kind) => [...page.querySelectorAll(`.${{kind}} svg`)].map((svg) => {{
    const [now, own] = [svg.getBoundingClientRect(), svg.viewBox.baseVal];
    return [now.width / own.width, now.height / own.height];
  }});
  document.getElementById("found").textContent = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    header: getComputedStyle(page.querySelector("header")).position,
    charts: scales("chart"),
    curves: (frame.width = 480, scales("grid")),
    notes: (page.body.style.fontSize = "10px",  // as in print
      getComputedStyle(page.querySelector(".notes p")).fontSize),
  }});
}};
</script>
"""


@needs_browser
def test_the_page_sorts_and_filters_in_a_browser(html, tmp_path):
    listen = "<head><script>const errors = []; onerror = (text) => errors.push(text);</script>"
    found = found_in_a_browser(html.replace("<head>", listen).replace("</body>", CHECK), tmp_path)
    assert found["errors"] == []
    assert found["criterion"] == "balanced"
    assert found["before"] == ["ERM", "CORAL", "NDCL"]
    assert found["names"] == ["CORAL", "ERM", "NDCL", "ascending"]
    assert found["few"] == ["NDCL", "CORAL", "ERM"]
    assert found["focus"] == "Few"
    assert found["fewAgain"] == ["ERM", "CORAL", "NDCL"]
    assert found["sorted"] == "ascending"
    assert set(found["best"]) == {"NDCL"}
    assert found["charts"] == {"groups": 1, "heat": 1, "curves": 3, "classes": 1, "ranks": 3}
    assert found["hparams"][0] == ["Algorithm", "Test domain", "Trial", "Draw", "Step", "lr"]
    assert found["hparams"][1] == ["ERM", "north", "0", "0", "20", "0.001"]
    assert len(found["hparams"]) == 1 + 3 * 3 * 2
    assert found["costs"] == [
        ["Algorithm", "Seconds per run", "Draws per cell", "Seconds per cell"],
        *([name, "10.5", "1", "10.5"] for name in ("ERM", "CORAL", "NDCL")),
    ]
    assert found["csv"] == 'a,b\n0.00001,"x,""y"""\n,true\n'
    assert found["curveTitles"] == ["ERM", "CORAL", "NDCL"]
    assert found["dots"] == 3
    assert found["filtered"] == ["ERM", "NDCL"]
    assert found["shown"] == (
        "Showing mine / Cross, model selection by the balanced validation set of the training "
        "domains, 2 of 3 algorithms."
    )
    assert found["none"] == [[], False]
    assert found["plain"] == ["ERM", "NDCL"]
    assert found["plainGroups"] is True
    assert found["oracle"] == "oracle"


@needs_browser
def test_charts_can_be_read(html, tmp_path):
    found = found_in_a_browser(html.replace("</body>", DRAWN), tmp_path)
    assert found["missing"] == "A, d: unfinished"
    assert found["white"] == [False, False, False, True]  # white signs: on dark blue alone
    assert found["bars"] == ["A: 50.0", "A: 50.0 ± 0.5"]
    assert found["heights"] == ["20", "40", "60"]
    assert (found["covers"], found["covered"]) == ("none", "red")  # equal values both show
    assert found["wide"] > 20 * 7.2


@needs_browser
def test_the_page_fits_a_phone_and_paper(html, tmp_path):
    found = found_in_a_browser(PHONE.format(page=escape(html)), tmp_path)
    assert found["width"] <= 390
    assert found["header"] == "static"  # it would cover a third of the screen
    assert found["notes"] == "9px"  # never larger than the text
    for width, height in found["charts"]:  # they scroll, at their own size
        assert width >= 1
        assert width == pytest.approx(height, rel=0.01)
    for width, height in found["curves"]:
        assert width < 1
        assert width == pytest.approx(height, rel=0.02)


def test_what_is_lost_to_imbalance_is_a_column_of_the_page(tmp_path):
    for setting, share in (("Cross", 0.5), ("Balanced:like=Cross", 0.75)):
        for target in range(2):
            shares = {f"{target}_in": share, f"{1 - target}_val": 0.5}
            made = record(0, shares, test_envs=[target], dataset="mine", imbalance=setting)
            write_run(tmp_path / f"{setting}{target}", [made])
    sweep = read_sweep(tmp_path)
    figures = data_of(page(sweep, build(sweep, ["balanced"])))["figures"]["balanced"]
    assert figures["mine / Cross"]["lost"] == [[[25.0, 0.0, 1]]]
    assert "Balanced:like=Cross" in figures["mine / Cross"]["notes"][0]
    assert figures["mine / Balanced:like=Cross"]["lost"] == []
