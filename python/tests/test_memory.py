# SPDX-License-Identifier: Apache-2.0
"""What a step needs in memory, checkpoints, and plans within a budget."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import deepseek as ds
import numpy as np
import pytest
from deepseek import nn
from deepseek.utils import checkpoint as checkpoints
from deepseek.utils.checkpoint import checkpoint, checkpoint_sequential


class Residual(nn.Module):
    """Convolutions, batch norms and residual sums: `depth` of them."""

    def __init__(self, depth, width=8):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.BatchNorm2d(width),
            )
            for _ in range(depth)
        )
        self.last = nn.Linear(width, 4)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = (x + block(x)).relu()
        return self.last(x.mean((2, 3)))


class Decoder(nn.Module):
    """Attention, layer norms, dropout and GELU: `depth` layers."""

    def __init__(self, depth, width=32, run=None):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.mixes = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.ups = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.downs = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.dropout = nn.Dropout(0.2)
        self.run = run or (lambda layer, x: layer(x))

    def forward(self, x):
        for i in range(len(self.ups)):
            x = self.run(lambda x, i=i: self.layer(x, i), x)
        return x

    def layer(self, x, i):
        q, k, v = self.mixes[i](self.norms[2 * i](x)).split(x.shape[-1], 2)
        y = nn.functional.scaled_dot_product_attention(
            q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1), is_causal=True
        ).squeeze(1)
        x = x + self.dropout(y)
        y = nn.functional.gelu(self.ups[i](self.norms[2 * i + 1](x)))
        return x + self.dropout(self.downs[i](y))


def image_step(depth=4):
    ds.manual_seed(0)
    model = Residual(depth)
    optimizer = ds.optim.Adam(model.parameters(), lr=1e-2)
    x = ds.tensor(np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32))
    y = ds.tensor([0, 1, 2, 3])

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return model, step


def text_step(depth=4, run=None, read_loss_first=False):
    ds.manual_seed(0)
    model = Decoder(depth, run=run)
    optimizer = ds.optim.AdamW(model.parameters(), lr=1e-2)
    x = ds.tensor(np.random.default_rng(0).standard_normal((4, 24, 32)).astype(np.float32))
    ds.manual_seed(1)

    def step():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        if read_loss_first:
            loss.item()
        loss.backward()
        optimizer.step()
        return loss.item()

    return model, step


def results(model, step, steps=3):
    """Losses, gradients and weights after a few steps, as bits."""
    losses = [step() for _ in range(steps)]
    return losses, [
        (p.grad.numpy().tobytes(), p.detach().numpy().tobytes()) for p in model.parameters()
    ]


# --- summary --------------------------------------------------------------------------------------


def test_summary_knows_every_kind():
    model, step = image_step()
    step()
    summary = ds.memory.summary(step)
    parameters = sum(p.numel() * 4 for p in model.parameters())
    assert summary.by_kind["parameters"] == parameters
    assert summary.by_kind["optimizer state"] >= 2 * parameters
    assert summary.by_kind["gradients"] == parameters
    # Each block keeps what both batch norms and both convolutions read.
    assert summary.by_kind["activations"] >= 4 * 4 * 4 * 8 * 16 * 16 * 4
    assert sum(summary.by_kind.values()) == summary.peak - summary.arena + summary.lower_bound
    assert sum(b.bytes for b in summary.blocks) == sum(summary.by_kind.values())
    assert 0 <= summary.fragmentation < 0.03
    sizes = [b.bytes for b in summary.blocks]
    assert sizes == sorted(sizes, reverse=True)
    kept = next(b for b in summary.blocks if b.kind == "activations")
    assert kept.location.startswith("test_memory.py:")
    assert kept.location in str(summary)


def test_summary_of_the_last_step_is_not_that_of_a_later_look():
    _, step = image_step()
    wanted = ds.memory.summary(step)
    (ds.ones(3) + 1).numpy()
    assert ds.memory.summary().peak == wanted.peak


def test_summary_of_inference_keeps_no_activations():
    model, _ = image_step()
    with ds.no_grad():
        summary = ds.memory.summary(lambda: model(ds.ones(4, 3, 16, 16)).numpy())
    assert summary.by_kind["activations"] == 0 and summary.by_kind["gradients"] == 0
    assert summary.peak > 0


def test_the_arena_is_what_the_process_takes():
    model, step = image_step()
    step()
    summary = ds.memory.summary(step)
    assert ds.memory_stats()["peak"] >= summary.arena


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("read_loss_first", [False, True])
def test_checkpoint_changes_no_bit_and_saves_memory(read_loss_first):
    plain = text_step(6, read_loss_first=read_loss_first)
    expected = results(*plain)
    peak = ds.memory.summary(plain[1]).peak
    saving = text_step(
        6, lambda layer, x: checkpoint(layer, x, use_reentrant=False), read_loss_first
    )
    assert results(*saving) == expected
    summary = ds.memory.summary(saving[1])
    assert summary.peak < 0.8 * peak


def test_checkpoint_matches_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint as reference

    weights = np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)
    data = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)

    def run(lib, again):
        w = lib.tensor(weights, requires_grad=True)
        x = lib.tensor(data, requires_grad=True)

        def part(a, scale=1.0):
            hidden = (a @ w).tanh()
            return hidden * scale, {"sum": hidden.sum(), "name": "h"}

        out, more = again(part, x, use_reentrant=False, scale=2.0)
        inner, _ = again(lambda a: again(part, a, use_reentrant=False), out, use_reentrant=False)
        (inner.square().sum() + more["sum"]).backward()
        return [t.detach().numpy() for t in (inner, w.grad, x.grad)], more["name"]

    ours, theirs = run(ds, checkpoint), run(torch, reference)
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_checkpoint_sequential_matches_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint_sequential as reference

    theirs = torch.nn.Sequential(*(torch.nn.Linear(6, 6) for _ in range(5)))
    ours = nn.Sequential(*(nn.Linear(6, 6) for _ in range(5)))
    ours.load_state_dict({k: ds.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    data = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    a = checkpoint_sequential(ours, 3, ds.tensor(data), use_reentrant=False)
    b = reference(theirs, 3, torch.tensor(data), use_reentrant=False)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    a.sum().backward()
    b.sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=False):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential(ours, 6, ds.tensor(data))


def test_checkpoint_updates_running_statistics_once():
    def run(again):
        ds.manual_seed(0)
        layer = nn.BatchNorm2d(3)
        x = ds.randn(4, 3, 5, 5, requires_grad=True)
        again(layer, x).square().sum().backward()
        return layer.running_mean.numpy(), layer.running_var.numpy(), x.grad.numpy()

    for a, b in zip(run(lambda f, x: f(x)), run(checkpoint), strict=False):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_differentiates_twice():
    x = ds.tensor([0.3, 0.7], requires_grad=True)
    y = checkpoint(lambda a: a.sin() * a, x)
    (first,) = ds.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = ds.autograd.grad(first.sum(), x)
    v = np.array([0.3, 0.7])
    np.testing.assert_allclose(first.detach().numpy(), np.sin(v) + v * np.cos(v), rtol=1e-6)
    np.testing.assert_allclose(second.numpy(), 2 * np.cos(v) - v * np.sin(v), rtol=1e-5)


def test_checkpoint_without_gradients_is_the_function():
    x = ds.ones(3, requires_grad=True)
    with ds.no_grad():
        assert not checkpoint(lambda a: a * 2, x).requires_grad
    assert checkpoint(lambda a: a, x) is x
    with pytest.raises(NotImplementedError, match="context_fn"):
        checkpoint(lambda a: a, x, context_fn=lambda: None)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("early", [False, True])
def test_nested_checkpoints_with_keywords_match_pytorch(autocast, early):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torch.utils.checkpoint")
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((8, 8)).astype(np.float32) * 0.3 for _ in range(3)]

    def run(lib, module):
        x, u, v = (lib.tensor(value, requires_grad=True) for value in data)

        def inner(x, *, w, scale=1.0):
            return (x @ w).tanh() * scale

        def outer(x, pair, flag=None):
            a = module.checkpoint(inner, x, w=pair[0], scale=2.0, use_reentrant=False)
            b = module.checkpoint(
                inner, a, w=pair[1], use_reentrant=False, context_fn=module.noop_context_fn
            )
            return {"y": b, "other": (a.detach(), flag, None)}

        with (
            module.set_checkpoint_early_stop(early),
            lib.autocast("cpu", dtype=lib.bfloat16, enabled=autocast),
        ):
            result = module.checkpoint(outer, x, (u, v), flag=3, use_reentrant=False)
            loss = result["y"].float().square().mean()
            loss.backward()
        assert result["other"][1:] == (3, None)
        return str(result["y"].dtype), [
            loss.item(),
            *(t.grad.float().numpy() for t in (x, u, v)),
        ]

    dtype, found = run(ds, checkpoints)
    expected_dtype, expected = run(torch, reference)
    assert dtype.split(".")[1] == expected_dtype.split(".")[1]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-3 if autocast else 1e-6)


# --- budget ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [image_step, text_step])
def test_a_budget_changes_no_bit(make):
    expected = results(*make(8))
    model, step = make(8)
    step()
    points = ds.memory.frontier(step)
    assert points[0].level == 0 and len(points) >= 3
    assert [p.peak for p in points] == sorted((p.peak for p in points), reverse=True)
    assert [p.time for p in points] == sorted(p.time for p in points)
    activations = ds.memory.summary(step).by_kind["activations"]
    assert points[0].peak - points[-1].peak > activations / 2
    for point in points[1:]:
        with ds.memory.budget(point.peak):
            assert results(*make(8)) == expected
            assert ds.memory.summary().peak <= point.peak


@pytest.mark.parametrize("dtype", [ds.bfloat16, ds.float16])
def test_a_budget_changes_no_bit_of_mixed_precision(dtype):
    def train(budget):
        ds.manual_seed(0)
        model = Residual(6)
        rng = np.random.default_rng(0)
        data = [
            (
                ds.tensor(rng.standard_normal((4, 3, 16, 16)).astype(np.float32)),
                ds.tensor([0, 1, 2, 3]),
            )
            for _ in range(3)
        ]
        trainer = ds.MixedPrecisionTrainer(
            model, ds.optim.AdamW, dtype=dtype, memory_budget=budget, progress=False
        )
        losses = [log["loss"] for log in trainer.fit(data, 2)]
        return losses, [p.detach().numpy().tobytes() for p in model.parameters()]

    expected = train(None)
    peak = ds.memory.summary().peak
    assert train(int(0.75 * peak)) == expected


def test_a_budget_that_nothing_fits_states_the_least():
    _, step = image_step()
    step()
    least = ds.memory.frontier(step)[-1].peak
    with ds.memory.budget(least - 1), pytest.raises(ds.OutOfMemoryError, match=str(least)):
        step()


def test_budgets_are_amounts_of_memory():
    assert ds.memory.parse_bytes("2GiB") == 2 << 30
    assert ds.memory.parse_bytes("1.5 KB") == 1500
    assert ds.memory.parse_bytes(4096) == 4096
    for wrong in ("", "many", "2 Gi", "-1GiB", "0", "1e300GB", "nan", "0x10", 0, -5, 1.5, "2.5B"):
        with pytest.raises(ds.ValueError, match="amount of memory"):
            ds.memory.budget(wrong)
    assert ds.memory.format_bytes(1536) == "1.5 KiB"


def test_the_environment_sets_a_budget():
    code = "import deepseek as ds; (ds.ones(1000, 1000) @ ds.ones(1000, 1000)).numpy()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "DS_MEMORY_BUDGET": "1MiB"},
    )
    assert run.returncode != 0 and "OutOfMemoryError: memory budget" in run.stderr


def test_the_trainer_takes_a_budget():
    data = [(ds.ones(4, 6), ds.tensor([0, 1, 0, 1]))]
    model = nn.Linear(6, 2)
    with pytest.raises(ds.ValueError, match="amount of memory"):
        ds.MixedPrecisionTrainer(
            model, ds.optim.SGD, memory_budget="much", optimizer_args={"lr": 0.1}
        )
    trainer = ds.MixedPrecisionTrainer(
        model, ds.optim.SGD, memory_budget="16B", progress=False, optimizer_args={"lr": 0.1}
    )
    with pytest.raises(ds.OutOfMemoryError):
        trainer.fit(data)
    trainer = ds.MixedPrecisionTrainer(
        model, ds.optim.SGD, memory_budget="1GiB", progress=False, optimizer_args={"lr": 0.1}
    )
    assert trainer.fit(data)[0]["loss"] > 0


# --- timeline -------------------------------------------------------------------------------------


def test_timeline_shows_the_step(tmp_path):
    _, step = text_step()
    step()
    line = ds.memory.timeline(step)
    summary = ds.memory.summary(step)
    assert line.peak.bytes == sum(summary.by_kind.values())
    assert {m.backward for m in line.moments} == {False, True}
    # Activations pile up in the forward pass and go in the backward pass.
    kept = [m.by_kind["activations"] for m in line.moments]
    top = kept.index(max(kept))
    assert kept[0] < kept[top] / 4 and kept[-1] < kept[top] / 4
    text = str(line)
    assert (
        "forward" in text and "backward" in text and ds.memory.format_bytes(line.peak.bytes) in text
    )
    line.save(tmp_path / "step.svg")
    root = ElementTree.parse(tmp_path / "step.svg").getroot()
    kinds = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "activations" in kinds and "parameters" in kinds
    with pytest.raises(ValueError, match="svg"):
        line.save(tmp_path / "step.png")


def test_the_gradient_of_logits_takes_their_place():
    rows, width, classes = 512, 8, 4096
    head = nn.Linear(width, classes, bias=False)
    x = ds.randn(rows, width)
    y = ds.randint(0, classes, (rows,))

    def step():
        head.weight.grad = None
        loss = nn.functional.cross_entropy(head(x), y)
        loss.backward()
        return loss.item(), head.weight.grad.numpy()

    step()
    logits = rows * classes * 4
    assert logits <= ds.memory.summary(step).arena < 1.5 * logits  # and what each thread packs


def test_what_an_output_is_written_over_lies_there_too():
    rows, width = 512, 64
    a, b, more = ds.randn(rows, 8), ds.randn(8, width), ds.randn(3, width)
    at = ds.tensor([1, 2, 1])
    result = []
    summary = ds.memory.summary(
        lambda: result.append((a @ b + a.sum()).index_add(0, at, more).numpy())
    )
    assert summary.arena < rows * width * 4 / 4
    expected = a.numpy() @ b.numpy() + a.numpy().sum()
    np.add.at(expected, at.numpy(), more.numpy())
    np.testing.assert_allclose(result[0], expected, rtol=1e-4, atol=1e-4)


def test_a_step_that_does_not_fit_changes_nothing():
    def build():
        ds.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 8))
        return model, ds.optim.AdamW(model.parameters(), lr=1e-2)

    def backward(model, optimizer, rows):
        optimizer.zero_grad()
        x = ds.tensor(np.random.default_rng(rows).standard_normal((rows, 32)).astype(np.float32))
        loss = model(x).square().mean()
        loss.backward()
        return loss

    def all_bytes(model, optimizer):
        # Copies: what NumPy shares could not be updated in place.
        state = [v for p in model.parameters() for v in optimizer.state[p].values()]
        tensors = [*model.parameters(), *(v for v in state if isinstance(v, ds.Tensor))]
        return [t.detach().clone().numpy().tobytes() for t in tensors]

    plain, refused = build(), build()
    for model, optimizer in (plain, refused):
        backward(model, optimizer, 64)
        optimizer.step()
    room = ds.memory.summary().peak + 16384
    before = all_bytes(*refused)
    # A large batch does not fit, before the step and while its gradients are pending.
    with ds.memory.budget(room):
        loss = backward(*refused, 4096)
        for _ in range(2):
            with pytest.raises(ds.OutOfMemoryError):
                refused[1].step()
        assert all_bytes(*refused) == before
        # A smaller one does.
        backward(*refused, 64)
        refused[1].step()
        assert ds.memory.summary().peak <= room
    backward(*plain, 64)
    plain[1].step()
    assert all_bytes(*refused) == all_bytes(*plain)
    # With more room the same step can be called again.
    results = []
    for model, optimizer in (plain, refused):
        loss = backward(model, optimizer, 4096)
        if model is refused[0]:
            with ds.memory.budget(room), pytest.raises(ds.OutOfMemoryError):
                optimizer.step()
        optimizer.step()
        results.append((loss.item(), all_bytes(model, optimizer)))
    assert results[0] == results[1]
