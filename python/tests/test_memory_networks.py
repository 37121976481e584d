# SPDX-License-Identifier: Apache-2.0
"""Networks of random parts train to the same bits within any budget that can be met."""

import random

import deepseek as ds
import numpy as np
import pytest
from deepseek import nn

WIDTH, TOKENS, ROWS, SIDE = 32, 16, 8, 4


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, dropout=0.1, batch_first=True)

    def forward(self, x):
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


class Convolves(nn.Module):
    """Tokens as pixels of a square picture."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        picture = x.transpose(1, 2).reshape(-1, WIDTH, SIDE, SIDE)
        y = nn.functional.relu(self.norm(self.conv(picture)), inplace=True)
        return (y + picture).flatten(2).transpose(1, 2)


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0] + x


class Widens(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        return x + self.drop(self.down(nn.functional.gelu(self.up(x))))


class WritesInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        y = self.linear(x)
        y[:, ::2] *= 0.5
        y.add_(x).clamp_(-4, 4)
        return y


PARTS = (Attends, Convolves, Remembers, Widens, WritesInPlace)


class Network(nn.Module):
    """Parts in random order, some of them the same module twice."""

    def __init__(self, draw: random.Random):
        super().__init__()
        self.embed = nn.Embedding(50, WIDTH)
        made: list = []
        for _ in range(draw.randint(4, 8)):
            again = made and draw.random() < 0.3
            made.append(draw.choice(made) if again else draw.choice(PARTS)())
        self.parts = nn.ModuleList(made)

    def forward(self, ids):
        x = self.embed(ids)
        for part in self.parts:
            x = part(x)
        return x @ self.embed.weight.transpose(0, 1)  # a parameter that is used twice


def trained(seed: int, budget=None, offload=None, steps: int = 3):
    """Losses, all values of the network afterwards, and what the last step was planned as."""
    ds.manual_seed(seed)
    draw = random.Random(seed)
    model = Network(draw)
    kinds = (ds.optim.AdamW, lambda p, lr: ds.optim.SGD(p, lr=lr, momentum=0.9))
    optimizer = draw.choice(kinds)(model.parameters(), lr=1e-2)
    ids = ds.tensor(np.random.default_rng(seed).integers(0, 50, (ROWS, TOKENS)))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    first = step()  # it also makes the optimizer's state
    with ds.memory.budget(budget, offload=offload):
        losses = [first, *(step() for _ in range(steps - 1))]
        summary = ds.memory.summary()
    values = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    return losses, values, summary


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_train_to_the_same_bits(seed, tmp_path):
    losses, values, free = trained(seed)
    assert losses[-1] == losses[-1] and len(set(losses)) == len(losses)
    met, fixed = 0, free.peak - free.arena
    draw = random.Random(seed)
    for share in (draw.uniform(0.7, 1), draw.uniform(0.4, 0.7), draw.uniform(0.1, 0.4)):
        budget = int(fixed + share * free.arena)
        for folder in (None, tmp_path):
            try:
                found, after, summary = trained(seed, budget, folder)
            except ds.OutOfMemoryError:
                continue
            met += 1
            assert summary.peak <= budget
            assert found == losses
            assert after == values
    assert met > 0
