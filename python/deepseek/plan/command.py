# SPDX-License-Identifier: Apache-2.0
"""The command `deepseek plan`."""

import argparse
import json

from ..memory import format_bytes
from . import accounts, devices, steps


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 up")
    return int(text)


def add_command(commands) -> None:
    """`deepseek plan` and its options."""
    command = commands.add_parser(
        "plan", help="what training a model needs on devices that need not be here"
    )
    command.set_defaults(run=run)
    command.add_argument(
        "--model",
        required=True,
        help=f"{', '.join(steps.TEXTS)}, or an image model of `deepseek models list`",
    )
    command.add_argument(
        "--devices",
        required=True,
        help="a number and one of "
        f"{', '.join(d.name for d in devices.DEVICES.values())}, cpu (this machine) or an amount "
        "of memory: 8xA100-80GB, 4x24GiB",
    )
    command.add_argument(
        "--batch-size", type=_count, default=1, help="samples of a step, on all devices together"
    )
    command.add_argument(
        "--micro-batch",
        type=_count,
        help="samples that a device takes at once (default: as many as fit)",
    )
    command.add_argument("--size", type=_count, help="tokens of a text, pixels of an image")
    command.add_argument(
        "--precision",
        choices=steps.PRECISIONS,
        default="mixed",
        help="fp32; mixed: FP32 weights, 16-bit contractions (MixedPrecisionTrainer); bf16: 16-bit "
        "weights and gradients, FP32 master copy and optimizer state (default %(default)s)",
    )
    command.add_argument("--optimizer", choices=list(steps.OPTIMIZERS), default="adamw")
    command.add_argument(
        "--shard",
        action="append",
        metavar="WAYS",
        help=f"{', '.join(accounts.SCHEMES)}, or several with numbers: zero1=2,tensor=4 (may be "
        "given more than once; default: each alone)",
    )
    for name, text in (
        ("recompute", "keep only each layer's input, recompute the rest"),
        ("offload", "optimizer state in the host's memory"),
    ):
        command.add_argument(
            f"--{name}",
            action=argparse.BooleanOptionalAction,
            default=None,
            help=f"{text} (default: both ways)",
        )
    command.add_argument("--json", action="store_true", help="print JSON")


def _size(count: float) -> str:
    return format_bytes(int(count))


def table(made: list[accounts.Account]) -> str:
    """A line for each account."""
    lines = [
        f"{'sharding':22} {'rec.':4} {'off.':4} {'micro':>5} {'params':>10} {'grads':>10} "
        f"{'optimizer':>10} {'activat.':>10} {'work':>10} {'total':>10} {'step':>9}  fits"
    ]
    for a in made:
        kinds = (a.parameters, a.gradients, a.optimizer, a.activations, a.workspace, a.total)
        lines.append(
            f"{a.sharding!s:22} {'yes' if a.recompute else '-':4} "
            f"{'yes' if a.offload else '-':4} {a.micro_batch:5} "
            + " ".join(f"{_size(kind):>10}" for kind in kinds)
            + f" {f'{a.seconds:.3g} s' if a.seconds else '-':>9}  "
            f"{'yes' if a.fits else 'no'}: {a.reason}"
        )
    return "\n".join(lines)


def _head(case: steps.Case, count: int, device: devices.Device) -> str:
    step = steps.record(case._replace(batch=1))
    unit = "tokens" if steps.layers_of(case.model) else "pixels"
    lines = [
        f"{case.model}: {step.parameter_count:,.0f} parameters; batch {case.batch} of {case.size} "
        f"{unit}, {case.precision}, {case.optimizer}",
        f"{count} x {device.name}: {_size(device.memory)} each, of which "
        f"{accounts.USABLE:.0%} may be planned",
    ]
    rate = device.flops32 if case.precision == "fp32" else device.flops16
    if rate and device.link:
        lines.append(
            "least step times, at stated peaks of "
            f"{rate / 1e12:.4g} TFLOP/s, {device.bandwidth / 1e9:.4g} GB/s memory, "
            f"{device.link / 1e9:.4g} GB/s between devices; real ones are two to three times as "
            "long"
        )
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Prints an account for every way of sharing the step."""
    count, device = devices.parse_devices(args.devices)
    size = args.size or (steps.default_size(args.model) if args.model in steps.MODELS else 1)
    case = steps.Case(args.model, args.batch_size, size, args.precision, args.optimizer)
    made = accounts.plan(
        case, count, device, args.shard, args.recompute, args.offload, args.micro_batch
    )
    if args.json:
        rows = [
            {
                **a._asdict(),
                "sharding": str(a.sharding),
                "total": a.total,
                "fits": a.fits,
                "reason": a.reason,
            }
            for a in made
        ]
        print(json.dumps({"case": case._asdict(), "devices": count, "accounts": rows}))
        return 0
    print(_head(case, count, device))
    print(table(made))
    good = [a for a in made if a.fits]
    if not good:
        print(f"nothing fits; the least is {_size(min(a.total for a in made))} a device")
    elif best := min((a for a in good if a.seconds), key=lambda a: a.seconds, default=None):
        print(
            f"fastest that fits: {best.sharding}"
            + (", recompute" if best.recompute else "")
            + (", offload" if best.offload else "")
            + f", {best.seconds:.3g} s a step, of it {best.communication:.2g} s communication "
            "and waiting"
        )
    return 0
