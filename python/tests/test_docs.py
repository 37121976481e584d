# SPDX-License-Identifier: Apache-2.0
"""The Python snippets of the README and of the guide run; pages that tools write are current."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_snippets_run(page, tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S)
    assert snippets, "the page has no snippet"
    program = tmp_path / "snippets.py"
    program.write_text("\n".join(snippets))
    run = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "DS_CACHE": str(tmp_path / "cache")},
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("tool", ["api_table.py", "reference_pages.py", "model_pages.py"])
def test_the_reference_is_up_to_date(tool):
    run = subprocess.run(
        [sys.executable, ROOT / "tools" / tool, "--check"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
