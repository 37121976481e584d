#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the comments above public C++ functions as a table for the Python binding.

usage: header_docs.py OUTPUT HEADER...

A function's documentation is written once, in its header, and becomes the docstring in Python.
"""

import argparse
import re
from pathlib import Path

DECLARATION = re.compile(r"^[\w:<>,\s&*]+?\b(\w+)\(")


def docs_of(text: str) -> dict[str, str]:
    """Function name -> comment; the first declaration of an overloaded name wins."""
    docs: dict[str, str] = {}
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("/// "):
            comment.append(line[4:].strip())
            continue
        found = DECLARATION.match(line) if comment else None
        if found:
            docs.setdefault(found.group(1), " ".join(comment))
        comment = []
    return docs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("headers", nargs="+", type=Path)
    args = parser.parse_args()
    docs: dict[str, str] = {}
    for header in sorted(args.headers):
        for name, doc in docs_of(header.read_text()).items():
            docs.setdefault(name, doc)
    lines = ["// Made by tools/header_docs.py.", "#pragma once", "", "struct HeaderDoc {"]
    lines += ["  const char* name;", "  const char* doc;", "};"]
    lines += ["inline constexpr HeaderDoc kHeaderDocs[] = {"]
    lines += [f'    {{"{name}", R"doc({doc})doc"}},' for name, doc in sorted(docs.items())]
    lines += ["};", ""]
    text = "\n".join(lines)
    path = args.output
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    main()
