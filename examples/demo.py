# SPDX-License-Identifier: Apache-2.0
"""Trains a small ResNet on real handwritten digits with mixed precision, saves it, and reads a few
digits with the saved file.

    python examples/demo.py [--epochs N] [--out FILE]
"""

import argparse
import sys
import time

import deepseek as ds
from deepseek import MixedPrecisionTrainer, data, datasets, models, optim
from deepseek.classifier import Classifier


def picture(image) -> list[str]:
    """Rows of characters, the darker the more ink."""
    shades = " .:-=+*#%@"
    return [
        "".join(shades[int(v) * (len(shades) - 1) // 16] * 2 for v in row)
        for row in image[0].tolist()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", default="digits.safetensors")
    args = parser.parse_args()

    ds.manual_seed(0)
    raw = datasets.load("digits")
    train, test = datasets.default_transforms(raw, augment=True)
    split = datasets.load("digits", transform=train, test_transform=test)
    train_loader = data.DataLoader(split.train, batch_size=64, shuffle=True, num_workers=1, seed=0)
    test_loader = data.DataLoader(split.test, batch_size=359)
    print(f"{len(split.train)} digits to learn from, {len(split.test)} held out")

    model = models.resnet8()
    optimizer = optim.AdamW(model.parameters(), lr=4e-3)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, 4e-3, total_steps=args.epochs * len(train_loader)
    )
    trainer = MixedPrecisionTrainer(
        model=model,
        optimizer=optimizer,
        fp16_layers=["conv", "linear"],
        loss_scale=128,
        scheduler=schedule,
        metrics=["accuracy"],
    )
    start = time.time()
    logs = trainer.fit(train_loader, epochs=args.epochs, validation=test_loader)
    if trainer.interrupted:
        return 130
    accuracy = logs[-1]["val_accuracy"]
    print(f"accuracy on held-out digits: {100 * accuracy:.2f} % after {time.time() - start:.0f} s")

    Classifier(
        model, "resnet8", split.classes, split.image, split.divisor, split.mean, split.std
    ).save(args.out)
    print(f"saved {args.out}; reading four held-out digits with it:\n")
    reader = Classifier.load(args.out)
    shown = [raw.test[i] for i in (3, 57, 123, 300)]
    answers = []
    for image, _ in shown:
        name, probability = reader.predict((image * (255 / 16)).to(ds.uint8))[0]
        answers.append(f"read as {name} ({100 * probability:.0f} %)")
    for rows in zip(*(picture(image) for image, _ in shown), strict=True):
        print("   ".join(rows))
    print("   ".join(text.ljust(16) for text in answers))
    if args.epochs >= 15 and accuracy < 0.98:
        print("demo: the accuracy is below the 98 % that this training reaches", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
