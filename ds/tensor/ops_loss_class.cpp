// SPDX-License-Identifier: Apache-2.0
// Losses of ops_loss.h between scores of classes and class indices, and CTC.
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/function.h"
#include "ds/tensor/loss_reduction.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_activation.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_loss.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// Scores [C], [N, C] or [N, C, ...] as rows [M, C], and the shape of one number per row.
struct Rows {
  Tensor scores;
  Shape shape;
  int64_t classes;
};

Rows rows_of(const Tensor& input, const char* op) {
  DS_CHECK(input.dim() >= 1, ShapeError, op, ": input ", input.type(),
           " must be [C], [N, C] or [N, C, ...]");
  DS_CHECK(is_floating(input.dtype()), DTypeError, op, ": input ", input.type(),
           " must be floating");
  const int dim = input.dim() == 1 ? 0 : 1;
  Rows r;
  r.shape = input.shape();
  r.classes = r.shape[dim];
  r.shape.erase(dim);
  r.scores = reshaped(moved_last(input, dim), {r.shape.numel(), r.classes});
  return r;
}

Tensor labels_of(const Rows& rows, const Tensor& input, const Tensor& target, const char* op) {
  DS_CHECK(target.shape() == rows.shape, ShapeError, op, ": target ", target.type(),
           " must be class indices of shape ", rows.shape, " for input ", input.type());
  return reshaped(as_index(target, op), {rows.shape.numel()});
}

void check_weight(const std::optional<Tensor>& weight, int64_t classes, const char* op) {
  DS_CHECK(!present(weight) || weight->shape() == Shape{classes}, ShapeError, op, ": weight ",
           present(weight) ? weight->type() : Type{}, " must have ", classes,
           " elements, one per class");
}

/// Loss per row of log-probabilities, and what the mean divides by.
struct RowLoss {
  Tensor loss, divisor;
};

RowLoss negative_log_likelihood(const Tensor& log_p, const Tensor& labels,
                                const std::optional<Tensor>& weight, int64_t ignore_index) {
  const Tensor counted = ne(labels, ignore_index);
  const Tensor safe = where(counted, labels, 0);
  const Tensor picked = reshaped(
      record(Op::gather_, {log_p, reshaped(safe, {labels.numel(), 1})}, {1}), {labels.numel()});
  if (!present(weight)) return {where(counted, -picked, 0), to_dtype(counted, log_p.dtype())};
  const Tensor w =
      where(counted, record(Op::index_select_, {to_dtype(*weight, log_p.dtype()), safe}, {0}), 0);
  return {where(counted, -picked * w, 0), w};
}

Tensor finish(const RowLoss& row, const Shape& shape, const std::string& reduction,
              const char* op) {
  check_reduction(reduction, op);
  if (reduction == "none") return reshaped(row.loss, shape);
  return reduction == "sum" ? sum(row.loss) : sum(row.loss) / sum(row.divisor);
}

/// Targets are probabilities of the classes.
Tensor soft_cross_entropy(const Tensor& input, const Tensor& target,
                          const std::optional<Tensor>& weight, const std::string& reduction,
                          double label_smoothing) {
  const char* op = "cross_entropy";
  check_reduction(reduction, op);
  const Rows rows = rows_of(autocast_f32(input), op);
  Tensor p = rows_of(target, op).scores;
  if (label_smoothing > 0)
    p = p * (1 - label_smoothing) + label_smoothing / static_cast<double>(rows.classes);
  if (present(weight)) p = p * *weight;
  const Tensor loss = -sum(p * log_softmax(rows.scores, 1), 1);
  if (reduction == "none") return reshaped(loss, rows.shape);
  if (reduction == "sum") return sum(loss);
  return sum(loss) / static_cast<double>(rows.shape.numel());
}

void check_margin_rows(const Tensor& input, const char* op) {
  DS_CHECK(input.dim() == 1 || input.dim() == 2, ShapeError, op, ": input ", input.type(),
           " must be [C] or [N, C]");
}

}  // namespace

Tensor cross_entropy(const Tensor& input, const Tensor& target, const std::optional<Tensor>& weight,
                     int64_t ignore_index, const std::string& reduction, double label_smoothing) {
  const char* op = "cross_entropy";
  DS_CHECK(label_smoothing >= 0 && label_smoothing <= 1, ValueError, op, ": label_smoothing ",
           label_smoothing, " must be between 0 and 1");
  if (is_floating(target.dtype()) && target.shape() == input.shape())
    return soft_cross_entropy(input, target, weight, reduction, label_smoothing);
  const Rows rows = rows_of(input, op);
  const Tensor labels = labels_of(rows, input, target, op);
  check_weight(weight, rows.classes, op);
  RowLoss row;
  if (!present(weight)) {
    row.loss = record_all(Op::softmax_cross_entropy_, {rows.scores, labels},
                          {ignore_index, label_smoothing})[0];
    row.divisor = to_dtype(ne(labels, ignore_index), row.loss.dtype());
  } else {
    const Tensor log_p = log_softmax(widened(rows.scores), 1);
    row = negative_log_likelihood(log_p, labels, weight, ignore_index);
    if (label_smoothing > 0) {
      const Tensor all = -sum(log_p * to_dtype(*weight, log_p.dtype()), 1);
      const Tensor spread = where(ne(labels, ignore_index), all, 0);
      row.loss = row.loss * (1 - label_smoothing) +
                 spread * (label_smoothing / static_cast<double>(rows.classes));
    }
  }
  const Tensor loss = finish(row, rows.shape, reduction, op);
  return autocast() ? loss : to_dtype(loss, input.dtype());
}

Tensor nll_loss(const Tensor& input, const Tensor& target, const std::optional<Tensor>& weight,
                int64_t ignore_index, const std::string& reduction) {
  const Rows rows = rows_of(autocast_f32(input), "nll_loss");
  check_weight(weight, rows.classes, "nll_loss");
  const Tensor labels = labels_of(rows, input, target, "nll_loss");
  return finish(negative_log_likelihood(rows.scores, labels, weight, ignore_index), rows.shape,
                reduction, "nll_loss");
}

Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p, double margin,
                         const std::optional<Tensor>& weight, const std::string& reduction) {
  const char* op = "multi_margin_loss";
  DS_CHECK(p == 1 || p == 2, ValueError, op, ": p is ", p, "; use 1 or 2");
  check_margin_rows(input, op);
  const Rows rows = rows_of(input, op);
  check_weight(weight, rows.classes, op);
  const Tensor labels = reshaped(labels_of(rows, input, target, op), {rows.shape.numel(), 1});
  const Tensor own = record(Op::gather_, {rows.scores, labels}, {1});
  Tensor over = clamp_min(rows.scores - own + margin, 0.0);
  if (p == 2) over = square(over);
  if (present(weight)) over = over * record(Op::index_select_, {*weight, labels}, {0});
  const Tensor classes = iota(rows.classes, DType::i64, input.device());
  const Tensor loss =
      sum(where(eq(classes, labels), 0, over), 1) / static_cast<double>(rows.classes);
  return reduced(reshaped(loss, rows.shape), reduction, op);
}

Tensor multilabel_margin_loss(const Tensor& input, const Tensor& target,
                              const std::string& reduction) {
  const char* op = "multilabel_margin_loss";
  check_margin_rows(input, op);
  DS_CHECK(target.shape() == input.shape(), ShapeError, op, ": target ", target.type(),
           " must have the shape of input ", input.type());
  const Rows rows = rows_of(input, op);
  const int64_t m = rows.shape.numel(), c = rows.classes;
  const Tensor labels = reshaped(as_index(target, op), {m, c});
  const Tensor valid = eq(cumsum(to_dtype(lt(labels, 0), DType::i64), 1), 0);
  const Tensor safe = where(valid, labels, 0);
  const Tensor none = constant({m, c}, 0, DType::i64, input.device());
  const Tensor is_target = ne(
      record(Op::scatter_, {none, safe, to_dtype(valid, DType::i64)}, {1, std::string("add")}), 0);
  const Tensor own = unsqueeze(record(Op::gather_, {rows.scores, safe}, {1}), 2);  // [M, J, 1]
  const Tensor over = clamp_min(1.0 - (own - unsqueeze(rows.scores, 1)), 0.0);     // [M, J, C]
  const Tensor counted = logical_and(unsqueeze(valid, 2), logical_not(unsqueeze(is_target, 1)));
  const Tensor loss = sum(where(counted, over, 0), Dims{1, 2}) / static_cast<double>(c);
  return reduced(reshaped(loss, rows.shape), reduction, op);
}

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, int64_t blank, const std::string& reduction,
                bool zero_infinity) {
  const char* op = "ctc_loss";
  check_reduction(reduction, op);
  DS_CHECK(log_probs.dim() == 3, ShapeError, op, ": log_probs ", log_probs.type(),
           " must be [T, N, C]");
  const int64_t steps = log_probs.shape()[0], n = log_probs.shape()[1], c = log_probs.shape()[2];
  DS_CHECK(blank >= 0 && blank < c, IndexError, op, ": blank ", blank, " is out of range for ", c,
           " classes");
  DS_CHECK(input_lengths.numel() == n && target_lengths.numel() == n, ShapeError, op,
           ": input_lengths ", input_lengths.type(), " and target_lengths ", target_lengths.type(),
           " must have ", n, " elements");
  DS_CHECK(steps > 0, ShapeError, op, ": log_probs ", log_probs.type(), " has no time steps");
  const Device device = log_probs.device();
  const Tensor lengths = reshaped(as_index(target_lengths, op), {n});
  const Tensor times = reshaped(as_index(input_lengths, op), {n});
  Tensor labels = as_index(targets, op);  // [N, S]
  if (labels.dim() == 1) {
    const std::vector<int64_t> sizes = lengths.to_vector<int64_t>();
    int64_t longest = 0, total = 0;
    for (int64_t size : sizes) {
      longest = std::max(longest, size);
      total += size;
    }
    DS_CHECK(total == labels.numel(), ShapeError, op, ": targets ", targets.type(),
             " have another length than the sum of target_lengths, ", total);
    std::vector<int64_t> place;
    for (int64_t row = 0, start = 0; row < n; start += sizes[static_cast<size_t>(row++)])
      for (int64_t s = 0; s < longest; ++s)
        place.push_back(s < sizes[static_cast<size_t>(row)] ? start + s : total);
    const Tensor padded =
        joined({labels, constant({1}, static_cast<double>(blank), DType::i64, device)}, 0);
    labels = reshaped(record(Op::index_select_, {padded, index_tensor(place, device)}, {0}),
                      {n, longest});
  }
  // Graves et al. (2006): forward variables over blank, l1, blank, l2, ..., blank. A large negative
  // number stands for log 0, because inf - inf has no gradient.
  constexpr double kNever = -1e30;
  const int64_t s = labels.shape()[1], states = 2 * s + 1;
  const Tensor blanks = constant({n, s, 1}, static_cast<double>(blank), DType::i64, device);
  const Tensor last = constant({n, 1}, static_cast<double>(blank), DType::i64, device);
  const Tensor extended =
      joined({reshaped(joined({blanks, reshaped(labels, {n, s, 1})}, 2), {n, 2 * s}), last}, 1);
  const DType dtype = is_half(log_probs.dtype()) ? DType::f32 : log_probs.dtype();
  const Tensor log_p = to_dtype(log_probs, dtype);
  const auto shifted = [&](const Tensor& x, int64_t by, double fill) {
    const int64_t kept = std::max<int64_t>(states - by, 0);
    const Tensor border = constant({n, states - kept}, fill, x.dtype(), device);
    return kept == 0 ? border : joined({border, sliced(x, 1, 0, kept)}, 1);
  };
  // A label may follow the one before it without a blank when the two differ.
  const Tensor skip = logical_and(ne(extended, blank), ne(extended, shifted(extended, 2, -1.0)));
  const Tensor emits = record(Op::gather_, {log_p, expand(extended, {steps, n, states})}, {2});
  const Tensor going = lt(reshaped(iota(steps, DType::i64, device), {steps, 1}), times);
  const auto at_time = [](const Tensor& x, int64_t t, const Shape& shape) {
    return reshaped(sliced(x, 0, t, 1), shape);
  };
  // One node for each step: there are hundreds.
  const auto step = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const Tensor &alpha = in[0], &emit = in[1], &goes = in[2], &skips = in[3];
    const Tensor one = shifted(alpha, 1, kNever);
    const Tensor two = where(skips, shifted(alpha, 2, kNever), kNever);
    const Tensor next = logaddexp(logaddexp(alpha, one), two) + emit;
    return {where(goes, maximum(next, Operand(kNever)), alpha)};
  };
  Tensor alpha =
      where(lt(iota(states, DType::i64, device), 2), at_time(emits, 0, {n, states}), kNever);
  for (int64_t t = 1; t < steps; ++t)
    alpha = call_function("ctc step", {},
                          {alpha, at_time(emits, t, {n, states}), at_time(going, t, {n, 1}), skip},
                          step)[0];
  const Tensor end = unsqueeze(lengths * 2, 1);
  const Tensor at_blank = record(Op::gather_, {alpha, end}, {1});
  const Tensor before = record(Op::gather_, {alpha, maximum(end - 1, Operand(0))}, {1});
  const Tensor at_label = where(gt(end, 0), before, kNever);
  const Tensor log_likelihood = reshaped(logaddexp(at_blank, at_label), {n});
  const Tensor impossible = lt(log_likelihood, kNever / 2);
  const double replaced = zero_infinity ? 0 : std::numeric_limits<double>::infinity();
  const Tensor loss = to_dtype(where(impossible, replaced, -log_likelihood), log_probs.dtype());
  if (reduction != "mean") return reduction == "sum" ? sum(loss) : loss;
  return mean(loss / to_dtype(maximum(lengths, Operand(1)), loss.dtype()));
}

}  // namespace ds
