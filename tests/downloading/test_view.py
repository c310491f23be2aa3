from __future__ import annotations

import io
from itertools import pairwise

from rich.console import Console

from ndcl_domainbed.downloading.view import PlainView, TerminalView, view_for_here


def test_lines_come_seldom_and_tell_the_time_to_go(capsys):
    now = [100.0]
    view = PlainView(every=60.0, clock=lambda: now[0])
    with view.progress("real.zip") as report:
        for done in range(1, 11):
            now[0] += 25
            report(done * 10**8, 10**9)
    assert capsys.readouterr().out.splitlines() == [
        "real.zip: 300.0 MB of 1.0 GB, 4 min to go",
        "real.zip: 600.0 MB of 1.0 GB, 2 min to go",
        "real.zip: 900.0 MB of 1.0 GB, 28 s to go",
    ]


def test_only_what_this_run_brings_makes_the_pace(capsys):
    now = [0.0]
    view = PlainView(every=10.0, clock=lambda: now[0])
    with view.progress("real.zip") as report:
        report(900, 1000)
        now[0] = 10.0
        report(910, 1000)
    assert capsys.readouterr().out == "real.zip: 910 bytes of 1.0 kB, 90 s to go\n".replace(
        "90 s", "2 min"
    )


def test_without_a_whole_there_is_no_time_to_go(capsys):
    now = [0.0]
    view = PlainView(every=10.0, clock=lambda: now[0])
    with view.progress("writing", "images") as report:
        now[0] = 11.0
        report(5000, None)
    assert capsys.readouterr().out == "writing: 5,000 images\n"


def test_a_terminal_gets_a_bar_with_the_time_to_go():
    stream = io.StringIO()
    view = TerminalView(Console(file=stream, force_terminal=True, width=120))
    for unit in ("bytes", "images"):
        with view.progress("real.zip", unit) as report:
            report(10**6, 2 * 10**6)
    shown = stream.getvalue()
    assert "real.zip" in shown
    assert "1.0/2.0 MB" in shown
    assert "1000000/2000000" in shown


def test_a_log_file_gets_lines(capsys):
    view = view_for_here()
    assert isinstance(view, PlainView)
    view.say("one line")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("one line\n", "")


def test_amounts_never_shrink():
    from ndcl_domainbed.downloading.view import amount

    shown = [amount(10**i) for i in range(12)]
    assert shown[:4] == ["1 bytes", "10 bytes", "100 bytes", "1.0 kB"]
    assert all(one != other for one, other in pairwise(shown))
