"""The page that gathers diagnostics."""

from __future__ import annotations

from html import escape

import pandas as pd
from matplotlib.figure import Figure

from ndcl_domainbed.diagnostics import Findings, diagnostic_names
from ndcl_domainbed.diagnostics.page import write_page
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
        found = Findings("A claim.", ["A sentence."], table, Figure(figsize=(15, 8)))
        found.write(tmp_path, name, {"runs": ["runs/NDCL"], "seed": 0, "images": 500})
    page = write_page(tmp_path).read_text(encoding="utf-8")
    width, notes = found_in_a_browser(PHONE.format(page=escape(page)), tmp_path)
    assert width <= 390
    assert notes == "9.9px"  # never larger than the text
