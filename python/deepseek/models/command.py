# SPDX-License-Identifier: Apache-2.0
"""The command `deepseek models`."""

import argparse
import json

from ..memory import format_bytes
from . import cards

_PRECISIONS = ("fp32", "bf16", "int8")


def add_command(commands) -> None:
    """`deepseek models` and its parts."""
    command = commands.add_parser("models", help="the models there are")
    parts = command.add_subparsers(dest="part", required=True)
    listed = parts.add_parser("list", help="all of them, or those of a task or a family")
    tasks = sorted({family.task for family in cards.FAMILIES})
    listed.add_argument("--task", choices=tasks)
    listed.add_argument("--family", help="part of a family's name, such as vit")
    listed.add_argument("--json", action="store_true", help="print JSON")
    listed.set_defaults(run=list_models)
    search = parts.add_parser(
        "search", help="those whose name, family, paper or licence has a text"
    )
    search.add_argument("text", nargs="+")
    search.add_argument("--json", action="store_true", help="print JSON")
    search.set_defaults(run=search_models)
    show = parts.add_parser("show", help="size, source, licence, recipe of one")
    show.add_argument("name")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=show_model)


def count_text(count: int | None) -> str:
    """25.6 M and the like."""
    if count is None:
        return "in its config.json"
    return f"{count / 1e9:.2f} B" if count >= 10**9 else f"{count / 1e6:.1f} M"


def as_dict(card: cards.Card) -> dict:
    """All a card says."""
    return {
        "name": card.name,
        "family": card.family.title,
        "task": card.family.task,
        "parameters": card.parameters,
        "bytes": {p: card.bytes(p) for p in _PRECISIONS} if card.parameters else None,
        "repository": card.source and card.source.repository,
        "licence": card.source and card.source.licence,
        "paper": card.family.paper,
        "reported": cards.REPORTED.get(card.name),
        "recipe": card.family.recipe or None,
    }


def _print(found: list[cards.Card], as_json: bool) -> int:
    if as_json:
        print(json.dumps([as_dict(card) for card in found], indent=2))
        return 0
    width = max((len(card.name) for card in found), default=0)
    family = None
    for card in found:
        if card.family.title != family:
            family = card.family.title
            print(f"{family} ({card.family.task})")
        source = ", ".join(filter(None, card.source or ("no weights",)))
        size = count_text(card.parameters) if card.parameters else ""
        print(f"  {card.name:<{width}}  {size:>8}  {source}")
    if not found:
        print("no model fits; `deepseek models list` shows all")
    return 0 if found else 1


def list_models(args: argparse.Namespace) -> int:
    """Prints the models of a task or family."""
    wanted = (args.family or "").lower()
    found = [
        cards.card(name)
        for name in cards.names()
        if args.task in (None, cards.family_of(name).task)
        and wanted in cards.family_of(name).title.lower()
    ]
    return _print(found, args.json)


def search_models(args: argparse.Namespace) -> int:
    """Prints the models in whose card all words are."""
    words = [word.lower() for word in args.text]
    found = []
    for name in cards.names():
        family, source = cards.family_of(name), cards.SOURCES.get(name)
        text = " ".join(
            (name, family.title, family.task, family.paper, *filter(None, source or ()))
        ).lower()
        if all(word in text for word in words):
            found.append(cards.card(name))
    return _print(found, args.json)


def use_of(card: cards.Card) -> str:
    """A line of Python that makes the model."""
    if card.name in cards.vision.MODELS:
        pretrained = "pretrained=True" if card.source else ""
        return f"deepseek.models.{card.name}({pretrained})"
    kind = {
        cards.IMAGES: "AutoModelForImageClassification",
        cards.PIXELS: "AutoModelForSemanticSegmentation",
        cards.TOKENS: "AutoModelForMaskedLM",
        cards.NEXT: "AutoModelForCausalLM",
        cards.PAIRS: "AutoModelForSeq2SeqLM",
    }.get(card.family.task, "AutoModel")
    return f'deepseek.models.{kind}.from_pretrained("deepseek/{card.name}")'


def show_model(args: argparse.Namespace) -> int:
    """Prints a card."""
    card = cards.card(args.name)
    if args.json:
        print(json.dumps(as_dict(card), indent=2))
        return 0
    lines = [("model", f"{card.name}, {card.family.title}"), ("task", card.family.task)]
    if card.parameters:
        sizes = ", ".join(f"{format_bytes(card.bytes(p))} in {p}" for p in _PRECISIONS)
        lines.append(("parameters", f"{card.parameters:,}: {sizes}"))
    else:
        lines.append(("parameters", count_text(None)))
    if card.source:
        lines += [
            ("weights", card.source.repository),
            ("licence", card.source.licence or "not named"),
        ]
    else:
        lines.append(("weights", "none; it starts at random"))
    lines.append(("paper", card.family.paper))
    if card.name in cards.REPORTED:
        lines.append(("reported", f"{cards.REPORTED[card.name]} (the paper)"))
    if card.family.recipe:
        lines.append(("recipe", card.family.recipe))
    lines.append(("use", use_of(card)))
    for title, text in lines:
        print(f"{title + ':':<12}{text}")
    return 0
