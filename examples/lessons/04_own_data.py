# SPDX-License-Identifier: Apache-2.0
"""Lesson 4: data of one's own: a data set, a sampler, workers, and a table from a CSV file."""

import tempfile
from pathlib import Path

import deepseek as ds
import numpy as np
from deepseek import data, nn, optim


class Spirals(data.Dataset):
    """Points on two interleaved spirals; which one is the label."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        draw = np.random.default_rng(index)
        label = index % 2
        angle = draw.uniform(0.5, 3.0) * np.pi
        radius = angle / 10 * (1 if label else -1)
        point = radius * np.array([np.cos(angle), np.sin(angle)]) + draw.normal(0, 0.01, 2)
        return point.astype(np.float32), label


if __name__ == "__main__":
    ds.manual_seed(0)
    train, test = data.random_split(Spirals(1200), [0.8, 0.2])
    loader = data.DataLoader(train, batch_size=64, shuffle=True, num_workers=2)
    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimizer = optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(25):
        for x, y in loader:
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    x, y = next(iter(data.DataLoader(test, batch_size=len(test))))
    accuracy = (net(x).argmax(1) == y).float().mean().item()
    print(f"accuracy on held-out points: {accuracy:.3f}")
    assert accuracy > 0.9

    # Tables of numbers: y = 3 a - 2 b + 1, by least squares.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text("a,b,y\n1,0,4\n0,1,-1\n2,1,5\n3,5,0\n")
        columns, values = ds.io.load_csv(str(path))
    a = ds.cat([values[:, :2], ds.ones(4, 1)], dim=1)
    solution = ds.linalg.lstsq(a, values[:, 2:]).solution
    print("coefficients", [round(v, 3) for v in solution.flatten().tolist()])
    assert ds.allclose(solution.flatten(), ds.tensor([3.0, -2.0, 1.0]), atol=1e-4)
