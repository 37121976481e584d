# SPDX-License-Identifier: Apache-2.0
"""Training steps whose graph is new each time, and one with averages beside the step: for
overhead.py, in the words that PyTorch and deepseek share.

Each function takes the module, `torch` or `deepseek`, and a random.Random; it returns a network and
a function that makes one step and returns the loss."""


def train(lib, modules: dict, loss_of):
    network = lib.nn.ModuleDict(modules)
    optimizer = lib.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> float:
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return network, step


def teacher_forcing(lib, draw):
    """A GRU cell over 11 places whose next token is the target's or its own, by coin."""
    nn, f, words = lib.nn, lib.nn.functional, 50
    cell, embed, head = nn.GRUCell(32, 64), nn.Embedding(words, 32), nn.Linear(64, words)

    def loss_of():
        target = lib.tensor([[draw.randrange(words) for _ in range(12)] for _ in range(8)])
        state, token, loss = lib.zeros(8, 64), target[:, 0], 0
        for place in range(1, 12):
            state = cell(embed(token), state)
            logits = head(state)
            loss = loss + f.cross_entropy(logits, target[:, place])
            token = target[:, place] if draw.random() < 0.5 else logits.argmax(dim=1)
        return loss

    return train(lib, {"cell": cell, "embed": embed, "head": head}, loss_of)


def trees(lib, draw):
    """A network along a binary tree of random shape with 5 to 25 leaves."""
    nn, f, words = lib.nn, lib.nn.functional, 50
    join, embed, head = nn.Linear(64, 32), nn.Embedding(words, 32), nn.Linear(32, 2)

    def encode(leaves: int):
        if leaves == 1:
            return embed(lib.tensor([draw.randrange(words)]))
        left = draw.randint(1, leaves - 1)
        return lib.tanh(join(lib.cat([encode(left), encode(leaves - left)], dim=1)))

    def loss_of():
        return f.cross_entropy(head(encode(draw.randint(5, 25))), lib.tensor([draw.randrange(2)]))

    return train(lib, {"join": join, "embed": embed, "head": head}, loss_of)


def graph_network(lib, draw):
    """Two layers of messages over a random graph of 20 to 100 nodes."""
    nn, f = lib.nn, lib.nn.functional
    first, second, head = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 3)

    def loss_of():
        nodes, edges = draw.randint(20, 100), draw.randint(50, 300)
        source, target = (
            lib.tensor([draw.randrange(nodes) for _ in range(edges)]) for _ in range(2)
        )
        x = lib.tensor([[draw.random() for _ in range(16)] for _ in range(nodes)])
        for layer in (first, second):
            h = layer(x)
            x = f.relu(lib.zeros(nodes, 64).index_add(0, target, h[source]) + h)
        return f.cross_entropy(head(x.mean(dim=0, keepdim=True)), lib.tensor([draw.randrange(3)]))

    return train(lib, {"first": first, "second": second, "head": head}, loss_of)


def averages(lib, draw):
    """A small network whose running average is kept by swa_utils; its graph repeats."""
    nn = lib.nn
    layers = [m for _ in range(6) for m in (nn.Linear(64, 64), nn.Tanh())]
    body = nn.Sequential(*layers)

    def loss_of():
        return body(lib.tensor([[draw.random() for _ in range(64)]] * 8)).square().mean()

    network, step = train(lib, {"body": body}, loss_of)
    average = lib.optim.swa_utils.AveragedModel(network)

    def step_and_average() -> float:
        loss = step()
        average.update_parameters(network)
        return loss

    return network, step_and_average


STEPS = (teacher_forcing, trees, graph_network, averages)
