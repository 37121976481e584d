# SPDX-License-Identifier: Apache-2.0
"""Figures of a run as text, as a table of docs/performance.md and as a plot.

    python benchmarks/models/report.py FILE.json [FILE.json ...]

writes the page from saved runs of one machine, the first file's peaks counting for all.
"""

import json
import statistics
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"

BEGIN, END = "<!-- figures: written by benchmarks/models/run.py -->", "<!-- end of figures -->"


def ratio(theirs: list[float], ours: list[float]) -> dict:
    """Median and quartiles of the paired ratios."""
    ratios = [t / o for t, o in zip(theirs, ours, strict=False)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"median": middle, "low": low, "high": high}


def summarize(result: dict) -> dict:
    """Adds the ratios and FLOPs to what was measured."""
    peers = result["peers"]
    ours = peers["deepseek"]
    for peer, figures in peers.items():
        if peer != "deepseek":
            figures["ratio"] = ratio(figures["seconds"], ours["seconds"])
    result["flops"] = peers["torch"]["details"]["flops"]
    result["step_seconds"] = statistics.median(ours["seconds"])
    return result


def best_peer(result: dict) -> tuple[str, dict]:
    """The peer that is fastest beside deepseek."""
    others = {p: f for p, f in result["peers"].items() if p != "deepseek"}
    return min(others.items(), key=lambda item: item[1]["ratio"]["median"])


def describe(result: dict, peaks: dict) -> str:
    """A few lines for the terminal."""
    name = result["case"]["name"]
    if "error" in result:
        return f"{name}: FAILED, not timed: {result['error']}"
    ours = result["peers"]["deepseek"]
    more, step = ours["details"], result["step_seconds"]
    lines = [
        f"{name}: {step * 1e3:.4g} ms a step, {result['flops'] / step / 1e9:.4g} GFLOP/s "
        f"({result['flops'] / step / peaks['flops']:.0%} of peak)"
    ]
    for peer, figures in result["peers"].items():
        if peer != "deepseek":
            r = figures["ratio"]
            lines.append(
                f"  {r['median']:.2f}x of {peer} ({r['low']:.2f} to {r['high']:.2f}, "
                f"{len(ours['seconds'])} rounds), memory "
                f"{ours['peak_memory_bytes'] / figures['peak_memory_bytes']:.2f}x"
            )
    lines += [f"  without {peer}: {reason}" for peer, reason in result["skipped"].items()]
    lines.append(
        f"  first step {ours['first_step_seconds']:.2f} s, planning "
        f"{more['plan_seconds']:.2f} s, peak {ours['peak_memory_bytes'] / 1e6:.0f} MB, "
        f"recording {more['record_seconds_per_node'] * 1e6:.2f} us per node of "
        f"{more['nodes']}, {more['steady_plans']} plans in the steady state"
    )
    if "profile" in result:
        share = result["profile"]["reference_share"]
        lines.append(
            f"  {share:.0%} of the time in reference kernels\n" + result["profile"]["table"]
        )
    return "\n".join(lines)


def table(document: dict) -> str:
    """The figures of a run as Markdown."""
    columns = [
        "case",
        "batch",
        "step, ms",
        "share of peak",
        "against PyTorch (quartiles)",
        "against the best peer",
        "first step, s",
        "memory of PyTorch's",
        "recording, us per node",
    ]
    rows = [columns, ["---"] * len(columns)]
    for result in document["results"]:
        case = result["case"]
        head = [case["name"], "x".join(map(str, case["batch"]))]
        if "error" in result:
            rows.append([*head, f"failed: {result['error']}", *[""] * (len(columns) - 3)])
            continue
        ours, plain = (result["peers"][p] for p in ("deepseek", "torch"))
        r, (best, figures) = plain["ratio"], best_peer(result)
        rows.append(
            [
                *head,
                f"{result['step_seconds'] * 1e3:.4g}",
                f"{result['flops'] / result['step_seconds'] / document['peaks']['flops']:.0%}",
                f"{r['median']:.2f}x ({r['low']:.2f} to {r['high']:.2f})",
                f"{figures['ratio']['median']:.2f}x ({best})",
                f"{ours['first_step_seconds']:.2f}",
                f"{ours['peak_memory_bytes'] / plain['peak_memory_bytes']:.2f}x",
                f"{ours['details']['record_seconds_per_node'] * 1e6:.2f}",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def plot(document: dict) -> str:
    """An SVG: a bar for each case, as long as the ratio to PyTorch eager; the line is 1."""
    good = [r for r in document["results"] if "error" not in r]
    ratios = [r["peers"]["torch"]["ratio"]["median"] for r in good]
    scale = 400 / max([2.0, *ratios])
    height = 24 * len(good) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="16">Time of PyTorch eager / time of deepseek (above 1: faster)' "</text>",
    ]
    for i, (result, value) in enumerate(zip(good, ratios, strict=False)):
        y = 28 + 24 * i
        color = "#2a7" if value >= 1 else "#c63"
        parts += [
            f'<text x="140" y="{y + 13}" text-anchor="end">{result["case"]["name"]}</text>',
            f'<rect x="150" y="{y}" width="{value * scale:.1f}" height="18" fill="{color}"/>',
            f'<text x="{155 + value * scale:.1f}" y="{y + 13}">{value:.2f}x</text>',
        ]
    x = 150 + scale
    parts += [
        f'<line x1="{x:.1f}" y1="24" x2="{x:.1f}" y2="{height - 12}" stroke="black" '
        'stroke-dasharray="3"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def machine_text(document: dict) -> str:
    """Processor, threads, versions and peaks in a sentence."""
    good = [r for r in document["results"] if "error" not in r]
    if not good:
        return ""
    details = {p: f["details"] for r in good for p, f in r["peers"].items()}
    machine, peaks = details["deepseek"]["machine"], document["peaks"]
    versions = ", ".join(f"{p} {d['version']}" for p, d in details.items() if ":" not in p)
    clock = ", processor time (the machine was shared)" if document["clock"] == "cpu" else ""
    return (
        f"{machine['model']}, threads: {document['threads']}{clock}, {document['date']}; "
        f"{versions}. "
        f"Measured peaks: {peaks['flops'] / 1e9:.0f} GFLOP/s in FP32, "
        f"{peaks['bandwidth'] / 1e9:.1f} GB/s."
    )


def write_page(document: dict, page: Path) -> None:
    """Replaces the figures of the page and the plot beside it."""
    plot_path = page.with_suffix(".svg")
    plot_path.write_text(plot(document))
    figures = (
        f"{BEGIN}\n\n{machine_text(document)}\n\n    python {document['command']}\n\n"
        f"{table(document)}\n\n![ratios]({plot_path.name})\n\n{END}"
    )
    text = page.read_text()
    before, rest = text.split(BEGIN)
    page.write_text(before + figures + rest.split(END)[1])


def merge(documents: list[dict]) -> dict:
    """One document with the results of all."""
    commands = list(dict.fromkeys(d["command"] for d in documents))
    return {
        **documents[0],
        "command": "\n    python ".join(commands),
        "results": [result for d in documents for result in d["results"]],
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: report.py FILE.json ... (written by run.py --json)")
    write_page(merge([json.loads(Path(name).read_text()) for name in sys.argv[1:]]), PAGE)
