// SPDX-License-Identifier: Apache-2.0
// einsum: operands are brought to sums over one letter each, then multiplied from left to right as
// batched matrix products.
#include <algorithm>
#include <map>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

// A label is a letter's code; dimensions of an ellipsis are numbered from the right below 0.
using Labels = std::vector<int>;

struct Term {
  Tensor x;
  Labels labels;
};

struct Equation {
  std::vector<Labels> inputs;
  Labels output;
};

bool contains(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

/// Labels of one subscript; `ellipsis` is the number of dimensions that "..." stands for.
Labels parse_subscript(const std::string& text, int ellipsis, const std::string& equation) {
  Labels labels;
  bool seen = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(text[i]))) {
      labels.push_back(text[i]);
      continue;
    }
    DS_CHECK(!seen && text.compare(i, 3, "...") == 0, ValueError, "einsum: equation '", equation,
             "' has an unexpected '", text[i], "'; use letters, ',', '->' and one '...' a term");
    seen = true;
    for (int k = ellipsis; k > 0; --k) labels.push_back(-k);
    i += 2;
  }
  return labels;
}

int letters(const std::string& text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return std::isalpha(c); }));
}

Equation parse(const std::string& equation, const std::vector<Tensor>& operands) {
  std::string text;
  for (char c : equation)
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  std::vector<std::string> terms{""};
  for (char c : left) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  DS_CHECK(terms.size() == operands.size(), ValueError, "einsum: equation '", equation, "' has ",
           terms.size(), " terms for ", operands.size(), " operands");
  Equation e;
  int widest = 0;
  std::map<int, int> count;
  for (size_t i = 0; i < terms.size(); ++i) {
    const bool open = terms[i].find("...") != std::string::npos;
    const int extra = operands[i].dim() - letters(terms[i]);
    DS_CHECK(open ? extra >= 0 : extra == 0, ShapeError, "einsum: term '", terms[i], "' of '",
             equation, "' does not fit operand ", operands[i].type());
    e.inputs.push_back(parse_subscript(terms[i], open ? extra : 0, equation));
    if (open) widest = std::max(widest, extra);
    for (int label : e.inputs.back()) ++count[label];
  }
  if (arrow == std::string::npos) {
    for (int k = widest; k > 0; --k) e.output.push_back(-k);
    for (const auto& [label, times] : count)
      if (label > 0 && times == 1) e.output.push_back(label);
    return e;
  }
  e.output = parse_subscript(text.substr(arrow + 2), widest, equation);
  for (size_t i = 0; i < e.output.size(); ++i) {
    DS_CHECK(count.count(e.output[i]), ValueError, "einsum: equation '", equation,
             "' has an output letter that no operand has");
    DS_CHECK(std::count(e.output.begin(), e.output.end(), e.output[i]) == 1, ValueError,
             "einsum: equation '", equation, "' repeats a letter in the output");
  }
  return e;
}

/// The diagonal over letters that a term repeats.
Term without_repeats(Term t, const std::string& equation) {
  for (size_t i = 0; i < t.labels.size(); ++i) {
    for (size_t j = i + 1; j < t.labels.size();) {
      if (t.labels[i] != t.labels[j]) {
        ++j;
        continue;
      }
      const int a = static_cast<int>(i), b = static_cast<int>(j);
      DS_CHECK(t.x.shape()[a] == t.x.shape()[b], ShapeError, "einsum: a repeated letter of '",
               equation, "' has sizes ", t.x.shape()[a], " and ", t.x.shape()[b]);
      t.x = movedim(diagonal(t.x, 0, a, b), -1, a);
      t.labels.erase(t.labels.begin() + b);
    }
  }
  return t;
}

int64_t size_of(const Term& t, int label) {
  for (size_t i = 0; i < t.labels.size(); ++i)
    if (t.labels[i] == label) return t.x.shape()[static_cast<int>(i)];
  return 1;
}

/// Sums over the letters that neither `kept` nor later terms need.
Term summed(Term t, const Labels& kept) {
  Shape dims;
  Labels labels;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (contains(kept, t.labels[i]))
      labels.push_back(t.labels[i]);
    else
      dims.push_back(static_cast<int64_t>(i));
  }
  if (dims.empty()) return t;
  return {to_dtype(sum(t.x, dims), t.x.dtype()), labels};
}

/// The term's dimensions in the order of `labels`, sizes 1 for letters it lacks.
Tensor arranged(const Term& t, const Labels& labels) {
  Shape order, shape;
  for (int label : labels) {
    const auto it = std::find(t.labels.begin(), t.labels.end(), label);
    if (it != t.labels.end()) order.push_back(it - t.labels.begin());
    shape.push_back(size_of(t, label));
  }
  return reshaped(permuted(t.x, order), shape);
}

Labels joined_labels(std::initializer_list<const Labels*> parts) {
  Labels all;
  for (const Labels* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

/// The product of two terms, summed over the letters both have and `kept` lacks.
Term contracted(const Term& a, const Term& b, const Labels& kept, const std::string& equation) {
  Labels batch, inner, only_a, only_b;
  for (int label : a.labels)
    (!contains(b.labels, label) ? only_a : contains(kept, label) ? batch : inner).push_back(label);
  for (int label : b.labels)
    if (!contains(a.labels, label)) only_b.push_back(label);
  Shape batch_shape, out_shape;
  const auto common = [&](int label) {
    const int64_t sa = size_of(a, label), sb = size_of(b, label);
    DS_CHECK(sa == sb || sa == 1 || sb == 1, ShapeError, "einsum: letter sizes ", sa, " and ", sb,
             " of '", equation, "' do not fit");
    return sa == 1 ? sb : sa;
  };
  int64_t rows = 1, cols = 1, depth = 1;
  for (int label : batch) batch_shape.push_back(common(label));
  for (int label : only_a) rows *= size_of(a, label);
  for (int label : only_b) cols *= size_of(b, label);
  for (int label : inner) depth *= common(label);
  const auto side = [&](const Term& t, const Labels& order, const Labels& own) {
    Shape full;
    for (int label : order)
      full.push_back(contains(own, label) ? size_of(t, label) : common(label));
    return expanded(arranged(t, order), full);
  };
  const int64_t count = batch_shape.numel();
  const Tensor lhs =
      reshaped(side(a, joined_labels({&batch, &only_a, &inner}), only_a), {count, rows, depth});
  const Tensor rhs =
      reshaped(side(b, joined_labels({&batch, &inner, &only_b}), only_b), {count, depth, cols});
  Tensor product;
  if (inner.empty())
    product = lhs * rhs;
  else
    product = record(Op::matmul_, {lhs, rhs});
  out_shape = batch_shape;
  for (int label : only_a) out_shape.push_back(size_of(a, label));
  for (int label : only_b) out_shape.push_back(size_of(b, label));
  return {reshaped(product, out_shape), joined_labels({&batch, &only_a, &only_b})};
}

}  // namespace

Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands) {
  DS_CHECK(!operands.empty(), ValueError, "einsum: needs at least one operand");
  const Equation e = parse(equation, operands);
  const auto needed_after = [&](size_t i) {
    Labels kept = e.output;
    for (size_t k = i + 1; k < e.inputs.size(); ++k)
      kept.insert(kept.end(), e.inputs[k].begin(), e.inputs[k].end());
    return kept;
  };
  Term result = summed(without_repeats({operands[0], e.inputs[0]}, equation), needed_after(0));
  for (size_t i = 1; i < operands.size(); ++i) {
    const Labels kept = needed_after(i);
    Labels wanted = kept;
    wanted.insert(wanted.end(), result.labels.begin(), result.labels.end());
    const Term next = summed(without_repeats({operands[i], e.inputs[i]}, equation), wanted);
    result = summed(contracted(result, next, kept, equation), kept);
  }
  return arranged(result, e.output);
}

}  // namespace ds
