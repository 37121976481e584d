# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/ops.md from ds/ir/ops.def and ds/ir/numerics.def, and
docs/reference/environment.md from ds/base/options.h.

    python tools/reference_pages.py          # writes the pages
    python tools/reference_pages.py --check  # fails when a page is not what it would write
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
# Variables that are read elsewhere than in the option table, by what reads them.
OTHER_VARIABLES = {
    "DS_DATA": ("", "Folder that holds data sets by name, such as mnist/."),
    "DS_CACHE": ("deepseek in the user's cache folder", "Folder that downloads are kept in."),
}
CLASSES = {
    "source": "Sources",
    "unary": "Unary, elementwise",
    "test": "Tests, elementwise",
    "binary": "Binary, elementwise, broadcasting",
    "compare": "Comparisons, broadcasting",
    "select": "Selection",
    "reduce": "Reductions",
    "scan": "Scans",
    "movement": "Movement",
    "index": "Indexing",
    "random": "Random numbers",
    "contraction": "Contractions",
    "pool": "Pooling",
    "norm": "Normalisation",
    "softmax": "Softmax and cross-entropy",
    "attention": "Attention",
    "recurrent": "Recurrent layers",
    "linalg": "Linear algebra",
    "marker": "Markers",
    "compound": "Made by passes",
}


def rows(path: Path, macro: str) -> list[list[str]]:
    """The arguments of every macro call of a .def file, strings without their quotes."""
    found = []
    for line in path.read_text().splitlines():
        if not line.startswith(macro + "("):
            continue
        body = line[len(macro) + 1 : line.rindex(")")]
        parts = re.findall(r'\s*("(?:[^"\\]|\\.)*"|[^,]+)\s*(?:,|$)', body)
        found.append([part.strip().strip('"') for part in parts])
    return found


def accuracy() -> dict[str, str]:
    """What ds/ir/numerics.def promises, in words."""
    words = {}
    for op, ulp, absolute, *_ in rows(ROOT / "ds" / "ir" / "numerics.def", "DS_NUMERICS"):
        text = {"0": "exact", "0.5": "correctly rounded"}.get(ulp, f"{ulp} ULP")
        words[op] = text if absolute == "0" else f"{text} or {absolute}"
    return words


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")


def ops_page() -> str:
    promised = accuracy()
    by_class: dict[str, list] = {}
    for row in rows(ROOT / "ds" / "ir" / "ops.def", "DS_OP"):
        name, low, high, outputs, kind, traits, attrs, _, doc = row
        inputs = low if low == high else f"{low} to {high.replace('kMany', 'any')}"
        gradient = "no" if "kNoGrad" in traits else "yes"
        by_class.setdefault(kind, []).append((name, inputs, outputs, attrs, gradient, doc))
    lines = [
        "# Operations of the graph",
        "",
        "Every tensor function is recorded as these. The page is written by",
        "`tools/reference_pages.py` from `ds/ir/ops.def` and `ds/ir/numerics.def`.",
        "",
        "Accuracy is that of f32 results, on every backend and instruction set, in units in the",
        "last place (ULP) of the exact value, or an absolute bound where that is wider; 16-bit",
        "results are rounded once more. `tests/numerics` holds all kernels to it.",
        "",
    ]
    for kind, title in CLASSES.items():
        entries = by_class.pop(kind, [])
        if not entries:
            continue
        stated = any(name in promised for name, *_ in entries)
        head = ["op", "inputs", "outputs", "attributes", "gradient"]
        head += ["accuracy"] if stated else []
        lines += [
            f"## {title}",
            "",
            "| " + " | ".join([*head, "what it computes"]) + " |",
            "|" + "---|" * (len(head) + 1),
        ]
        for name, inputs, outputs, attrs, gradient, doc in entries:
            cells = [f"`{name}`", inputs, outputs.replace("kMany", "any"), attrs, gradient]
            cells += [promised.get(name, "exact")] if stated else []
            lines.append("| " + " | ".join([*cells, cell(doc)]) + " |")
        lines.append("")
    if by_class:
        sys.exit(f"tools/reference_pages.py knows no title for the classes {sorted(by_class)}")
    return "\n".join(lines)


def environment_page() -> str:
    text = (ROOT / "ds" / "base" / "options.h").read_text()
    defaults = dict(re.findall(r"^  (?:bool|std::string|int) (\w+) = \"?(\w+)\"?;", text, re.M))
    table = {
        name: (defaults.get(field, "").replace("false", "0").replace("true", "1"), doc)
        for field, name, doc in re.findall(r'f\((\w+), "(DS_\w+)",\s+"([^"]+)"\)', text)
    }
    used = set()
    for folder, pattern in (("ds", "*.cpp"), ("python/deepseek", "*.py")):
        for source in (ROOT / folder).rglob(pattern):
            used |= set(re.findall(r'(?:getenv\(|environ[^\n]*?)"(DS_\w+)"', source.read_text()))
    unknown = used - set(table) - set(OTHER_VARIABLES)
    if unknown:
        sys.exit(f"environment variables without a doc: {', '.join(sorted(unknown))}")
    table["DS_VERIFY"] = ("0; 1 in debug builds", table["DS_VERIFY"][1])
    lines = [
        "# Environment variables",
        "",
        "Read once, at the first use. The page is written by `tools/reference_pages.py` from the",
        "option table in `ds/base/options.h`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{n}` | {d} | {doc} |" for n, (d, doc) in (table | OTHER_VARIABLES).items()]
    lines += [
        "| `OMP_NUM_THREADS` | the processors of the process | Threads of one computation. |",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the pages are current"
    )
    check = parser.parse_args().check
    stale = []
    for name, text in (("ops.md", ops_page()), ("environment.md", environment_page())):
        page = REFERENCE / name
        if not check:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            stale.append(name)
    if stale:
        sys.exit(f"{', '.join(stale)}: not up to date; run python tools/reference_pages.py")


if __name__ == "__main__":
    main()
