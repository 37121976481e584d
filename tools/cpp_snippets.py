# SPDX-License-Identifier: Apache-2.0
"""Writes the C++ programs of Markdown pages to a folder, so that the tests compile and run them.

python tools/cpp_snippets.py FOLDER PAGE...
"""

import re
import sys
from pathlib import Path

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for page in map(Path, sys.argv[2:]):
    programs = re.findall(r"```cpp\n(.*?)```", page.read_text(), flags=re.S)
    for number, program in enumerate(p for p in programs if "int main" in p):
        path = folder / f"{page.stem.lower()}_{number}.cpp"
        if not path.exists() or path.read_text() != program:
            path.write_text(program)
        print(path)
