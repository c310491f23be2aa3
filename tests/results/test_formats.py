import csv
import io
from html.parser import HTMLParser

import pytest

from ndcl_domainbed.results import tables
from ndcl_domainbed.results.formats import MODULES, render
from ndcl_domainbed.results.formats.common import best_and_second, notes
from ndcl_domainbed.results.tables import Cell, Table

TABLE = Table(
    "domains",
    {"Dataset": "a_b", "model selection method": "100% <oracle>"},
    ["one", "two", "Avg"],
    [
        ("ERM", [Cell(50.04, 1.26, 3, 60), Cell(10, 0, 3, 60), Cell(30.0, None, 3)]),
        ("My_Own", [Cell(49.96, 2, 3, 60), Cell(reason="no run"), Cell(reason="missing")]),
        ("NDCL", [Cell(40, 2, 3, 60), Cell(9, 1, 2, 40), Cell(24.5, None, 2)]),
        ("MMD", [Cell(30, 2, 3, 60), Cell(9, 1, 2, 40), Cell(19.5, None, 2)]),
    ],
    head=["Many > 20 & Few < 5"],
    notes=["a note"],
)


def test_the_best_and_second_share_places_where_they_read_the_same():
    best, second = best_and_second(TABLE)
    assert best == {(0, 0), (1, 0), (0, 1), (0, 2)}  # 50.04 and 49.96 both read 50.0
    assert second == {(2, 0), (2, 1), (3, 1), (2, 2)}


def test_text_is_in_domainbeds_columns():
    lines = render("text", ["head"], [TABLE]).splitlines()
    assert lines[:3] == ["head", "", "-------- Dataset: a_b, model selection method: 100% <oracle>"]
    assert lines[4] == f"{'Algorithm':<20}  {'one':<20}  {'two':<20}  Avg"
    assert lines[5] == f"{'ERM':<20}  {'50.0 +/- 1.3':<20}  {'10.0 +/- 0.0':<20}  30.0"
    assert lines[9:] == [
        "  X under two for My_Own: no run",
        "  X under Avg for My_Own: missing",
        "  a note",
    ]


@pytest.mark.parametrize("name", list(MODULES))
def test_every_format_has_every_figure_and_reason(name):
    page = render(name, ["head"], [TABLE], counts=True)
    assert "no run" in page
    for number in ("19.5", "24.5"):
        assert number in page
    if name != "csv":
        assert "(3/60)" in page
        assert "(3/60)" not in render(name, [], [TABLE])


def test_markdown_marks_and_escapes():
    page = render("markdown", [], [TABLE])
    assert "| ERM | **50.0 ± 1.3** | **10.0 ± 0.0** | **30.0** |" in " ".join(page.split())
    assert "<u>40.0 ± 2.0</u>" in page
    assert r"My\_Own" in page
    assert r"100% \<oracle>" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1


def test_latex_is_balanced_and_escaped():
    page = render("latex", ["50% done"], [TABLE, TABLE])
    depth = 0
    for sign in page.replace(r"\{", "").replace(r"\}", ""):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    for name in ("document", "center", "tabular"):
        assert page.count(rf"\begin{{{name}}}") == page.count(rf"\end{{{name}}}")
    assert r"50\% done" in page
    assert r"My\_Own" in page
    assert r"\textbf{50.0 $\pm$ 1.3}" in page
    assert r"\underline{24.5 (n=2)}" in page
    rows = [line for line in page.splitlines() if line.endswith(r" \\")]
    assert {line.count(" & ") for line in rows} == {3}


NAME = "Büro_%"
NASTY = '[β] Büro_%&#$~^{}\\|\'`--*, "數"'


def named(name: str) -> Table:
    rows = [
        (name, [Cell(50.0, 1.0, 2), Cell(reason=f"no {name}")]),
        ("ERM", [Cell(1.0, 0.0, 2)] * 2),
    ]
    return Table("domains", {"Dataset": name, "model selection method": "any"}, [name, "Avg"], rows)


def test_latex_takes_any_name():
    page = render("latex", [f"head {NAME}"], [named(NAME)])
    assert r"head Büro\_\%\par" in page
    assert r"\textbf{Algorithm} & \textbf{Büro\_\%} & \textbf{Avg} \\" in page
    assert r"Büro\_\% & \textbf{50.0 $\pm$ 1.0} & X \\" in page
    assert r"for Büro\_\%: no Büro\_\%" in page
    assert r"\usepackage[T1]{fontenc}" in page

    page = render("latex", [], [named(NASTY)])
    (row,) = [line for line in page.splitlines() if line.endswith(r"& X \\")]
    assert row.startswith(
        r"{[}β] Büro\_\%\&\#\$\textasciitilde{}\textasciicircum{}\{\}\textbackslash{}"
        r"\textbar{}'`-{}-{*}, "
    )


def test_a_reason_names_few_of_many_rows():
    rows = [(f"A{i}", [Cell(reason="no trial")]) for i in range(9)]
    table = Table("measures", {}, ["Few"], [*rows, ("ERM", [Cell(1.0)])])
    assert notes(table) == ["X under Few for A0, A1, A2, A3, A4, A5 and 3 more: no trial"]


def test_csv_has_a_row_per_figure_with_all_digits():
    rows = list(csv.DictReader(io.StringIO(render("csv", ["one", "two, three"], [TABLE]))))
    assert len(rows) == 12
    assert rows[0]["mean"] == "50.04"
    assert rows[0]["dataset"] == "a_b"
    assert rows[0]["setting"] == "none"
    assert {row["table_head"] for row in rows} == {"Many > 20 & Few < 5"}
    assert {row["table_notes"] for row in rows} == {"a note"}
    assert {row["page_head"] for row in rows} == {"one | two, three"}
    assert rows[4]["reason"] == "no run"
    assert rows[4]["mean"] == ""


def test_texts_of_latex_are_escaped_and_without_a_criterion_there_is_no_heading():
    profile = Table("statistics", {}, ["> 10 %"], [("ERM", [Cell(text="55 %")])])
    page = render("latex", [], [TABLE, profile])
    assert r"ERM & 55 \% \\" in page
    assert "None" not in page


def test_costs_in_csv_have_their_setting():
    title = {"Cost": "", "Dataset": "PACS", "imbalance": "Cross"}
    table = Table("statistics", title, ["Seconds"], [("ERM", [Cell(text="5")])])
    (row,) = csv.DictReader(io.StringIO(render("csv", [], [table])))
    assert (row["dataset"], row["setting"]) == ("PACS", "Cross")


def test_statistics_in_csv_are_of_no_setting():
    table = Table("statistics", {"Statistics": ""}, ["Mean"], [("ERM", [Cell(text="37.8")])])
    (row,) = csv.DictReader(io.StringIO(render("csv", [], [table])))
    assert (row["dataset"], row["setting"], row["text"]) == ("", "", "37.8")


def test_html_is_well_formed():
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    page = render("html", ["a < b"], [TABLE])
    Checker().feed(page)
    assert open_tags == []
    assert "a &lt; b" in page
    assert "<td><b>50.0 ± 1.3</b></td>" in page


def test_the_best_row_comes_first_and_rows_without_a_figure_last():
    rows = [
        (name, [Cell(first), Cell(average)])
        for name, first, average in [("A", 9.0, 1.0), ("B", 1.0, 3.0), ("C", 1.0, None)]
    ]
    table = tables.Table("domains", {}, ["sketch", tables.AVERAGE], rows)
    assert [name for name, _ in tables.best_first(table).rows] == ["B", "A", "C"]
    table.columns = ["Overall", "Few"]
    assert [name for name, _ in tables.best_first(table).rows] == ["A", "B", "C"]
