// SPDX-License-Identifier: Apache-2.0
// Softmax, its logarithm and cross entropy, lane by lane.
#include <algorithm>
#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// log(sum(exp(x))); the largest element is taken out first, so nothing overflows.
double logsumexp(const std::vector<double>& x) {
  double largest = -INFINITY;
  for (double v : x) largest = std::max(largest, v);
  if (std::isinf(largest) && largest < 0) {
    for (double v : x)
      if (std::isnan(v)) return v;
    return largest;
  }
  double sum = 0;
  for (double v : x) sum += std::exp(v - largest);
  return largest + std::log(sum);
}

/// f(a, b, out) computes one lane of the output from the lanes of the inputs; b is empty when there
/// is one input.
template <class F>
void for_each_lane(const KernelArgs& args, F f) {
  const Lanes lanes(args.in_shape(0), args.node.attr_int("dim"));
  const bool two = args.inputs.size() == 2;
  const Load<double> load_a = loader<double>(args.in_dtype(0));
  const Load<double> load_b = loader<double>(args.in_dtype(two ? 1 : 0));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(lanes.count(), grain_for(lanes.size * 8), [&](int64_t begin, int64_t end) {
    std::vector<double> a(static_cast<size_t>(lanes.size)), b(two ? a.size() : 0), out(a.size());
    for (int64_t lane = begin; lane < end; ++lane) {
      const int64_t offset = lanes.offset(lane);
      load_a(args.in(0), offset, lanes.inner, lanes.size, a.data());
      if (two) load_b(args.in(1), offset, lanes.inner, lanes.size, b.data());
      f(a, b, out);
      store(args.out(), offset, lanes.inner, lanes.size, out.data());
    }
  });
}

using List = std::vector<double>;

void softmax(const KernelArgs& args) {
  for_each_lane(args, [](const List& x, const List&, List& out) {
    // A lane of -inf only has no distribution: NaN, as in PyTorch.
    const double largest = x.empty() ? 0 : *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += out[i] = std::exp(x[i] - largest);
    for (double& p : out) p /= sum;
  });
}

void softmax_backward(const KernelArgs& args) {
  for_each_lane(args, [](const List& dy, const List& y, List& out) {
    double dot = 0;
    for (size_t i = 0; i < y.size(); ++i) dot += dy[i] * y[i];
    for (size_t i = 0; i < y.size(); ++i) out[i] = y[i] * (dy[i] - dot);
  });
}

void log_softmax(const KernelArgs& args) {
  for_each_lane(args, [](const List& x, const List&, List& out) {
    const double lse = logsumexp(x);
    for (size_t i = 0; i < x.size(); ++i) out[i] = x[i] - lse;
  });
}

void log_softmax_backward(const KernelArgs& args) {
  for_each_lane(args, [](const List& dy, const List& y, List& out) {
    double sum = 0;
    for (double d : dy) sum += d;
    for (size_t i = 0; i < y.size(); ++i) out[i] = dy[i] - std::exp(y[i]) * sum;
  });
}

/// The label of a row, or -1 when the row is ignored.
int64_t label_of(const KernelArgs& args, const int64_t* labels, int64_t row, int64_t classes) {
  const int64_t label = labels[row];
  if (label == args.node.attr_int("ignore_index")) return -1;
  DS_CHECK(label >= 0 && label < classes, IndexError, op_name(args.node.op()), ": label ", label,
           " is out of range for ", classes, " classes");
  return label;
}

void softmax_cross_entropy(const KernelArgs& args) {
  const int64_t rows = args.in_shape(0)[0], classes = args.in_shape(0)[1];
  const double smoothing = args.node.attr_float("label_smoothing");
  const auto* labels = static_cast<const int64_t*>(args.in(1));
  const Load<double> load = loader<double>(args.in_dtype(0));
  const Store<double> store_loss = storer<double>(args.out_dtype(0));
  const Store<double> store_lse = storer<double>(args.out_dtype(1));
  parallel_for(rows, grain_for(classes * 8), [&](int64_t begin, int64_t end) {
    List x(static_cast<size_t>(classes));
    for (int64_t row = begin; row < end; ++row) {
      load(args.in(0), row * classes, 1, classes, x.data());
      const double lse = logsumexp(x);
      const int64_t label = label_of(args, labels, row, classes);
      double loss = 0;
      if (label >= 0) {
        loss = (1 - smoothing) * (lse - x[static_cast<size_t>(label)]);
        if (smoothing > 0) {
          double sum = 0;
          for (double v : x) sum += lse - v;
          loss += smoothing * sum / static_cast<double>(classes);
        }
      }
      store_loss(args.out(0), row, 1, 1, &loss);
      store_lse(args.out(1), row, 1, 1, &lse);
    }
  });
}

void softmax_cross_entropy_backward(const KernelArgs& args) {
  const int64_t rows = args.in_shape(1)[0], classes = args.in_shape(1)[1];
  const double smoothing = args.node.attr_float("label_smoothing");
  const auto* labels = static_cast<const int64_t*>(args.in(2));
  const Load<double> load_diff = loader<double>(args.in_dtype(0));
  const Load<double> load = loader<double>(args.in_dtype(1));
  const Load<double> load_lse = loader<double>(args.in_dtype(3));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(rows, grain_for(classes * 8), [&](int64_t begin, int64_t end) {
    List x(static_cast<size_t>(classes));
    for (int64_t row = begin; row < end; ++row) {
      double diff = 0, lse = 0;
      load_diff(args.in(0), row, 1, 1, &diff);
      load_lse(args.in(3), row, 1, 1, &lse);
      load(args.in(1), row * classes, 1, classes, x.data());
      const int64_t label = label_of(args, labels, row, classes);
      const double spread = smoothing / static_cast<double>(classes);
      for (int64_t i = 0; i < classes; ++i) {
        double& v = x[static_cast<size_t>(i)];
        const double target = spread + (i == label ? 1 - smoothing : 0);
        v = label < 0 ? 0 : diff * (std::exp(v - lse) - target);
      }
      store(args.out(), row * classes, 1, classes, x.data());
    }
  });
}

}  // namespace

Kernel softmax_kernel(Op op) {
  switch (op) {
    case Op::softmax_: return &softmax;
    case Op::softmax_backward_: return &softmax_backward;
    case Op::log_softmax_: return &log_softmax;
    case Op::log_softmax_backward_: return &log_softmax_backward;
    case Op::softmax_cross_entropy_: return &softmax_cross_entropy;
    case Op::softmax_cross_entropy_backward_: return &softmax_cross_entropy_backward;
    default: return nullptr;
  }
}

}  // namespace ds::ref
