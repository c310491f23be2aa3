"""The page that gathers diagnostics."""

from html import escape
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import Findings, Request, diagnostic_names
from ndcl_domainbed.diagnostics.findings import write_page
from tests.browser import found_in_a_browser, needs_browser

PHONE = """
<iframe width="390" height="800" srcdoc="{page}"></iframe><pre id="found"></pre><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  page.body.style.fontSize = "11px";  // as in print
  document.getElementById("found").textContent = JSON.stringify([
    page.documentElement.scrollWidth, getComputedStyle(page.querySelector(".made")).fontSize,
  ]);
}};
</script>
"""


@needs_browser
def test_the_page_fits_a_phone_and_paper(tmp_path):
    for name in diagnostic_names():
        table = pd.DataFrame({f"column {k}": [k] for k in range(20)})
        found = Findings("A caption.", table, Figure(figsize=(15, 8)))
        found.write(tmp_path, name, Request(Path("runs/NDCL")))
    page = write_page(tmp_path, diagnostic_names()).read_text(encoding="utf-8")
    width, notes = found_in_a_browser(PHONE.format(page=escape(page)), tmp_path)
    assert width <= 390
    assert notes == "9.9px"  # never larger than the text


def test_damaged_files_are_named(tmp_path):
    name = diagnostic_names()[0]
    found = Findings("A caption.", pd.DataFrame({"a": [1]}), Figure())
    found.write(tmp_path, name, Request(tmp_path))
    for content in ("{", "[]", "{}"):
        (tmp_path / f"{name}.json").write_text(content)
        with pytest.raises(InputError, match=f"{name}.*damaged.*diagnose {name} again"):
            write_page(tmp_path, diagnostic_names())
