// SPDX-License-Identifier: Apache-2.0
// Borders around the last D dimensions; arguments as torch.nn: one number for every side, or two
// per dimension from the last backwards.
#pragma once

#include "ds/nn/module.h"
#include "ds/tensor/arguments.h"

namespace ds::nn {

enum class PadKind { zero, constant, reflection, replication, circular };

class Padding : public Module {
 public:
  Padding(PadKind kind, int dims, const PerDim& padding, double value);
  std::string type_name() const override;
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  Shape padding;  // 2 * dims numbers
  double value;

 private:
  PadKind kind_;
  int dims_;
};

template <PadKind kind, int D>
class PadLayer : public Padding {
 public:
  explicit PadLayer(const PerDim& padding, double value = 0.0) : Padding(kind, D, padding, value) {}
};
using ZeroPad2d = PadLayer<PadKind::zero, 2>;
using ReflectionPad2d = PadLayer<PadKind::reflection, 2>;
using ReplicationPad2d = PadLayer<PadKind::replication, 2>;

}  // namespace ds::nn
