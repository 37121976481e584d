// SPDX-License-Identifier: Apache-2.0
// Lesson 1: tensors, views and gradients.
#include <ds/ds.h>

#include <iostream>

int main() {
  // Operations are recorded and computed when a value is asked for: here by printing.
  const ds::Tensor x = ds::tensor({1, 2, 3, 4, 5, 6}, ds::Shape{2, 3}, ds::DType::f32);
  std::cout << "x * 2 + 1 = " << x * 2 + 1 << "\n";

  // A view shares memory with its base.
  const ds::Tensor row = ds::select(x, 0, 1);
  ds::assign(row, row + 10);
  if (x.to_vector<float>() != std::vector<float>{1, 2, 3, 14, 15, 16}) return 1;

  // Gradients: what is recorded can be differentiated.
  ds::Tensor w = ds::tensor({0.5, -1.0, 2.0}, std::nullopt, ds::DType::f32);
  w.requires_grad_();
  const ds::Tensor loss = ds::mean(ds::square(ds::matmul(x, w) - 3));
  loss.backward();
  std::cout << "loss " << loss.item() << ", gradient " << w.grad() << "\n";

  // The same by hand: d/dw mean((xw - 3)^2) = 2/n x^T (xw - 3).
  const ds::GradMode no_grad(false);
  const ds::Tensor by_hand = ds::matmul(ds::t(x), ds::matmul(x, w) - 3);
  if (!ds::allclose(w.grad(), by_hand)) return 1;
  std::cout << "the gradient agrees with the formula\n";
  return 0;
}
