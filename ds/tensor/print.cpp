// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/print.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <vector>

#include "ds/base/str.h"
#include "ds/tensor/record.h"
#include "ds/tensor/sync.h"

namespace ds {
namespace {

/// How the elements of one tensor are written: one width for all.
class Format {
 public:
  Format(const std::vector<double>& shown, const std::vector<int64_t>& integers, DType dtype)
      : dtype_(dtype) {
    if (!is_floating(dtype)) {
      for (int64_t value : integers) width_ = std::max(width_, text(0, value).size());
      return;
    }
    choose_mode(shown);
    for (double value : shown) width_ = std::max(width_, text(value, 0).size());
  }

  std::string padded(double value, int64_t integer) const {
    const std::string body = text(value, integer);
    return std::string(width_ - std::min(width_, body.size()), ' ') + body;
  }
  size_t width() const { return width_; }

 private:
  void choose_mode(const std::vector<double>& shown) {
    double largest = 0, smallest = INFINITY;
    bool all_integers = true;
    for (double value : shown) {
      if (!std::isfinite(value) || value == 0) continue;
      largest = std::max(largest, std::fabs(value));
      smallest = std::min(smallest, std::fabs(value));
      all_integers = all_integers && value == std::floor(value);
    }
    integers_ = all_integers;
    const bool wide =
        largest / smallest > 1000.0 || largest > 1e8 || (!all_integers && smallest < 1e-4);
    scientific_ = largest > 0 && (all_integers ? largest >= 1e8 : wide);
    if (print_options().sci_mode >= 0) scientific_ = print_options().sci_mode == 1;
  }

  std::string text(double value, int64_t integer) const {
    if (dtype_ == DType::bool_) return integer ? "True" : "False";
    if (!is_floating(dtype_)) return std::to_string(integer);
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    char buffer[64];
    const int precision = print_options().precision;
    if (scientific_)
      std::snprintf(buffer, sizeof buffer, "%.*e", precision, value);
    else if (integers_)
      std::snprintf(buffer, sizeof buffer, "%.0f.", value);
    else
      std::snprintf(buffer, sizeof buffer, "%.*f", precision, value);
    return buffer;
  }

  DType dtype_;
  bool integers_ = false, scientific_ = false;
  size_t width_ = 0;
};

class Printer {
 public:
  explicit Printer(const Tensor& tensor)
      : shape_(tensor.shape()), floating_(is_floating(tensor.dtype())) {
    const PrintOptions& o = print_options();
    edge_ = tensor.numel() > o.threshold ? o.edgeitems : INT64_MAX / 4;
    if (floating_)
      values_ = tensor.to_vector<double>();
    else
      integers_ = tensor.to_vector<int64_t>();
    std::vector<double> shown;
    std::vector<int64_t> shown_integers;
    collect(0, 0, shown, shown_integers);
    format_.emplace_back(shown, shown_integers, tensor.dtype());
  }

  std::string run(size_t indent) { return element(0, 0, indent); }

 private:
  bool hidden(int64_t i, int64_t size) const {
    return size > 2 * edge_ && i >= edge_ && i < size - edge_;
  }

  int64_t stride(int dim) const {
    int64_t product = 1;
    for (int i = dim + 1; i < shape_.rank(); ++i) product *= shape_[i];
    return product;
  }

  void collect(int dim, int64_t offset, std::vector<double>& shown,
               std::vector<int64_t>& integers) const {
    if (dim == shape_.rank()) {
      if (floating_)
        shown.push_back(values_[static_cast<size_t>(offset)]);
      else
        integers.push_back(integers_[static_cast<size_t>(offset)]);
      return;
    }
    for (int64_t i = 0; i < shape_[dim]; ++i)
      if (!hidden(i, shape_[dim])) collect(dim + 1, offset + i * stride(dim), shown, integers);
  }

  std::string number(int64_t offset) const {
    const auto at = static_cast<size_t>(offset);
    return format_[0].padded(floating_ ? values_[at] : 0, floating_ ? 0 : integers_[at]);
  }

  std::string row(int64_t offset, size_t indent) const {
    const int64_t size = shape_.back();
    const size_t per_line = std::max<size_t>(
        1, (static_cast<size_t>(print_options().linewidth) - std::min<size_t>(indent, 60)) /
               (format_[0].width() + 2));
    std::string text = "[";
    size_t on_line = 0;
    bool dots = false;
    for (int64_t i = 0; i < size; ++i) {
      const bool skip = hidden(i, size);
      if (skip && dots) continue;
      if (text.size() > 1) text += on_line == 0 ? ",\n" + std::string(indent + 1, ' ') : ", ";
      text += skip ? " ..." : number(offset + i);
      dots = dots || skip;
      on_line = (on_line + 1) % per_line;
    }
    return text + "]";
  }

  std::string element(int dim, int64_t offset, size_t indent) const {
    if (shape_.empty()) return number(0);
    if (dim == shape_.rank() - 1) return row(offset, indent);
    std::string text = "[";
    bool dots = false;
    const std::string gap = "," + std::string(static_cast<size_t>(shape_.rank() - 1 - dim), '\n') +
                            std::string(indent + 1, ' ');
    for (int64_t i = 0; i < shape_[dim]; ++i) {
      const bool skip = hidden(i, shape_[dim]);
      if (skip && dots) continue;
      if (text.size() > 1) text += gap;
      text += skip ? "..." : element(dim + 1, offset + i * stride(dim), indent + 1);
      dots = dots || skip;
    }
    return text + "]";
  }

  Shape shape_;
  bool floating_;
  int64_t edge_;
  std::vector<double> values_;
  std::vector<int64_t> integers_;
  std::vector<Format> format_;
};

}  // namespace

PrintOptions& print_options() {
  static PrintOptions options;
  return options;
}

std::string to_text(const Tensor& tensor) {
  note_sync("print");
  const std::string prefix = tensor.is_parameter() ? "Parameter containing:\ntensor(" : "tensor(";
  std::string text;
  if (tensor.numel() == 0) {
    text = "[]";
    if (tensor.dim() != 1) text += str(", size=(", std::string(str(tensor.shape())).substr(1));
    if (tensor.dim() != 1) text.back() = ')';
  } else {
    text = Printer(tensor).run(7);
  }
  const DType dtype = tensor.dtype();
  const bool plain = dtype == default_dtype() || dtype == DType::bool_ || dtype == DType::i64;
  static constexpr const char* kNames[] = {"float64", "float32", "float16", "bfloat16", "int64",
                                           "int32",   "int16",   "int8",    "uint8",    "bool"};
  if (!plain || (tensor.numel() == 0 && dtype == DType::i64))
    text += str(", dtype=deepseek.", kNames[static_cast<int>(dtype)]);
  if (tensor.is_leaf() && tensor.requires_grad()) text += ", requires_grad=True";
  if (!tensor.is_leaf()) text += ", grad_fn=<" + tensor.grad_op() + ">";
  return prefix + text + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) { return out << to_text(tensor); }

}  // namespace ds
