// SPDX-License-Identifier: Apache-2.0
// Scaled dot product attention: softmax(scale q k^T + mask) v and its gradient, in blocks of query
// rows. A row whose keys are all masked gives 0 and logsumexp -inf.
#include "ds/ir/attention.h"

#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/gemm.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"
#include "ds/base/philox.h"

namespace ds::ref {
namespace {

constexpr int64_t kQueryRows = 64;

using List = std::vector<double>;

struct Attention {
  int64_t batch, heads, kv_heads, queries, keys, dim, v_dim;
  bool causal;
  double scale, dropout;
  const int64_t* rng = nullptr;  // of dropout
  int64_t call;
  // The mask, null when there is none, and its strides along batch, head, query and key.
  const void* mask = nullptr;
  DType mask_dtype = DType::bool_;
  Shape mask_strides;

  /// `q` is the place of q among the inputs, k and v follow; the first `fixed` inputs are always
  /// there.
  Attention(const KernelArgs& args, int q, int fixed) {
    const Shape &qs = args.in_shape(q), &ks = args.in_shape(q + 1), &vs = args.in_shape(q + 2);
    batch = qs[0], heads = qs[1], queries = qs[2], dim = qs[3];
    kv_heads = ks[1], keys = ks[2], v_dim = vs[3];
    causal = args.node.attr_bool("causal");
    scale = args.node.attr_float("scale");
    dropout = args.node.attr_float("dropout");
    call = args.node.attr_int("call");
    const AttentionExtras extras(static_cast<int>(args.inputs.size()), fixed, dropout);
    if (extras.rng >= 0) rng = static_cast<const int64_t*>(args.in(extras.rng));
    const int mask_at = extras.mask;
    if (mask_at < 0) return;
    mask = args.in(mask_at);
    mask_dtype = args.in_dtype(mask_at);
    mask_strides = broadcast_strides(args.in_shape(mask_at), {batch, heads, queries, keys});
  }

  int64_t group() const { return heads / kv_heads; }
  /// Number of a head's keys and values among all.
  int64_t kv_of(int64_t b, int64_t h) const { return b * kv_heads + h / group(); }
};

Matrix rows_of(const KernelArgs& args, int input, int64_t row, int64_t width) {
  return {args.in(input), args.in_dtype(input), row * width, width, 1};
}
Matrix transposed(Matrix m) {
  std::swap(m.row, m.col);
  return m;
}
Matrix dense(const List& x, int64_t width) { return {x.data(), DType::f64, 0, width, 1}; }

/// Masked scores of the query rows [first, first + rows) of head (b, h): [rows, keys].
List scores(const KernelArgs& args, const Attention& a, int q, int64_t b, int64_t h, int64_t first,
            int64_t rows) {
  List s(static_cast<size_t>(rows * a.keys));
  gemm<double>(rows, a.keys, a.dim, rows_of(args, q, (b * a.heads + h) * a.queries + first, a.dim),
               transposed(rows_of(args, q + 1, a.kv_of(b, h) * a.keys, a.dim)), s.data());
  const Load<double> load = loader<double>(a.mask_dtype);
  List mask(static_cast<size_t>(a.mask ? a.keys : 0));
  for (int64_t i = 0; i < rows; ++i) {
    double* row = s.data() + i * a.keys;
    for (int64_t j = 0; j < a.keys; ++j) row[j] *= a.scale;
    if (a.mask) {
      const Shape& m = a.mask_strides;
      load(a.mask, b * m[0] + h * m[1] + (first + i) * m[2], m[3], a.keys, mask.data());
      for (int64_t j = 0; j < a.keys; ++j) {
        const double value = mask[static_cast<size_t>(j)];
        if (a.mask_dtype != DType::bool_)
          row[j] += value;
        else if (value == 0)
          row[j] = -INFINITY;
      }
    }
    if (a.causal)
      for (int64_t j = first + i + 1; j < a.keys; ++j) row[j] = -INFINITY;
  }
  return s;
}

/// Turns scores into probabilities; returns their logsumexp.
double normalize(double* row, int64_t n) {
  double largest = -INFINITY, sum = 0;
  for (int64_t j = 0; j < n; ++j)
    largest = row[j] > largest || std::isnan(row[j]) ? row[j] : largest;
  if (largest == -INFINITY) {
    std::fill(row, row + n, 0.0);
    return -INFINITY;
  }
  for (int64_t j = 0; j < n; ++j) sum += row[j] = std::exp(row[j] - largest);
  for (int64_t j = 0; j < n; ++j) row[j] /= sum;
  return largest + std::log(sum);
}

/// What the weights of query rows [row, row + rows) of all heads are multiplied by: 0 where they
/// are dropped. Empty without dropout.
List kept_weights(const Attention& a, int64_t row, int64_t rows) {
  if (!a.rng) return {};
  List kept(static_cast<size_t>(rows * a.keys));
  const PhiloxStream stream(a.rng, a.call);
  const uint32_t threshold = philox_dropout_threshold(a.dropout);
  for (size_t i = 0; i < kept.size(); ++i) {
    const int64_t at = row * a.keys + static_cast<int64_t>(i);
    const uint32_t word =
        stream.block(static_cast<uint64_t>(at / kPhiloxPerBlock32))[at % kPhiloxPerBlock32];
    kept[i] = word >> 8 >= threshold ? 1 / (1 - a.dropout) : 0;
  }
  return kept;
}

/// What is dropped is 0 whatever it was, NaN included.
double times_kept(double x, double keep) { return keep == 0 ? 0 : x * keep; }

/// Work of one block of query rows in simple operations.
int64_t block_work(const Attention& a) {
  return std::min(kQueryRows, a.queries) * a.keys * (a.dim + a.v_dim + 16) / 4;
}

void attention(const KernelArgs& args) {
  const Attention a(args, 0, 3);
  const int64_t blocks = (a.queries + kQueryRows - 1) / kQueryRows;
  const Store<double> store = storer<double>(args.out_dtype(0));
  const Store<double> store_lse = storer<double>(args.out_dtype(1));
  const int64_t count = a.batch * a.heads * blocks;
  parallel_for(count, grain_for(block_work(a)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / blocks, b = head / a.heads, h = head % a.heads;
      const int64_t first = i % blocks * kQueryRows;
      const int64_t rows = std::min(kQueryRows, a.queries - first);
      List p = scores(args, a, 0, b, h, first, rows), out(static_cast<size_t>(rows * a.v_dim));
      List lse(static_cast<size_t>(rows));
      for (int64_t r = 0; r < rows; ++r)
        lse[static_cast<size_t>(r)] = normalize(p.data() + r * a.keys, a.keys);
      const int64_t row = head * a.queries + first;
      const List kept = kept_weights(a, row, rows);
      for (size_t at = 0; at < kept.size(); ++at) p[at] = times_kept(p[at], kept[at]);
      gemm<double>(rows, a.v_dim, a.keys, dense(p, a.keys),
                   rows_of(args, 2, a.kv_of(b, h) * a.keys, a.v_dim), out.data());
      store(args.out(0), row * a.v_dim, 1, rows * a.v_dim, out.data());
      store_lse(args.out(1), row, 1, rows, lse.data());
    }
  });
}

/// Inputs of attention_backward by place.
enum BackwardInput { kDiffOut, kQ, kK, kV, kOut, kLogsumexp, kFixed };

/// Rows of an input as doubles.
List read_rows(const KernelArgs& args, int input, int64_t row, int64_t rows, int64_t width) {
  List x(static_cast<size_t>(rows * width));
  loader<double>(args.in_dtype(input))(args.in(input), row * width, 1, rows * width, x.data());
  return x;
}

/// One block of query rows: writes diff_q, adds to the head's diff_k and diff_v.
void backward_block(const KernelArgs& args, const Attention& a, int64_t b, int64_t h, int64_t first,
                    List& diff_k, List& diff_v) {
  const int64_t rows = std::min(kQueryRows, a.queries - first);
  const int64_t row = (b * a.heads + h) * a.queries + first;
  const int64_t kv_row = a.kv_of(b, h) * a.keys;
  const List diff_out = read_rows(args, kDiffOut, row, rows, a.v_dim);
  const List out = read_rows(args, kOut, row, rows, a.v_dim);
  const List lse = read_rows(args, kLogsumexp, row, rows, 1);
  List p = scores(args, a, kQ, b, h, first, rows);
  List diff_s(p.size()), diff_q(static_cast<size_t>(rows * a.dim));
  gemm<double>(rows, a.keys, a.v_dim, dense(diff_out, a.v_dim),
               transposed(rows_of(args, kV, kv_row, a.v_dim)), diff_s.data());
  const List kept = kept_weights(a, row, rows);
  for (int64_t r = 0; r < rows; ++r) {
    const double row_lse = lse[static_cast<size_t>(r)];
    double dot = 0;  // sum of p * diff_p
    for (int64_t j = 0; j < a.v_dim; ++j) {
      const auto at = static_cast<size_t>(r * a.v_dim + j);
      dot += diff_out[at] * out[at];
    }
    for (int64_t j = 0; j < a.keys; ++j) {
      const auto at = static_cast<size_t>(r * a.keys + j);
      p[at] = row_lse == -INFINITY ? 0 : std::exp(p[at] - row_lse);
      const double keep = kept.empty() ? 1 : kept[at];
      diff_s[at] = p[at] * (times_kept(diff_s[at], keep) - dot) * a.scale;
      p[at] = times_kept(p[at], keep);
    }
  }
  gemm<double>(a.keys, a.v_dim, rows, transposed(dense(p, a.keys)), dense(diff_out, a.v_dim),
               diff_v.data());
  gemm<double>(a.keys, a.dim, rows, transposed(dense(diff_s, a.keys)),
               rows_of(args, kQ, row, a.dim), diff_k.data());
  gemm<double>(rows, a.dim, a.keys, dense(diff_s, a.keys), rows_of(args, kK, kv_row, a.dim),
               diff_q.data());
  storer<double>(args.out_dtype(0))(args.out(0), row * a.dim, 1, rows * a.dim, diff_q.data());
}

void attention_backward(const KernelArgs& args) {
  const Attention a(args, kQ, kFixed);
  const int64_t count = a.batch * a.kv_heads;
  const int64_t work = block_work(a) * 2 * a.group() * (1 + a.queries / kQueryRows);
  parallel_for(count, grain_for(work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      List diff_k(static_cast<size_t>(a.keys * a.dim)),
          diff_v(static_cast<size_t>(a.keys * a.v_dim));
      const int64_t first_head = i % a.kv_heads * a.group();
      for (int64_t h = first_head; h < first_head + a.group(); ++h)
        for (int64_t first = 0; first < a.queries; first += kQueryRows)
          backward_block(args, a, i / a.kv_heads, h, first, diff_k, diff_v);
      storer<double>(args.out_dtype(1))(args.out(1), i * a.keys * a.dim, 1, a.keys * a.dim,
                                        diff_k.data());
      storer<double>(args.out_dtype(2))(args.out(2), i * a.keys * a.v_dim, 1, a.keys * a.v_dim,
                                        diff_v.data());
    }
  });
}

}  // namespace

Kernel attention_kernel(Op op) {
  switch (op) {
    case Op::attention_: return &attention;
    case Op::attention_backward_: return &attention_backward;
    default: return nullptr;
  }
}

}  // namespace ds::ref
