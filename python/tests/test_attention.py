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
