# SPDX-License-Identifier: Apache-2.0
"""scaled_dot_product_attention and its gradients against PyTorch's, in f64 there."""

import deepseek as ds
import numpy as np
import pytest
import torch

F, TF = ds.nn.functional, torch.nn.functional
NAMES = ("out", "query", "key", "value")

CASES = {
    # name: (B, H, Hk, Tq, Tk, D, Dv, mask shape, keywords)
    "causal, more keys": (1, 2, 2, 5, 300, 8, 8, None, {"is_causal": True}),
    "causal, more queries": (1, 2, 2, 70, 9, 8, 8, None, {"is_causal": True}),
    "shared keys": (2, 6, 2, 33, 40, 16, 16, None, {"enable_gqa": True}),
    "odd sizes": (1, 1, 1, 19, 23, 7, 5, None, {"scale": 0.7}),
    "one of each": (1, 1, 1, 1, 1, 1, 1, None, {}),
    "mask": (2, 2, 2, 20, 35, 8, 8, (2, 2, 20, 35), {}),
    "mask of keys": (2, 3, 3, 20, 35, 8, 8, (2, 1, 1, 35), {}),
    "mask of all samples": (2, 3, 3, 20, 35, 8, 8, (20, 35), {}),
}


def run(library, functional, arrays, mask, keywords):
    """Output and gradients; heads are views of [B, T, H, D], as projections leave them."""
    leaves = [library.tensor(a).requires_grad_() for a in arrays]
    heads = [x.transpose(1, 2) for x in leaves]
    if mask is not None:
        keywords = {**keywords, "attn_mask": library.tensor(mask)}
    out = functional.scaled_dot_product_attention(*heads, **keywords)
    (
        out
        * library.tensor(
            np.cos(np.arange(np.prod(out.shape))).reshape(out.shape).astype(arrays[0].dtype)
        )
    ).sum().backward()
    return [x.detach().numpy() for x in (out, *(x.grad for x in leaves))]


@pytest.mark.parametrize("masked_by", ["bool", "additive"])
@pytest.mark.parametrize("name", CASES)
def test_attention_equals_torch(name, masked_by):
    b, h, hk, tq, tk, d, dv, mask_shape, keywords = CASES[name]
    if mask_shape is None and masked_by == "additive":
        pytest.skip("without a mask")
    draw = np.random.default_rng(0)
    arrays = [
        draw.standard_normal(s).astype(np.float32)
        for s in ((b, tq, h, d), (b, tk, hk, d), (b, tk, hk, dv))
    ]
    mask, wide_mask = None, None
    if mask_shape is not None:
        mask = wide_mask = draw.random(mask_shape) < 0.7
        if masked_by == "additive":
            mask = np.where(mask, draw.standard_normal(mask_shape), -np.inf).astype(np.float32)
            wide_mask = mask.astype(np.float64)
    want = run(torch, TF, [a.astype(np.float64) for a in arrays], wide_mask, keywords)
    for what, mine, other in zip(NAMES, run(ds, F, arrays, mask, keywords), want, strict=False):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5, err_msg=what)


@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((2, 4, 33, 40, 16), {}),
        ((1, 4, 70, 291, 8), {"is_causal": True}),
        ((2, 2, 20, 35, 8), {"attn_mask": (2, 1, 1, 35)}),
    ],
)
def test_dropped_weights(shape, keywords):
    """Values that are the identity show the weights; torch then takes the same ones away."""
    b, h, tq, tk, d = shape
    p = 0.3
    draw = np.random.default_rng(1)
    arrays = [draw.standard_normal((b, t, h, d)).astype(np.float32) for t in (tq, tk, tk)]
    keywords = dict(keywords)
    if "attn_mask" in keywords:
        keywords["attn_mask"] = draw.random(keywords["attn_mask"]) < 0.7

    def ours(values):
        ds.manual_seed(3)
        leaves = [ds.tensor(a).requires_grad_() for a in (*arrays[:2], values)]
        heads = [x.transpose(1, 2) for x in leaves]
        given = {k: ds.tensor(v) if k == "attn_mask" else v for k, v in keywords.items()}
        out = F.scaled_dot_product_attention(*heads, dropout_p=p, **given)
        (out * out).sum().backward()
        return [x.detach().numpy() for x in (out, *(x.grad for x in leaves))]

    eye = np.broadcast_to(np.eye(tk, dtype=np.float32)[:, None], (b, tk, h, tk)).copy()
    weights = ours(eye)[0]
    kept = torch.tensor(weights != 0, dtype=torch.float64)

    leaves = [torch.tensor(a, dtype=torch.float64).requires_grad_() for a in arrays]
    q, k, v = (x.transpose(1, 2) for x in leaves)
    scores = q @ k.mT / d**0.5
    seen = torch.ones(tq, tk, dtype=torch.bool)
    if "is_causal" in keywords:
        seen = seen.tril()
    if "attn_mask" in keywords:
        seen = torch.tensor(keywords["attn_mask"])
    full = torch.softmax(scores.masked_fill(~seen, -np.inf), -1)
    dropped = 1 - kept[full > 0].mean().item()
    assert abs(dropped - p) < 0.05
    out = (full * kept / (1 - p)) @ v
    (out * out).sum().backward()
    np.testing.assert_allclose(weights, (full * kept / (1 - p)).detach(), rtol=1e-4, atol=1e-6)
    for what, mine, other in zip(
        NAMES, ours(arrays[2]), (out.detach(), *(x.grad for x in leaves)), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5, err_msg=what)


def test_dropped_weights_are_those_of_dropout():
    q, k, v = (ds.randn(2, 3, 17, 8) for _ in range(3))
    ds.manual_seed(5)
    fused = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2)
    ds.manual_seed(5)
    written = F.dropout((q @ k.mT / 8**0.5).softmax(-1), 0.2) @ v
    np.testing.assert_allclose(fused.numpy(), written.numpy(), rtol=1e-4, atol=1e-5)
