# SPDX-License-Identifier: Apache-2.0
"""The lessons run, and each has its twin in C++."""

import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parents[2] / "examples" / "lessons").glob("*.py"))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson(lesson):
    assert lesson.with_suffix(".cpp").exists()
    run = subprocess.run([sys.executable, lesson], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_six():
    assert len(LESSONS) == 6
