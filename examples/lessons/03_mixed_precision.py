# SPDX-License-Identifier: Apache-2.0
"""Lesson 3: a convolutional network trained with mixed precision by the trainer."""

import deepseek as ds
from deepseek import MixedPrecisionTrainer, data, datasets, nn
from deepseek.optim import AdamW

ds.manual_seed(0)
train, test = datasets.default_transforms(datasets.load("digits"))
split = datasets.load("digits", transform=train, test_transform=test)
train_loader = data.DataLoader(split.train, batch_size=64, shuffle=True, num_workers=1, seed=0)
test_loader = data.DataLoader(split.test, batch_size=128)

model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.Conv2d(32, 64, 3, padding=1, stride=2),
    nn.BatchNorm2d(64),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(2),
    nn.Flatten(),
    nn.Linear(256, 10),
)
trainer = MixedPrecisionTrainer(
    model=model,
    optimizer=AdamW,
    optimizer_args={"lr": 3e-3},
    fp16_layers=["conv", "linear"],
    loss_scale=128,
    metrics=["accuracy"],
    max_grad_norm=1.0,
)
print(trainer.precision)
logs = trainer.fit(train_loader, epochs=4, validation=test_loader)
assert logs[-1]["val_accuracy"] > 0.95
