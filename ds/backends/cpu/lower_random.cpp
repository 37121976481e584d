// SPDX-License-Identifier: Apache-2.0
// Random numbers. Dropout is elementwise: lower_elementwise.cpp.
#include "ds/backends/cpu/kernels/random.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {

bool lower_random(Lowering& l, const Node& node, std::string&) {
  const View state = l.row_major(node, l.view(node.input(0)));
  const View out = l.temp(node.type().dtype, node.type().shape);
  const int64_t call = node.attr_int("call");
  const Op op = node.op();
  l.emit(node, str("cpu:", op_name(op)), {state}, {out}, [=](const Frame& frame) {
    const PhiloxStream stream(frame.at<int64_t>(state), call);
    if (op == Op::random_bits_)
      random_bits(stream, frame.at<int64_t>(out), out.numel());
    else if (op == Op::random_normal_)
      random_normal(stream, out.dtype, frame.at(out), out.numel());
    else
      random_uniform(stream, out.dtype, frame.at(out), out.numel());
  });
  l.define(node, 0, out);
  return true;
}

}  // namespace ds::cpu
