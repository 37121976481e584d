# SPDX-License-Identifier: Apache-2.0
"""Lesson 2: a network, an optimizer and a training loop of one's own, on handwritten digits."""

import deepseek as ds
from deepseek import data, datasets, nn, optim

ds.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.out = nn.Linear(128, 10)

    def forward(self, x):
        return self.out(nn.functional.relu(self.hidden(x.flatten(1))))


net = Net()
optimizer = optim.Adam(net.parameters(), lr=3e-3)
scale = datasets.default_transforms(datasets.load("digits"))[0]
split = datasets.load("digits", transform=scale)
loader = data.DataLoader(split.train, batch_size=64, shuffle=True, seed=0)
images, labels = next(iter(data.DataLoader(split.test, batch_size=359)))

for epoch in range(8):
    for x, y in loader:
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with ds.no_grad():
        accuracy = (net(images).argmax(1) == labels).float().mean().item()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}, held-out accuracy {accuracy:.3f}")
assert accuracy > 0.95

# Forward, backward and update of a step are one plan, made once.
print(ds.engine_stats()["plans"], "plans for", 8 * len(loader), "steps")
