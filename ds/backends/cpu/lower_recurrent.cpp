// SPDX-License-Identifier: Apache-2.0
// Recurrent layers. Sequences are taken and left as they lie, steps first or batch first.
#include "ds/backends/cpu/kernels/recurrent.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// [T, N, width] or [R, width] with contiguous rows: the view itself, else a row-major copy.
View rows(Lowering& l, const Node& node, const View& view) {
  return view.strides.back() == 1 || view.dims.back() == 1 ? view : l.row_major(node, view);
}

/// A temporary as wide as wanted that lies as `like` does.
View sequence(Lowering& l, const View& like, int64_t width) {
  Shape dims = like.dims;
  dims.back() = width;
  if (dims.rank() == 2 || width == 0 || like.strides[0] >= like.strides[1])
    return l.temp(DType::f32, dims);
  return l.temp(DType::f32, dims, {width, like.dims[0] * width, 1});
}

/// The steps of packed sequences: how many rows each has, and where they begin.
class Steps {
 public:
  /// `all`: rows that there are.
  Steps(const Frame& frame, const RecurrentForm& form, const View& sizes, int64_t all) {
    if (!form.packed) return;
    const auto* given = frame.at<const int64_t>(sizes);
    int64_t begin = 0, most = form.batch;
    for (int64_t t = 0; t < form.steps; ++t) {
      DS_CHECK(given[t] >= 0 && given[t] <= most, ValueError, "recurrent: step ", t, " has ",
               given[t], " rows; sizes start with at most ", form.batch, " and never rise");
      starts_.push_back(begin);
      begin += most = given[t];
    }
    DS_CHECK(begin == all, ValueError, "recurrent: sizes add up to ", begin,
             " rows, but there are ", all);
    rows_ = given;
  }
  const int64_t* rows() const { return rows_; }

  template <class T>
  Sequence<T> sequence(const Frame& frame, const View& view) const {
    T* data = frame.at<float>(view);
    if (!rows_) return {data, view.strides[0], view.strides[1], nullptr};
    return {data, 0, view.strides[0], starts_.data()};
  }

 private:
  const int64_t* rows_ = nullptr;
  std::vector<int64_t> starts_;
};

RecurrentShape shape_of(const Node& node) {
  RecurrentShape shape{recurrent_form(node)};
  shape.bf16 = node.input(shape.weight).dtype() == DType::bf16;
  return shape;
}

/// Strips of a weight, as a kind of layer of some sizes reads them.
class StripsLayout final : public Layout {
 public:
  StripsLayout(const RecurrentShape& shape, RecurrentWeight which)
      : text_(str("strips of ", packed_width(shape), " for ", cell_kind_name(shape.kind), " ",
                  shape.hidden, " ", shape.out, " ", static_cast<int>(which))),
        bytes_(packed_floats(shape, which) * sizeof(float)) {}
  size_t nbytes() const override { return bytes_; }
  uint64_t hash() const override { return std::hash<std::string>()(text_); }
  bool equals(const Layout& other) const override {
    const auto* strips = dynamic_cast<const StripsLayout*>(&other);
    return strips && strips->text_ == text_;
  }
  std::string text() const override { return text_; }

 private:
  std::string text_;
  size_t bytes_;
};

View packed(Lowering& l, const Node& node, const RecurrentShape& shape, int input,
            RecurrentWeight which) {
  const View& weight = l.view(node.input(input));
  const DType dtype = weight.dtype;
  const int64_t count = weight.numel();
  return l.packed(node, weight, std::make_shared<StripsLayout>(shape, which), "cpu:recurrent_pack",
                  [=](const void* from, void* to) {
                    if (dtype == DType::f32)
                      return pack_weight(shape, which, static_cast<const float*>(from),
                                         static_cast<float*>(to));
                    const auto* narrow = static_cast<const bf16*>(from);
                    const std::vector<float> wide(narrow, narrow + count);
                    pack_weight(shape, which, wide.data(), static_cast<float*>(to));
                  });
}

/// Adds what only some nodes have to the views that a step reads or writes.
struct Optional {
  std::vector<View>& views;
  View operator()(bool has, const std::function<View()>& view) const {
    if (!has) return {};
    views.push_back(view());
    return views.back();
  }
};

void lower_forward(Lowering& l, const Node& node) {
  RecurrentShape shape = shape_of(node);
  const auto dense = [&](int input) { return l.row_major(node, l.view(node.input(input))); };
  const View gates = rows(l, node, l.view(node.input(0)));
  const View h0 = dense(1), weight = packed(l, node, shape, shape.weight, RecurrentWeight::weight);
  std::vector<View> reads{gates, h0, weight};
  const Optional optional{reads};
  const View c0 = optional(shape.c0 >= 0, [&] { return dense(shape.c0); });
  const View bias = optional(shape.bias >= 0, [&] { return dense(shape.bias); });
  const View projection = optional(shape.projected, [&] {
    return packed(l, node, shape, shape.projection, RecurrentWeight::projection);
  });
  const View sizes = optional(shape.packed, [&] { return dense(shape.sizes); });

  const View h = sequence(l, gates, shape.out);
  std::vector<View> writes{h};
  const Optional made{writes};
  const bool has_cell = node.type(1).shape.numel() > 0;
  const bool keeps_cell = has_cell && (shape.kind == CellKind::lstm || l.is_read(node, 1));
  const bool keeps_gates = has_cell && l.is_read(node, 2);
  const View c = made(keeps_cell, [&] { return sequence(l, gates, shape.hidden); });
  const View activated =
      made(keeps_gates, [&] { return sequence(l, gates, gate_count(shape.kind) * shape.hidden); });
  const int64_t all_rows = h.dims[0];  // of packed sequences
  l.emit(node, "cpu:recurrent", reads, writes, [=](const Frame& frame) {
    const Steps steps(frame, shape, sizes, all_rows);
    RecurrentShape now = shape;
    now.rows = steps.rows();
    const auto at = [&](bool has, const View& view) {
      return has ? frame.at<float>(view) : nullptr;
    };
    RecurrentForward args{steps.sequence<const float>(frame, gates),
                          frame.at<float>(h0),
                          at(shape.c0 >= 0, c0),
                          at(shape.bias >= 0, bias),
                          frame.at<float>(weight),
                          at(shape.projected, projection),
                          steps.sequence<float>(frame, h),
                          {},
                          {}};
    if (keeps_cell) args.c = steps.sequence<float>(frame, c);
    if (keeps_gates) args.activated = steps.sequence<float>(frame, activated);
    recurrent(now, args);
  });
  l.define(node, 0, h);
  const auto define = [&](int output, bool made_here, const View& view) {
    if (made_here)
      l.define(node, output, view);
    else if (l.is_read(node, output))  // and empty
      l.define(node, output, l.temp(DType::f32, node.type(output).shape));
  };
  define(1, keeps_cell, c);
  define(2, keeps_gates, activated);
}

void lower_backward(Lowering& l, const Node& node) {
  RecurrentShape shape = shape_of(node);
  const auto dense = [&](int input) { return l.row_major(node, l.view(node.input(input))); };
  const auto lined = [&](int input) { return rows(l, node, l.view(node.input(input))); };
  const View diff_h = lined(0), h = lined(1), h0 = dense(2), activated = lined(3), cell = lined(4);
  const View weight = packed(l, node, shape, shape.weight, RecurrentWeight::weight_back);
  std::vector<View> reads{diff_h, h, h0, activated, cell, weight};
  const Optional optional{reads};
  const View c0 = optional(shape.c0 >= 0, [&] { return dense(shape.c0); });
  const View projection = optional(shape.projected, [&] {
    return packed(l, node, shape, shape.projection, RecurrentWeight::projection_back);
  });
  const View sizes = optional(shape.packed, [&] { return dense(shape.sizes); });
  const View diff_c = optional(shape.diff_c >= 0, [&] { return lined(shape.diff_c); });

  const View diff_gates = sequence(l, h, gate_count(shape.kind) * shape.hidden);
  const View diff_h0 = l.temp(DType::f32, node.type(1).shape);
  const View diff_c0 = l.temp(DType::f32, node.type(2).shape);
  const View diff_state = sequence(l, h, node.type(4).shape.back());
  std::vector<View> writes{diff_gates, diff_h0, diff_c0, diff_state};
  const bool keeps_before = l.is_read(node, 3);
  const View before = Optional{writes}(keeps_before, [&] { return sequence(l, h, shape.out); });
  const int64_t all_rows = h.dims[0];  // of packed sequences
  l.emit(node, "cpu:recurrent_backward", reads, writes, [=](const Frame& frame) {
    const Steps steps(frame, shape, sizes, all_rows);
    RecurrentShape now = shape;
    now.rows = steps.rows();
    const auto from = [&](const View& view) { return steps.sequence<const float>(frame, view); };
    RecurrentBackward args{from(diff_h),
                           from(h),
                           from(activated),
                           from(cell),
                           {},
                           frame.at<float>(h0),
                           shape.c0 >= 0 ? frame.at<float>(c0) : nullptr,
                           frame.at<float>(weight),
                           shape.projected ? frame.at<float>(projection) : nullptr,
                           steps.sequence<float>(frame, diff_gates),
                           frame.at<float>(diff_h0),
                           frame.at<float>(diff_c0),
                           {},
                           steps.sequence<float>(frame, diff_state)};
    if (shape.diff_c >= 0) args.diff_c = from(diff_c);
    if (keeps_before) args.before = steps.sequence<float>(frame, before);
    recurrent_backward(now, args);
  });
  l.define(node, 0, diff_gates);
  l.define(node, 1, diff_h0);
  l.define(node, 2, diff_c0);
  if (keeps_before) l.define(node, 3, before);
  l.define(node, 4, diff_state);
}

}  // namespace

bool lower_recurrent(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.input(0).type();
  if (type.dtype != DType::f32 || type.shape.numel() == 0) {
    why = str("no kernel for ", type);
    return false;
  }
  (node.op() == Op::recurrent_ ? lower_forward : lower_backward)(l, node);
  return true;
}

}  // namespace ds::cpu
