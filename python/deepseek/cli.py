# SPDX-License-Identifier: Apache-2.0
"""The command `deepseek`: train, apply and fine-tune models, profile, tune, plan, show the
build."""

import argparse
import json
import os
import runpy
import sys
import traceback

import deepseek as ds

from ._finetune import add_command as _finetune_command
from .classifier import Classifier
from .models.command import add_command as _models_command
from .plan.command import add_command as _plan_command

OPTIMIZERS = {
    "adamw": "AdamW",
    "adam": "Adam",
    "sgd": "SGD",
    "lamb": "LAMB",
    "lion": "Lion",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adafactor": "Adafactor",
}


def info(_args: argparse.Namespace) -> int:
    """Prints the build, the processor and what computes."""
    cpu = ds.cpu_info()
    features = [name for name in ("avx2", "avx512", "bf16", "fp16", "amx") if cpu[name]]
    sixteen = [name for name in ("bf16", "fp16") if cpu[name]]
    print(f"deepseek {ds.__version__}")
    print(f"processor: {cpu['model']} ({', '.join(features) or 'baseline'})")
    print(f"threads: {ds.num_threads()}")
    print(f"devices: {', '.join(ds.backend_names())} (default {ds.get_default_device()})")
    print(
        "kernels: oneDNN for convolutions and matrix products, Highway "
        f"{'AVX-512' if cpu['avx512'] else 'AVX2' if cpu['avx2'] else 'baseline'} for the rest"
    )
    print(
        "mixed precision: "
        + (
            f"computes in {' and '.join(sixteen)}"
            if sixteen
            else "computes in f32; the processor has no 16-bit arithmetic"
        )
    )
    print("environment:")
    for name, value, text in ds._core._environment_options():
        print(f"  {name}={os.environ.get(name, value)}  {text}")
    return 0


def _loaders(args, classifier: Classifier | None):
    split = ds.datasets.load(args.data, args.folder)
    augment = getattr(args, "augment", False)
    train, test = ds.datasets.default_transforms(split, augment)
    split = ds.datasets.load(args.data, args.folder, train, test)
    if classifier is not None and classifier.classes != split.classes:
        raise ds.ValueError(
            f"{args.model}: the model knows {len(classifier.classes)} classes, the data set "
            f"{args.data} has {len(split.classes)} others"
        )

    def loader(part, **extra):
        return ds.data.DataLoader(
            part, batch_size=args.batch_size, num_workers=args.workers, **extra
        )

    return (
        split,
        loader(split.train, shuffle=True, seed=getattr(args, "seed", 0)),
        loader(split.test),
    )


def train(args: argparse.Namespace) -> int:
    """Trains a model and saves it."""
    ds.manual_seed(args.seed)
    split, train_loader, test_loader = _loaders(args, None)
    channels = split.image[0]
    model = ds.models.create(args.model, len(split.classes), channels)
    optimizer = getattr(ds.optim, OPTIMIZERS[args.optimizer])(model.parameters(), lr=args.lr)
    steps = len(train_loader) * args.epochs
    scheduler = None
    if args.schedule == "one-cycle" and steps > 1:
        scheduler = ds.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps)
    elif args.schedule == "cosine":
        scheduler = ds.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    callbacks = []
    if args.tensorboard:
        callbacks.append(ds.train.TensorBoard(args.tensorboard))
    trainer = ds.MixedPrecisionTrainer(
        model,
        optimizer,
        fp16_layers=args.fp16_layers,
        loss_scale=args.loss_scale,
        scheduler=scheduler,
        metrics=["accuracy"],
        callbacks=callbacks,
        gradient_accumulation=args.accumulate,
        max_grad_norm=args.clip,
        checkpoint_dir=args.checkpoints,
        resume=args.resume,
        progress=not args.quiet,
    )
    logs = trainer.fit(train_loader, args.epochs, test_loader)
    classifier = Classifier(
        model, args.model, split.classes, split.image, split.divisor, split.mean, split.std
    )
    classifier.save(args.out)
    if logs:
        print(f"accuracy on held-out {args.data}: {logs[-1]['val_accuracy']:.4f}")
    print(f"saved {args.out}")
    return 130 if trainer.interrupted else 0


def evaluate(args: argparse.Namespace) -> int:
    """Prints loss and accuracy of a saved model."""
    classifier = Classifier.load(args.model)
    _, _, loader = _loaders(args, classifier)
    trainer = ds.MixedPrecisionTrainer(
        classifier.model, ds.optim.SGD, fp16_layers=[], metrics=["accuracy"], progress=False
    )
    values = trainer.evaluate(loader)
    if args.json:
        print(json.dumps(values))
    else:
        print(", ".join(f"{name} {value:.4f}" for name, value in values.items()))
    return 0


def predict(args: argparse.Namespace) -> int:
    """Prints the most likely classes of pictures."""
    classifier = Classifier.load(args.model)
    for path in args.images:
        image = ds.io.read_image(path, "gray" if classifier.image[0] == 1 else "rgb")
        ranked = classifier.predict(image, invert=args.invert)[: args.top]
        text = ", ".join(f"{name} {probability:.3f}" for name, probability in ranked)
        print(f"{path}: {text}")
    return 0


def _shape(text: str) -> list[int]:
    sizes = text.split("x")
    if len(sizes) != 4 or not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no batch of images; write N x C x H x W as " "in 16x3x224x224"
        )
    return [int(size) for size in sizes]


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 up")
    return int(text)


def _model_step(args: argparse.Namespace):
    """A function that runs a step of a named model on random images."""
    model = ds.models.create(args.target, args.classes, args.batch[1])
    images = ds.randn(*args.batch).evaluate()
    labels = ds.randint(0, args.classes, (args.batch[0],)).evaluate()
    optimizer = ds.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    model.train(not args.infer)

    def step():
        if args.infer:
            with ds.no_grad():
                model(images).evaluate()
        else:
            optimizer.zero_grad()
            ds.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()

    return step


def _run_script(args: argparse.Namespace, inside) -> int:
    """Runs a Python file as `python FILE ARGUMENTS` would, inside a context; its exit status."""
    if not os.path.isfile(args.target):
        raise FileNotFoundError(f"cannot open {args.target}: no such file")
    outer, status = (sys.argv, sys.path[0]), 0
    sys.argv = [args.target, *args.arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(args.target))
    try:
        with inside:
            try:
                runpy.run_path(args.target, run_name="__main__")
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except Exception:  # the script's own mistake: its author wants to see where
                traceback.print_exc()
                status = 1
    finally:
        sys.argv, sys.path[0] = outer
    return status


def _check_arguments(args: argparse.Namespace) -> bool:
    """Whether the target is a script; a model takes no arguments."""
    script = args.target.endswith(".py")
    if args.arguments and not script:
        raise ds.ValueError(
            f"arguments {' '.join(args.arguments)} belong to a script; "
            f"'{args.target}' is no .py file"
        )
    return script


def profile(args: argparse.Namespace) -> int:
    """Prints a roofline report of a model or of a script."""
    status, prof = 0, ds.debug.profile()
    if _check_arguments(args):
        status = _run_script(args, prof)
    else:
        step = _model_step(args)
        for _ in range(2):  # these plan
            step()
        with prof:
            for _ in range(args.steps):
                step()
    if args.trace:
        prof.export_chrome_trace(args.trace)
    if args.json:
        peaks = ds.debug.measure_peaks()
        print(json.dumps({"peaks": peaks._asdict(), "steps": [s._asdict() for s in prof.steps]}))
    elif prof.steps:
        print(prof.table(args.limit) if args.by == "kernel" else prof.roofline(limit=args.limit))
    else:
        print(f"{args.target} computed nothing with deepseek")
    return status


def tune(args: argparse.Namespace) -> int:
    """Measures kernels for what a model or a script computes."""
    status, tuned = 0, ds.tune()
    if _check_arguments(args):
        status = _run_script(args, tuned)
    else:
        step = _model_step(args)
        with tuned:
            for _ in range(2):  # what changes from step to step makes a second plan
                step()
            ds.synchronize()
    print(tuned)
    return status


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "target",
        metavar="MODEL_OR_SCRIPT",
        help="a Python file, or the name of a model such as resnet50 or efficientnet_b0",
    )
    command.add_argument(
        "arguments", nargs="*", help="of the script (after -- when they are options)"
    )
    command.add_argument(
        "--batch",
        type=_shape,
        default=[16, 3, 224, 224],
        metavar="NxCxHxW",
        help="images of a model's step (default 16x3x224x224)",
    )
    command.add_argument("--classes", type=_count, default=1000, help="default %(default)s")
    command.add_argument("--infer", action="store_true", help="forward only; else training steps")


def _tune_command(commands) -> None:
    command = commands.add_parser(
        "tune", help="measure which kernels are the fastest here, and keep that for later runs"
    )
    command.set_defaults(run=tune)
    _add_target(command)


def _profile_command(commands) -> None:
    command = commands.add_parser(
        "profile", help="where the time of a model or script goes, against the machine's limits"
    )
    command.set_defaults(run=profile)
    _add_target(command)
    command.add_argument("--steps", type=_count, default=3, help="default %(default)s")
    command.add_argument(
        "--by",
        choices=["step", "kernel"],
        default="step",
        help="a line per step of the plan, or sums by kernel",
    )
    command.add_argument(
        "--limit",
        type=_count,
        default=30,
        help="lines to show, longest first (default %(default)s)",
    )
    command.add_argument(
        "--trace", metavar="FILE", help="write a timeline for chrome://tracing or ui.perfetto.dev"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_data(command: argparse.ArgumentParser, batch_size: int) -> None:
    command.add_argument(
        "--data",
        required=True,
        metavar="NAME_OR_PATH",
        help="digits, mnist, fashion_mnist, cifar10, imagefolder:PATH or a folder " "of images",
    )
    command.add_argument("--folder", default="", help="where the data set's files are")
    command.add_argument("--batch-size", type=int, default=batch_size, help="default %(default)s")
    command.add_argument(
        "--workers", type=int, default=1, help="threads that load data (default %(default)s)"
    )


def _train_command(commands) -> None:
    command = commands.add_parser("train", help="train a model on images and save it")
    command.set_defaults(run=train)
    command.add_argument("model", help="such as resnet8, resnet18 or mobilenetv3_small_100")
    _add_data(command, 64)
    command.add_argument("--epochs", type=int, default=10, help="default %(default)s")
    command.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="adamw")
    command.add_argument("--lr", type=float, default=3e-3, help="default %(default)s")
    command.add_argument(
        "--schedule", choices=["one-cycle", "cosine", "constant"], default="one-cycle"
    )
    command.add_argument("--augment", action="store_true", help="shift and turn (or mirror) images")
    command.add_argument(
        "--fp16-layers",
        nargs="*",
        default=["conv", "linear"],
        metavar="KIND",
        help="layers that compute in 16 bits: conv, linear, " "attention (default conv linear)",
    )
    command.add_argument("--loss-scale", type=float, default=128)
    command.add_argument("--accumulate", type=int, default=1, help="batches per step")
    command.add_argument("--clip", type=float, default=0, help="largest gradient norm; 0 is off")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", default="model.safetensors", help="default %(default)s")
    command.add_argument("--checkpoints", metavar="FOLDER", help="write a checkpoint every epoch")
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    command.add_argument("--tensorboard", metavar="FOLDER", help="write event files")
    command.add_argument("--quiet", action="store_true", help="show no progress")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="deepseek", description=ds.__doc__)
    top.add_argument("--version", action="version", version=f"deepseek {ds.__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    _train_command(commands)
    command = commands.add_parser("eval", help="loss and accuracy of a saved model")
    command.set_defaults(run=evaluate)
    command.add_argument("model", help="a file of `deepseek train`")
    _add_data(command, 256)
    command.add_argument("--json", action="store_true", help="print JSON")
    command = commands.add_parser("predict", help="classes of pictures")
    command.set_defaults(run=predict)
    command.add_argument("model", help="a file of `deepseek train`")
    command.add_argument("images", nargs="+", help="PNG or JPEG files")
    command.add_argument("--top", type=int, default=3, help="classes to show (default %(default)s)")
    command.add_argument(
        "--invert",
        action="store_true",
        help="dark on light pictures for a model of light on dark ones",
    )
    _profile_command(commands)
    _tune_command(commands)
    _finetune_command(commands)
    _models_command(commands)
    _plan_command(commands)
    command = commands.add_parser("info", help="show the build, the processor and the devices")
    command.set_defaults(run=info)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except (ds.Error, OSError, TypeError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"deepseek: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
