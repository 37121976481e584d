// SPDX-License-Identifier: Apache-2.0
// sort, topk and scans along one dimension.
#include "ds/backends/cpu/kernels/sort.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

Lanes lanes_of(const Shape& dims, int64_t dim) {
  Lanes lanes{1, 1, 1};
  for (int d = 0; d < dims.rank(); ++d)
    (d < dim ? lanes.outer : d == dim ? lanes.n : lanes.inner) *= dims[d];
  return lanes;
}

}  // namespace

bool lower_sort(Lowering& l, const Node& node, std::string&) {
  const View src = l.row_major(node, l.view(node.input(0)));
  const Lanes lanes = lanes_of(src.dims, node.attr_int("dim"));
  const bool topk = node.op() == Op::topk_;
  // A 0-d tensor is its own first element, whatever k.
  const int64_t k = topk && !src.dims.empty() ? node.attr_int("k") : lanes.n;
  const bool descending = node.attr_bool(topk ? "largest" : "descending");
  const View values = l.temp(src.dtype, node.type(0).shape);
  const View indices = l.temp(DType::i64, node.type(1).shape);
  l.emit(node, str("cpu:", op_name(node.op())), {src}, {values, indices}, [=](const Frame& frame) {
    sort_lanes(src.dtype, frame.at(src), lanes, k, descending, frame.at(values),
               frame.at<int64_t>(indices));
  });
  l.define(node, 0, values);
  l.define(node, 1, indices);
  return true;
}

bool lower_scan(Lowering& l, const Node& node, std::string&) {
  const View src = l.row_major(node, l.view(node.input(0)));
  const Lanes lanes = lanes_of(src.dims, node.attr_int("dim"));
  const View values = l.temp(src.dtype, node.type(0).shape);
  const std::string kernel = str("cpu:", op_name(node.op()));
  l.define(node, 0, values);
  if (node.outputs() == 2) {
    const View indices = l.temp(DType::i64, node.type(1).shape);
    const bool largest = node.op() == Op::cummax_;
    l.emit(node, kernel, {src}, {values, indices}, [=](const Frame& frame) {
      running_extreme(largest, src.dtype, frame.at(src), lanes, frame.at(values),
                      frame.at<int64_t>(indices));
    });
    l.define(node, 1, indices);
    return true;
  }
  const ScanOp op = node.op() == Op::cumsum_    ? ScanOp::sum
                    : node.op() == Op::cumprod_ ? ScanOp::product
                                                : ScanOp::logsumexp;
  l.emit(node, kernel, {src}, {values},
         [=](const Frame& frame) { scan(op, src.dtype, frame.at(src), lanes, frame.at(values)); });
  return true;
}

}  // namespace ds::cpu
