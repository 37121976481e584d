# SPDX-License-Identifier: Apache-2.0
"""Writes docs/models/: a page a family of models and a list of them, from deepseek.models.cards.

python tools/model_pages.py          # writes the pages; needs the package
python tools/model_pages.py --check  # fails when a page is not what it would write
"""

import argparse
import re
import sys
from pathlib import Path

from deepseek.memory import format_bytes
from deepseek.models import cards
from deepseek.models.command import count_text, use_of

FOLDER = Path(__file__).parent.parent / "docs" / "models"
NOTE = "<!-- Written by tools/model_pages.py; change deepseek/models/cards.py instead. -->\n"


def page_name(family: cards.Family) -> str:
    """The family's file."""
    return re.sub(r"[^a-z0-9]+", "-", family.title.lower()).strip("-") + ".md"


def finetune_of(card: cards.Card) -> list[str]:
    """The command that adapts the model, where one does."""
    data = {cards.IMAGES: "FOLDER_OF_IMAGES", cards.TOKENS: "FOLDER_OF_TEXTS"}.get(card.family.task)
    return [f"$ deepseek finetune {card.name} --data {data}"] if data and card.source else []


def family_page(family: cards.Family, models: list[cards.Card]) -> str:
    """What is known of a family, and a row for each of its models."""
    lines = [f"# {family.title}", NOTE, f"Task: {family.task}.", "", f"Paper: {family.paper}.", ""]
    if family.recipe:
        lines += [f"Published recipe: {family.recipe}.", ""]
    lines += [f"Data to try it on: {family.data_to_try()}.", ""]
    example = next((m for m in models if m.source), models[0])
    lines += ["```", use_of(example), *finetune_of(example), "```", ""]
    lines += [
        "| name | parameters | FP32 | BF16 or FP16 | INT8 | weights | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in models:
        sizes = [
            format_bytes(model.bytes(p)) if model.parameters else ""
            for p in ("fp32", "bf16", "int8")
        ]
        source = model.source or ("none", "")
        lines.append(
            f"| `{model.name}` | {count_text(model.parameters)} | {sizes[0]} | {sizes[1]} "
            f"| {sizes[2]} | {source[0]} | {source[1] or ''} |"
        )
    reported = [(m.name, cards.REPORTED[m.name]) for m in models if m.name in cards.REPORTED]
    if reported:
        lines += ["", "Reported by the paper:", ""]
        lines += [f"- `{name}`: {text}" for name, text in reported]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """All pages by file."""
    models: dict[cards.Family, list[cards.Card]] = {}
    for name in cards.names():
        card = cards.card(name)
        models.setdefault(card.family, []).append(card)
    made = {page_name(family): family_page(family, rows) for family, rows in models.items()}
    rows = [
        f"| [{family.title}]({page_name(family)}) | {family.task} | {len(found)} |"
        for family, found in models.items()
    ]
    made["README.md"] = (
        "\n".join(
            [
                "# Models",
                NOTE,
                "`deepseek models list`, `search` and `show` say the same in a terminal. Weights",
                "come from the repositories named, under the licences their owners gave them.",
                "",
                "| family | task | models |",
                "|---|---|---|",
                *rows,
            ]
        )
        + "\n"
    )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the pages are current"
    )
    check = parser.parse_args().check
    made = pages()
    current = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    if check:
        differing = sorted(n for n in made.keys() | current.keys() if made.get(n) != current.get(n))
        if differing:
            print(
                f"docs/models: {', '.join(differing)} are not current; run tools/model_pages.py",
                file=sys.stderr,
            )
        return bool(differing)
    FOLDER.mkdir(exist_ok=True)
    for name in current.keys() - made.keys():
        (FOLDER / name).unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
