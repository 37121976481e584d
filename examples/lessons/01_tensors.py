# SPDX-License-Identifier: Apache-2.0
"""Lesson 1: tensors, views and gradients."""

import deepseek as ds

# Tensors look and behave like PyTorch's. Operations are recorded and computed when a value is asked
# for: here by print.
x = ds.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print("x * 2 + 1 =", x * 2 + 1)

# A view shares memory with its base.
row = x[1]
row += 10
assert x.tolist() == [[1, 2, 3], [14, 15, 16]]

# Gradients: what is recorded can be differentiated.
w = ds.tensor([0.5, -1.0, 2.0], requires_grad=True)
loss = ((x @ w - 3) ** 2).mean()
loss.backward()
print("loss", loss.item(), "gradient", w.grad.tolist())

# The same by hand: d/dw mean((xw - 3)^2) = 2/n x^T (xw - 3).
with ds.no_grad():
    by_hand = 2 / 2 * x.T @ (x @ w - 3)
assert ds.allclose(w.grad, by_hand)
print("the gradient agrees with the formula")
