# SPDX-License-Identifier: Apache-2.0
"""What loops keep in memory: micro-batches and sums of losses. Steps that fail behind others."""

import gc
import subprocess
import sys

import deepseek as ds
import numpy as np
import pytest
from deepseek import nn

ROWS, WIDTH, DEPTH = 256, 64, 8


class Deep(nn.Module):
    """Linear layers and batch norms, whose statistics each micro-batch goes on with."""

    def __init__(self, norm=True):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(DEPTH if norm else 0))

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x).tanh()
            if self.norms:
                x = self.norms[i](x)
        return x


def build(seed=0):
    ds.manual_seed(seed)
    model = Deep()
    return model, ds.optim.Adam(model.parameters(), lr=1e-2)


def batches(count, rows=ROWS):
    values = np.random.default_rng(0).standard_normal((count, rows, WIDTH)).astype(np.float32)
    return [ds.tensor(value) for value in values]


def accumulate(model, optimizer, micro, read=False):
    optimizer.zero_grad()
    for x in micro:
        loss = model(x).square().mean() / len(micro)
        loss.backward()
        if read:
            loss.item()
    optimizer.step()


def state_bytes(model):
    return [v.detach().clone().numpy().tobytes() for v in model.state_dict().values()]


# --- micro-batches --------------------------------------------------------------------------------


def test_micro_batches_that_nobody_reads_take_the_memory_of_one():
    model, optimizer = build()
    peaks = {}
    for count in (1, 2, 6):
        micro = batches(count)
        accumulate(model, optimizer, micro)
        peaks[count] = ds.memory.summary(lambda m=micro: accumulate(model, optimizer, m)).arena
    assert peaks[6] <= peaks[2] <= 1.1 * peaks[1]


@pytest.mark.parametrize("read", [False, True])
def test_micro_batches_match_pytorch(read):
    torch = pytest.importorskip("torch")
    model, optimizer = build()
    theirs = torch.nn.ModuleList(
        module
        for _ in range(DEPTH)
        for module in (torch.nn.Linear(WIDTH, WIDTH), torch.nn.BatchNorm1d(WIDTH))
    )
    for i in range(DEPTH):
        for mine, other in ((model.layers[i], theirs[2 * i]), (model.norms[i], theirs[2 * i + 1])):
            state = mine.state_dict().items()
            other.load_state_dict({k: torch.tensor(v.detach().numpy()) for k, v in state})
    other_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    optimizer = ds.optim.SGD(model.parameters(), lr=0.1)
    micro = batches(3, rows=16)
    for _ in range(2):
        accumulate(model, optimizer, micro, read)
        other_optimizer.zero_grad()
        for x in micro:
            y = torch.tensor(x.numpy())
            for i in range(DEPTH):
                y = theirs[2 * i + 1](theirs[2 * i](y).tanh())
            (y.square().mean() / len(micro)).backward()
        other_optimizer.step()
    for i in range(DEPTH):
        for mine, other in ((model.layers[i], theirs[2 * i]), (model.norms[i], theirs[2 * i + 1])):
            for name, value in other.state_dict().items():
                np.testing.assert_allclose(
                    mine.state_dict()[name].detach().numpy(), value.numpy(), rtol=2e-4, atol=2e-5
                )


def test_a_step_of_one_batch_stays_one_plan():
    model, optimizer = build()
    (x,) = batches(1)
    accumulate(model, optimizer, [x])
    before = ds.engine_stats()
    accumulate(model, optimizer, [x])
    after = ds.engine_stats()
    assert after["plans"] + after["hits"] == before["plans"] + before["hits"] + 1


RESIDENT = """
import sys
import deepseek as ds
from deepseek import nn

count = int(sys.argv[1])
model = nn.Sequential(*(m for _ in range(12) for m in (nn.Linear(256, 256), nn.Tanh())))
optimizer = ds.optim.SGD(model.parameters(), lr=0.1)
micro = [ds.randn(4096, 256).evaluate() for _ in range(8)][:count]

def growth():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) << 10

for _ in range(2):
    optimizer.zero_grad()
    for x in micro:
        loss = model(x).square().mean() / count
        loss.backward()
    optimizer.step()
ds.synchronize()
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_micro_batches_seen_from_outside():
    def peak(count):
        child = subprocess.Popen(
            [sys.executable, "-c", RESIDENT, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert child.stdout.readline() == "done\n"
            with open(f"/proc/{child.pid}/status") as status:
                return next(int(s.split()[1]) for s in status if s.startswith("VmHWM")) << 10
        finally:
            child.communicate("\n")

    # One micro-batch of activations is 12 x 4 MiB and the inputs lie there either way.
    assert peak(8) - peak(1) < 24 << 20


# --- sums of losses -------------------------------------------------------------------------------


def held_bytes(total, steps, before_backward, in_place):
    """Bytes in use after so many steps that add their loss to `total`, which has its history."""
    model, optimizer = build()
    x = batches(1)[0]
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(x * 1.0).square().mean()
        if not before_backward:
            loss.backward()
        if in_place:
            total += loss
        else:
            total = total + loss
        if before_backward:
            loss.backward()
        optimizer.step()
    del loss
    gc.collect()
    ds.synchronize()
    ds.empty_cache()
    return ds.memory_stats()["in_use"], total


@pytest.mark.parametrize("before_backward", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_sum_of_losses_keeps_no_activations(before_backward, in_place):
    few, _ = held_bytes(ds.zeros(()), 3, before_backward, in_place)
    many, total = held_bytes(ds.zeros(()), 12, before_backward, in_place)
    assert many - few < 16384
    assert total.requires_grad and np.isfinite(total.item())
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        total.backward()


def test_a_list_of_losses_keeps_no_activations():
    def run(steps):
        model, optimizer = build()
        x = batches(1)[0]
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            losses.append(model(x * 1.0).square().mean())
            losses[-1].backward()
            optimizer.step()
        ds.synchronize()
        ds.empty_cache()
        return ds.memory_stats()["in_use"], ds.stack(losses).mean().item()

    assert run(12)[0] - run(3)[0] < 16384


def test_sums_that_can_still_be_differentiated_are():
    torch = pytest.importorskip("torch")
    w = ds.tensor([1.0, 2.0], requires_grad=True)
    v = torch.tensor([1.0, 2.0], requires_grad=True)
    total, expected = 0, 0
    for k in range(3):
        total = total + (w * w * k).sum()
        expected = expected + (v * v * k).sum()
        total.item()
    kept = (w * 3).sin().sum()
    kept.backward(retain_graph=True)
    total = total + kept
    total.item()
    total.backward()
    (v * 3).sin().sum().backward()
    expected = expected + (v * 3).sin().sum()
    expected.backward()
    np.testing.assert_allclose(w.grad.numpy(), v.grad.numpy(), rtol=1e-6)
    with pytest.raises(RuntimeError, match="second time"):
        kept.backward()


# --- failed steps ---------------------------------------------------------------------------------


def test_steps_in_flight_behind_a_failed_one_count_right():
    ds.manual_seed(0)
    model = nn.Embedding(16, 8)
    optimizer = ds.optim.Adam(model.parameters(), lr=0.1)
    slow = ds.randn(768, 768).evaluate()

    def step(*index):
        optimizer.zero_grad()
        model(ds.tensor(index)).square().sum().backward()
        optimizer.step()

    def number():
        return optimizer.state_dict()["state"][0]["step"]

    for _ in range(2):
        step(1, 2)
    ds.synchronize()
    assert number() == 2
    for expected in (3, 5):
        y = slow
        for _ in range(30):
            y = y @ slow * 1e-3
        y.evaluate()  # the steps below wait behind it
        step(3, 99)
        step(4, 5)
        if expected == 5:
            step(7, 99)
            step(8, 9)
        ds.synchronize()
        assert number() == expected
        with pytest.raises(IndexError, match="99"):  # told once, late
            step(1, 2)
        assert number() == expected
