// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over a sequence, one row at a time: LSTM (Hochreiter and Schmidhuber 1997, with
// the forget gate of Gers et al. 2000), GRU (Cho et al. 2014, the reset gate on the projected
// state) and Elman networks.
#include "ds/ir/recurrent.h"

#include <algorithm>
#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"

namespace ds::ref {
namespace {

using List = std::vector<double>;

List read(const KernelArgs& args, int i) {
  if (i < 0) return {};
  return load_all<double>(args.in(i), args.in_dtype(i), args.in_shape(i).numel());
}
void write(const KernelArgs& args, int i, const List& x) {
  store_all(x, args.out_dtype(i), args.out(i));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Sizes, and the steps in the order they are taken in.
struct Sequence : RecurrentForm {
  List rows_of, starts;  // of each step
  Sequence(const KernelArgs& args) : RecurrentForm(recurrent_form(args.node)) {
    rows_of.assign(static_cast<size_t>(steps), static_cast<double>(batch));
    if (packed) rows_of = read(args, sizes);
    double sum = 0;
    for (size_t t = 0; t < rows_of.size(); ++t) {
      DS_CHECK(rows_of[t] >= 0 && rows_of[t] <= (t > 0 ? rows_of[t - 1] : double(batch)),
               ValueError, op_name(args.node.op()), ": step ", t, " has ", rows_of[t],
               " rows; sizes start with at most ", batch, " and never rise");
      starts.push_back(sum);
      sum += rows_of[t];
    }
    DS_CHECK(!packed || sum == double(args.in_shape(0)[0]), ValueError, op_name(args.node.op()),
             ": sizes add up to ", sum, " rows, but there are ", args.in_shape(0)[0]);
  }
  int64_t time(int64_t i) const { return reverse ? steps - 1 - i : i; }
  int64_t rows(int64_t t) const { return static_cast<int64_t>(rows_of[static_cast<size_t>(t)]); }
  /// Where row n at a time begins, among rows of some width.
  size_t at(int64_t t, int64_t n, int64_t width) const {
    return static_cast<size_t>((static_cast<int64_t>(starts[static_cast<size_t>(t)]) + n) * width);
  }
};

/// sum over k of x[k] matrix[row][k], or with `across` of x[k] matrix[k][row].
double dot(const double* x, const List& matrix, int64_t row, int64_t size, int64_t width,
           bool across = false) {
  double sum = 0;
  for (int64_t k = 0; k < size; ++k)
    sum += x[k] * matrix[static_cast<size_t>(across ? k * width + row : row * width + k)];
  return sum;
}

void recurrent(const KernelArgs& args) {
  const Sequence s(args);
  const int64_t gates = gate_count(s.kind), H = s.hidden, P = s.out;
  List z = read(args, 0), h = read(args, 1), c = read(args, s.c0);
  const List weight = read(args, 2), bias = read(args, s.bias), proj = read(args, s.projection);
  List ys(static_cast<size_t>(args.out_shape(0).numel()));
  List cs(static_cast<size_t>(args.out_shape(1).numel()));
  List m(static_cast<size_t>(H)), sums(static_cast<size_t>(gates * H));
  for (int64_t i = 0; i < s.steps; ++i) {
    const int64_t t = s.time(i);
    for (int64_t n = 0; n < s.rows(t); ++n) {
      double* x = z.data() + s.at(t, n, gates * H);
      double* state = h.data() + n * P;
      for (int64_t j = 0; j < gates * H; ++j)
        sums[static_cast<size_t>(j)] = dot(state, weight, j, P, P);
      for (int64_t k = 0; k < H; ++k) {
        const auto from_state = [&](int64_t gate) {
          return sums[static_cast<size_t>(gate * H + k)];
        };
        double& out = m[static_cast<size_t>(k)];
        if (s.kind == CellKind::lstm) {
          double& cell = c[static_cast<size_t>(n * H + k)];
          for (int64_t gate = 0; gate < 4; ++gate) {
            double& a = x[gate * H + k];
            a = gate == 2 ? std::tanh(a + from_state(gate)) : sigmoid(a + from_state(gate));
          }
          cell = x[H + k] * cell + x[k] * x[2 * H + k];
          cs[s.at(t, n, H) + static_cast<size_t>(k)] = cell;
          out = x[3 * H + k] * std::tanh(cell);
        } else if (s.kind == CellKind::gru) {
          const double part = from_state(2) + bias[static_cast<size_t>(k)];
          x[k] = sigmoid(x[k] + from_state(0));
          x[H + k] = sigmoid(x[H + k] + from_state(1));
          x[2 * H + k] = std::tanh(x[2 * H + k] + x[k] * part);
          cs[s.at(t, n, H) + static_cast<size_t>(k)] = part;
          out = x[2 * H + k] + x[H + k] * (state[k] - x[2 * H + k]);
        } else {
          const double sum = x[k] + from_state(0);
          out = s.kind == CellKind::rnn_tanh ? std::tanh(sum)
                : sum > 0 || std::isnan(sum) ? sum
                                             : 0;
        }
      }
      for (int64_t k = 0; k < P; ++k) {
        state[k] = s.projected ? dot(m.data(), proj, k, H, H) : m[static_cast<size_t>(k)];
        ys[s.at(t, n, P) + static_cast<size_t>(k)] = state[k];
      }
    }
  }
  write(args, 0, ys);
  write(args, 1, cs);
  if (args.out_shape(2).numel() > 0) write(args, 2, z);
}

void recurrent_backward(const KernelArgs& args) {
  const Sequence s(args);
  const int64_t gates = gate_count(s.kind), H = s.hidden, P = s.out;
  const List diff_h = read(args, 0), h = read(args, 1), h0 = read(args, 2), z = read(args, 3),
             cs = read(args, 4), weight = read(args, s.weight), c0 = read(args, s.c0),
             proj = read(args, s.projection), diff_c = read(args, s.diff_c);
  const auto made = [&](int i) { return List(static_cast<size_t>(args.out_shape(i).numel())); };
  List dz = made(0), dh = made(1), dc = made(2), befores = made(3), states = made(4);
  List grad(static_cast<size_t>(std::max(H, P))), d(static_cast<size_t>(gates * H));
  for (int64_t i = s.steps - 1; i >= 0; --i) {
    const int64_t t = s.time(i);
    for (int64_t n = 0; n < s.rows(t); ++n) {
      const bool first = i == 0 || n >= s.rows(s.time(i - 1));
      const double* before =
          first ? &h0[static_cast<size_t>(n * P)] : &h[s.at(s.time(i - 1), n, P)];
      std::copy_n(before, P, befores.begin() + static_cast<std::ptrdiff_t>(s.at(t, n, P)));
      double* dstate = dh.data() + n * P;
      for (int64_t k = 0; k < P; ++k)
        grad[static_cast<size_t>(k)] = dstate[k] + diff_h[s.at(t, n, P) + static_cast<size_t>(k)];
      if (s.projected) {
        std::copy_n(grad.begin(), P, states.begin() + static_cast<std::ptrdiff_t>(s.at(t, n, P)));
        List wide(static_cast<size_t>(H));
        for (int64_t k = 0; k < H; ++k)
          wide[static_cast<size_t>(k)] = dot(grad.data(), proj, k, P, H, true);
        grad.swap(wide);
      }
      const double* a = z.data() + s.at(t, n, gates * H);
      double* out = dz.data() + s.at(t, n, gates * H);
      List direct(static_cast<size_t>(P));  // not through the weight
      for (int64_t k = 0; k < H; ++k) {
        const double g = grad[static_cast<size_t>(k)];
        const size_t at = s.at(t, n, H) + static_cast<size_t>(k);
        if (s.kind == CellKind::lstm) {
          const double in = a[k], keep = a[H + k], cand = a[2 * H + k], open = a[3 * H + k];
          const auto state = static_cast<size_t>(n * H + k);
          const double c_before =
              first ? c0[state] : cs[s.at(s.time(i - 1), n, H) + static_cast<size_t>(k)];
          const double tanh_c = std::tanh(cs[at]);
          const double cell =
              dc[state] + (diff_c.empty() ? 0 : diff_c[at]) + g * open * (1 - tanh_c * tanh_c);
          out[k] = cell * cand * in * (1 - in);
          out[H + k] = cell * c_before * keep * (1 - keep);
          out[2 * H + k] = cell * in * (1 - cand * cand);
          out[3 * H + k] = g * tanh_c * open * (1 - open);
          dc[state] = cell * keep;
        } else if (s.kind == CellKind::gru) {
          const double r = a[k], u = a[H + k], cand = a[2 * H + k];
          const double dn = g * (1 - u) * (1 - cand * cand);
          out[k] = dn * cs[at] * r * (1 - r);
          out[H + k] = g * (before[k] - cand) * u * (1 - u);
          out[2 * H + k] = dn;
          states[at] = dn * r;
          direct[static_cast<size_t>(k)] = g * u;
        } else {
          const double y = h[at];
          out[k] = s.kind == CellKind::rnn_tanh ? g * (1 - y * y) : y > 0 ? g : 0;
        }
      }
      std::copy_n(out, gates * H, d.begin());
      if (s.kind == CellKind::gru)
        std::copy_n(states.begin() + static_cast<std::ptrdiff_t>(s.at(t, n, H)), H,
                    d.begin() + static_cast<std::ptrdiff_t>(2 * H));
      for (int64_t k = 0; k < P; ++k)
        dstate[k] = direct[static_cast<size_t>(k)] + dot(d.data(), weight, k, gates * H, P, true);
    }
  }
  write(args, 0, dz);
  write(args, 1, dh);
  write(args, 2, dc);
  write(args, 3, befores);
  write(args, 4, states);
}

}  // namespace

Kernel recurrent_kernel(Op op) { return op == Op::recurrent_ ? &recurrent : &recurrent_backward; }

}  // namespace ds::ref
