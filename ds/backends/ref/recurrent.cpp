// SPDX-License-Identifier: Apache-2.0
// LSTM over a sequence (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
// c = f c' + i g, h = o tanh(c), from gates z = x + h' W^T of which i, f and o go through the
// sigmoid and g through tanh.
#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"

namespace ds::ref {
namespace {

using List = std::vector<double>;

List read(const KernelArgs& args, int i) {
  return load_all<double>(args.in(i), args.in_dtype(i), args.in_shape(i).numel());
}
void write(const KernelArgs& args, int i, const List& x) {
  store_all(x, args.out_dtype(i), args.out(i));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Sizes, and the steps in the order they are taken in.
struct Sequence {
  int64_t steps, batch, hidden;
  bool reverse;
  Sequence(const KernelArgs& args, const Shape& states)
      : steps(states[0]),
        batch(states[1]),
        hidden(states[2]),
        reverse(args.node.attr_bool("reverse")) {}
  int64_t time(int64_t i) const { return reverse ? steps - 1 - i : i; }
  /// Element k of row n at a time, in [T, N, width * hidden].
  size_t at(int64_t t, int64_t n, int64_t k, int64_t width = 1) const {
    return static_cast<size_t>((t * batch + n) * width * hidden + k);
  }
};

void lstm(const KernelArgs& args) {
  const Sequence s(args, args.out_shape(0));
  List gates = read(args, 0), h = read(args, 1), c = read(args, 2);
  const List weight = read(args, 3);
  List ys(static_cast<size_t>(args.out_shape(0).numel())), cs(ys.size());
  for (int64_t i = 0; i < s.steps; ++i) {
    const int64_t t = s.time(i);
    for (int64_t n = 0; n < s.batch; ++n) {
      double* z = gates.data() + s.at(t, n, 0, 4);
      for (int64_t j = 0; j < 4 * s.hidden; ++j) {
        for (int64_t k = 0; k < s.hidden; ++k)
          z[j] += h[static_cast<size_t>(n * s.hidden + k)] *
                  weight[static_cast<size_t>(j * s.hidden + k)];
        z[j] = j / s.hidden == 2 ? std::tanh(z[j]) : sigmoid(z[j]);
      }
      for (int64_t k = 0; k < s.hidden; ++k) {
        double& cell = c[static_cast<size_t>(n * s.hidden + k)];
        cell = z[s.hidden + k] * cell + z[k] * z[2 * s.hidden + k];
        cs[s.at(t, n, k)] = cell;
        ys[s.at(t, n, k)] = z[3 * s.hidden + k] * std::tanh(cell);
      }
    }
    const auto first = ys.begin() + static_cast<std::ptrdiff_t>(s.at(t, 0, 0));
    h.assign(first, first + static_cast<std::ptrdiff_t>(h.size()));
  }
  write(args, 0, ys);
  write(args, 1, cs);
  write(args, 2, gates);
}

void lstm_backward(const KernelArgs& args) {
  const Sequence s(args, args.in_shape(0));
  const List diff_h = read(args, 0), gates = read(args, 1), cs = read(args, 2), c0 = read(args, 3),
             weight = read(args, 4);
  const List diff_c = args.inputs.size() > 5 ? read(args, 5) : List(diff_h.size());
  List dz(gates.size()), dh(c0.size()), dc(c0.size());
  for (int64_t i = s.steps - 1; i >= 0; --i) {
    const int64_t t = s.time(i);
    for (int64_t n = 0; n < s.batch; ++n) {
      const double* z = gates.data() + s.at(t, n, 0, 4);
      double* d = dz.data() + s.at(t, n, 0, 4);
      for (int64_t k = 0; k < s.hidden; ++k) {
        const auto state = static_cast<size_t>(n * s.hidden + k);
        const double in = z[k], keep = z[s.hidden + k], g = z[2 * s.hidden + k],
                     out = z[3 * s.hidden + k];
        const double before = i > 0 ? cs[s.at(s.time(i - 1), n, k)] : c0[state];
        const double tanh_c = std::tanh(cs[s.at(t, n, k)]);
        const double grad = dh[state] + diff_h[s.at(t, n, k)];
        const double cell = dc[state] + diff_c[s.at(t, n, k)] + grad * out * (1 - tanh_c * tanh_c);
        d[k] = cell * g * in * (1 - in);
        d[s.hidden + k] = cell * before * keep * (1 - keep);
        d[2 * s.hidden + k] = cell * in * (1 - g * g);
        d[3 * s.hidden + k] = grad * tanh_c * out * (1 - out);
        dc[state] = cell * keep;
      }
      for (int64_t k = 0; k < s.hidden; ++k) {
        double sum = 0;
        for (int64_t j = 0; j < 4 * s.hidden; ++j)
          sum += d[j] * weight[static_cast<size_t>(j * s.hidden + k)];
        dh[static_cast<size_t>(n * s.hidden + k)] = sum;
      }
    }
  }
  write(args, 0, dz);
  write(args, 1, dh);
  write(args, 2, dc);
}

}  // namespace

Kernel recurrent_kernel(Op op) { return op == Op::lstm_ ? &lstm : &lstm_backward; }

}  // namespace ds::ref
