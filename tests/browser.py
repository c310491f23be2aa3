"""Pages in a real browser, where there is one."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")


def found_in_a_browser(content: str, folder: Path) -> Any:
    """Return what the script in a page has written into its element ``found``."""
    path = folder / "page.html"
    path.write_text(content)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
    command.insert(1, f"--user-data-dir={folder / 'profile'}")
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', dom, flags=re.S)
    return json.loads(unescape(text))
