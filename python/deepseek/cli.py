# SPDX-License-Identifier: Apache-2.0
"""The command `deepseek`."""

import argparse
import sys

import deepseek as ds


def info(_args: argparse.Namespace) -> int:
    """Prints the build, the processor and the devices."""
    cpu = ds.cpu_info()
    features = [name for name in ("avx2", "avx512", "bf16", "fp16", "amx") if cpu[name]]
    print(f"deepseek {ds.__version__}")
    print(f"processor: {cpu['model']} ({', '.join(features) or 'baseline'})")
    print(f"threads: {ds.num_threads()}")
    print(f"devices: {', '.join(ds.backend_names())}")
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="deepseek", description=ds.__doc__)
    top.add_argument("--version", action="version", version=f"deepseek {ds.__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    command = commands.add_parser("info", help="show the build, the processor and the devices")
    command.set_defaults(run=info)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except ds.Error as error:
        print(f"deepseek: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
