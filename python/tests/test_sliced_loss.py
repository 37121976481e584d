# SPDX-License-Identifier: Apache-2.0
"""The cross entropy of many classes, which is computed for some rows at a time, against PyTorch."""

import deepseek as ds
import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROWS, WIDTH, CLASSES = 1100, 8, 20000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, WIDTH)).astype(np.float32)
WEIGHT = RNG.standard_normal((CLASSES, WIDTH)).astype(np.float32)
BIAS = RNG.standard_normal(CLASSES).astype(np.float32)
IDS = RNG.integers(0, CLASSES, ROWS)
LABELS = np.where(RNG.random(ROWS) < 0.1, -100, RNG.integers(0, CLASSES, ROWS))
LOGITS = ROWS * CLASSES * 4


def linear(lib, p, **loss):
    logits = lib.nn.functional.linear(p["x"], p["weight"], p["bias"])
    return lib.nn.functional.cross_entropy(logits, p["labels"], **loss)


def tokens(lib, p):
    """[batch, tokens, classes], as language models have them."""
    logits = (p["x"].reshape(2, ROWS // 2, WIDTH) @ p["weight"].t()) + p["bias"]
    return lib.nn.functional.cross_entropy(
        logits.reshape(-1, CLASSES).float(), p["labels"].reshape(2, -1).reshape(-1)
    )


def columns(lib, p):
    """The weight lies as [width, classes]."""
    logits = p["x"] @ p["weight"].reshape(WIDTH, CLASSES)
    return lib.nn.functional.cross_entropy(logits, p["labels"])


def tied(lib, p):
    hidden = lib.nn.functional.embedding(p["ids"], p["weight"]) * p["x"].tanh()
    return lib.nn.functional.cross_entropy(hidden @ p["weight"].t(), p["labels"])


def weighted(lib, p):
    """The gradient of the loss depends on the loss, so the logits stay whole."""
    logits = lib.nn.functional.linear(p["x"], p["weight"], p["bias"])
    return lib.nn.functional.cross_entropy(logits, p["labels"], reduction="none").square().mean()


def summed(lib, p):
    return linear(lib, p, reduction="sum", label_smoothing=0.1) / ROWS


# The share of the logits that temporaries may take: two slices of 550 rows, one at a time.
CASES = {linear: 0.7, tokens: 0.7, columns: 0.7, tied: 0.7, summed: 0.7, weighted: 1.7}


def run(lib, case):
    tensors = {
        name: lib.tensor(value, requires_grad=value.dtype == np.float32)
        for name, value in (("x", X), ("weight", WEIGHT), ("bias", BIAS))
    }
    more = {"ids": lib.tensor(IDS), "labels": lib.tensor(LABELS)}
    loss = case(lib, {**tensors, **more})
    loss.backward()
    used = {name: t.grad for name, t in tensors.items() if t.grad is not None}
    if lib is ds:
        lib.evaluate([loss, *used.values()])
    return {"loss": loss.item(), **{name: grad.numpy() for name, grad in used.items()}}


@pytest.mark.parametrize("case", CASES)
def test_it_is_pytorch_s_and_takes_little_memory(case):
    expected = run(torch, case)
    found = {}
    summary = ds.memory.summary(lambda: found.update(run(ds, case)))
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(found.pop("loss"), expected.pop("loss"), rtol=1e-5)
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 * scale, err_msg=name)
    assert summary.arena < CASES[case] * LOGITS


def test_logits_that_are_wanted_are_there():
    def both(lib):
        weight = lib.tensor(WEIGHT, requires_grad=True)
        logits = lib.tensor(X) @ weight.t()
        loss = lib.nn.functional.cross_entropy(logits, lib.tensor(LABELS))
        loss.backward()
        if lib is ds:
            lib.evaluate([loss, logits, weight.grad])
        return loss.item(), logits.argmax(1).numpy(), weight.grad.numpy()

    expected, ours = both(torch), both(ds)
    np.testing.assert_allclose(ours[0], expected[0], rtol=1e-5)
    assert (ours[1] == expected[1]).mean() > 0.999
    np.testing.assert_allclose(ours[2], expected[2], rtol=1e-4, atol=1e-8)


def test_half_types_add_up_in_full():
    """Slices of a bfloat16 product are no less exact than the product at once."""

    def gradient(lib, dtype):
        weight = lib.tensor(WEIGHT, requires_grad=True)
        with lib.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            logits = lib.tensor(X) @ weight.t()
        loss = lib.nn.functional.cross_entropy(logits.float(), lib.tensor(LABELS))
        loss.backward()
        return weight.grad.numpy()

    exact = gradient(torch, None)

    def error(found):
        return np.abs(found - exact).sum() / np.abs(exact).sum()

    assert error(gradient(ds, ds.bfloat16)) < 1.1 * error(gradient(torch, torch.bfloat16))


def test_a_wrong_label_is_an_error():
    labels = ds.tensor(np.full(ROWS, CLASSES))
    weight = ds.tensor(WEIGHT, requires_grad=True)
    loss = ds.nn.functional.cross_entropy(ds.tensor(X) @ weight.t(), labels)
    loss.backward()
    with pytest.raises(IndexError, match=f"label {CLASSES} is outside"):
        weight.grad.numpy()
