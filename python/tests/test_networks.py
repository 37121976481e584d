# SPDX-License-Identifier: Apache-2.0
"""Networks of many kinds against PyTorch: loss, every gradient, later losses, and evaluation."""

import deepseek as ds
import numpy as np
import pytest
import torch
from network_samples import NETWORKS


def trained(lib, model, data, loss_of, steps):
    batch = [lib.tensor(part) for part in data]
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
    losses, gradients = [], {}
    for step in range(steps):
        loss = loss_of(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {k: p.grad.numpy().copy() for k, p in model.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with lib.no_grad():
        losses.append(loss_of(model, *batch).item())
    return losses, gradients


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_training_equals_torch(build):
    torch.manual_seed(0)
    theirs, data, their_loss = build(torch)
    ours, _, our_loss = build(ds)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    expected, their_gradients = trained(torch, theirs, data, their_loss, 3)
    got, our_gradients = trained(ds, ours, data, our_loss, 3)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    for name, gradient in their_gradients.items():
        scale = max(1e-3, np.abs(gradient).max())
        np.testing.assert_allclose(
            our_gradients[name] / scale, gradient / scale, rtol=1e-3, atol=2e-4, err_msg=name
        )
