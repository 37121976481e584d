// SPDX-License-Identifier: Apache-2.0
// Layers of one tensor: linear, embedding, dropout, reshaping, containers, activations.
#include "nn_layers.h"

#include "ds/base/error.h"
#include "ds/nn/layers_activation.h"
#include "ds/nn/layers_core.h"

namespace {

using namespace ds::nn;
using ds::Tensor;

void bind_core(nb::module_& m) {
  LayerClass<Linear>(m, "Linear", "y = x W^T + b.")
      .factory([](int64_t in, int64_t out,
                  bool bias) { return std::make_shared<Linear>(in, out, bias); },
               "in_features"_a, "out_features"_a, "bias"_a = true)
      .field("in_features", &Linear::in_features)
      .field("out_features", &Linear::out_features)
      .def("reset_parameters", [](Linear& self) { self.reset_parameters(); })
      .forward();
  LayerClass<Bilinear>(m, "Bilinear", "y = x1^T A x2 + b.")
      .factory([](int64_t in1, int64_t in2, int64_t out,
                  bool bias) { return std::make_shared<Bilinear>(in1, in2, out, bias); },
               "in1_features"_a, "in2_features"_a, "out_features"_a, "bias"_a = true)
      .field("in1_features", &Bilinear::in1_features)
      .field("in2_features", &Bilinear::in2_features)
      .field("out_features", &Bilinear::out_features)
      .def(
          "forward",
          [](Bilinear& self, const Tensor& a, const Tensor& b) { return self.forward(a, b); },
          "input1"_a, "input2"_a);
  LayerClass<Identity>(m, "Identity", "Returns its input; arguments are ignored.")
      .def("__init__", [](nb::handle self, const nb::args&,
                          const nb::kwargs&) { attach_module(self, std::make_shared<Identity>()); })
      .forward();
  LayerClass<Flatten>(m, "Flatten", "Joins dimensions start_dim to end_dim.")
      .init([](int64_t start, int64_t end) { return std::make_shared<Flatten>(start, end); },
            "start_dim"_a = 1, "end_dim"_a = -1)
      .field("start_dim", &Flatten::start_dim)
      .field("end_dim", &Flatten::end_dim)
      .forward();
  LayerClass<Unflatten>(m, "Unflatten", "Splits dimension dim into sizes.")
      .init([](int64_t dim, ds::Shape sizes) { return std::make_shared<Unflatten>(dim, sizes); },
            "dim"_a, "unflattened_size"_a)
      .field("dim", &Unflatten::dim)
      .field("unflattened_size", &Unflatten::unflattened_size)
      .forward();
}

std::shared_ptr<Embedding> make_embedding(int64_t rows, int64_t size,
                                          std::optional<int64_t> padding,
                                          const std::optional<Tensor>& weight, bool freeze) {
  auto made = std::make_shared<Embedding>(rows, size, padding);
  if (weight) {
    DS_CHECK(weight->shape() == (ds::Shape{rows, size}), ShapeError, "Embedding: the weight is ",
             weight->type(), "; it must be [", rows, ", ", size, "]");
    made->parameter("weight").set_data(*weight);
  }
  if (freeze) made->requires_grad_(false);
  return made;
}

void bind_embedding(nb::module_& m) {
  const nb::none none;
  LayerClass<Embedding>(m, "Embedding", "Rows of a table picked by integer indices.")
      .factory(
          [](int64_t rows, int64_t size, std::optional<int64_t> padding,
             std::optional<double> max_norm, double, bool by_freq, bool,
             const std::optional<Tensor>& weight, bool freeze) {
            DS_CHECK(!max_norm && !by_freq, NotImplementedError,
                     "Embedding: max_norm and scale_grad_by_freq are not available");
            return make_embedding(rows, size, padding, weight, freeze);
          },
          "num_embeddings"_a, "embedding_dim"_a, "padding_idx"_a = none, "max_norm"_a = none,
          "norm_type"_a = 2.0, "scale_grad_by_freq"_a = false, "sparse"_a = false,
          "_weight"_a = none, "_freeze"_a = false)
      .field("num_embeddings", &Embedding::num_embeddings)
      .field("embedding_dim", &Embedding::embedding_dim)
      .field("padding_idx", &Embedding::padding_idx)
      .def("reset_parameters", [](Embedding& self) { self.reset_parameters(); })
      .forward();
  const nb::object type = m.attr("Embedding");
  const nb::handle class_method(reinterpret_cast<PyObject*>(&PyClassMethod_Type));
  type.attr("from_pretrained") = class_method(nb::cpp_function(
      [](nb::object cls, const Tensor& table, bool freeze, nb::object padding) {
        DS_CHECK(table.dim() == 2, ShapeError, "Embedding.from_pretrained: the table is ",
                 table.type(), "; it must have 2 dimensions");
        return cls(table.size(0), table.size(1), "padding_idx"_a = padding, "_weight"_a = table,
                   "_freeze"_a = freeze);
      },
      "cls"_a, "embeddings"_a, "freeze"_a = true, "padding_idx"_a = none));
}

template <class T>
void bind_dropout(nb::module_& m, const char* name) {
  LayerClass<T>(m, name, "Zeroes elements or channels with probability p while training.")
      .init(
          [](double p, bool inplace) {
            auto made = std::make_shared<T>(p);
            made->inplace = inplace;
            return made;
          },
          "p"_a = 0.5, "inplace"_a = false)
      .field("p", &Dropout::p)
      .field("inplace", &Dropout::inplace)
      .forward();
}

/// An activation whose only argument is `inplace`, or that has none.
template <class T>
void bind_plain(nb::module_& m, const char* name, bool inplace = false) {
  LayerClass<T> layer(m, name);
  if (inplace)
    layer
        .init(
            [](bool on) {
              auto made = std::make_shared<T>();
              made->inplace = on;
              return made;
            },
            "inplace"_a = false)
        .field("inplace", &T::inplace);
  else
    layer.init([] { return std::make_shared<T>(); });
  layer.forward();
}

/// An activation of one number that may work in place.
template <class T>
void bind_scaled(nb::module_& m, const char* name, const char* argument, double T::*member,
                 double value) {
  LayerClass<T>(m, name)
      .init(
          [](double number, bool inplace) {
            auto made = std::make_shared<T>(number);
            made->inplace = inplace;
            return made;
          },
          nb::arg(argument) = value, "inplace"_a = false)
      .field(argument, member)
      .field("inplace", &T::inplace)
      .forward();
}

template <class T>
void bind_shrink(nb::module_& m, const char* name) {
  LayerClass<T>(m, name)
      .init([](double lambd) { return std::make_shared<T>(lambd); }, "lambd"_a = 0.5)
      .field("lambd", &T::lambd)
      .forward();
}

/// An activation of two numbers that may work in place.
template <class T, class... Defaults>
void bind_pair(nb::module_& m, const char* name, double T::*first, double T::*second,
               const nb::arg_v& a, const nb::arg_v& b) {
  LayerClass<T>(m, name)
      .init(
          [](double x, double y, bool inplace) {
            auto made = std::make_shared<T>(x, y);
            made->inplace = inplace;
            return made;
          },
          a, b, "inplace"_a = false)
      .field(a.name_, first)
      .field(b.name_, second)
      .field("inplace", &T::inplace)
      .forward();
}

template <class T>
void bind_softmax(nb::module_& m, const char* name) {
  LayerClass<T>(m, name)
      .init([](std::optional<int64_t> dim) { return std::make_shared<T>(dim); },
            "dim"_a = nb::none())
      .field("dim", &SoftmaxBase::dim)
      .forward();
}

void bind_activations(nb::module_& m) {
  bind_plain<ReLU>(m, "ReLU", true);
  bind_plain<ReLU6>(m, "ReLU6", true);
  bind_plain<SiLU>(m, "SiLU", true);
  bind_plain<Mish>(m, "Mish", true);
  bind_plain<SELU>(m, "SELU", true);
  bind_plain<Hardswish>(m, "Hardswish", true);
  bind_plain<Hardsigmoid>(m, "Hardsigmoid", true);
  bind_plain<Sigmoid>(m, "Sigmoid");
  bind_plain<Tanh>(m, "Tanh");
  bind_plain<Softsign>(m, "Softsign");
  bind_plain<Tanhshrink>(m, "Tanhshrink");
  bind_plain<LogSigmoid>(m, "LogSigmoid");
  bind_plain<Softmax2d>(m, "Softmax2d");
  bind_scaled<LeakyReLU>(m, "LeakyReLU", "negative_slope", &LeakyReLU::negative_slope, 0.01);
  bind_scaled<ELU>(m, "ELU", "alpha", &ELU::alpha, 1.0);
  bind_scaled<CELU>(m, "CELU", "alpha", &CELU::alpha, 1.0);
  bind_shrink<Hardshrink>(m, "Hardshrink");
  bind_shrink<Softshrink>(m, "Softshrink");
  bind_pair<Hardtanh>(m, "Hardtanh", &Hardtanh::min_val, &Hardtanh::max_val, "min_val"_a = -1.0,
                      "max_val"_a = 1.0);
  bind_pair<RReLU>(m, "RReLU", &RReLU::lower, &RReLU::upper, "lower"_a = 1.0 / 8,
                   "upper"_a = 1.0 / 3);
  bind_softmax<Softmax>(m, "Softmax");
  bind_softmax<LogSoftmax>(m, "LogSoftmax");
  bind_softmax<Softmin>(m, "Softmin");
  LayerClass<Threshold>(m, "Threshold")
      .init(
          [](double threshold, double value, bool inplace) {
            auto made = std::make_shared<Threshold>(threshold, value);
            made->inplace = inplace;
            return made;
          },
          "threshold"_a, "value"_a, "inplace"_a = false)
      .field("threshold", &Threshold::threshold)
      .field("value", &Threshold::value)
      .field("inplace", &Threshold::inplace)
      .forward();
  LayerClass<Softplus>(m, "Softplus")
      .init(
          [](double beta, double threshold) { return std::make_shared<Softplus>(beta, threshold); },
          "beta"_a = 1.0, "threshold"_a = 20.0)
      .field("beta", &Softplus::beta)
      .field("threshold", &Softplus::threshold)
      .forward();
  LayerClass<GELU>(m, "GELU")
      .init([](std::string approximate) { return std::make_shared<GELU>(approximate); },
            "approximate"_a = "none")
      .field("approximate", &GELU::approximate)
      .forward();
  LayerClass<GLU>(m, "GLU")
      .init([](int64_t dim) { return std::make_shared<GLU>(dim); }, "dim"_a = -1)
      .field("dim", &GLU::dim)
      .forward();
  LayerClass<PReLU>(m, "PReLU", "max(x, 0) + weight * min(x, 0) with a learned weight.")
      .factory([](int64_t count, double init) { return std::make_shared<PReLU>(count, init); },
               "num_parameters"_a = 1, "init"_a = 0.25)
      .field("num_parameters", &PReLU::num_parameters)
      .field("init", &PReLU::init)
      .forward();
}

std::vector<double> factors_of(nb::handle factor) {
  if (factor.is_none()) return {};
  if (nb::isinstance<nb::float_>(factor) || nb::isinstance<nb::int_>(factor))
    return {nb::cast<double>(factor)};
  return nb::cast<std::vector<double>>(factor);
}

std::optional<ds::Shape> sizes_of(nb::handle size) {
  if (size.is_none()) return std::nullopt;
  if (nb::isinstance<nb::int_>(size)) return ds::Shape{nb::cast<int64_t>(size)};
  return nb::cast<ds::Shape>(size);
}

template <class T>
void add_upsample_sizes(LayerClass<T>& layer) {
  layer.field("size", &Upsample::size);
  layer.property("scale_factor", [](const T& self) -> nb::object {
    if (self.scale_factor.empty()) return nb::none();
    if (self.scale_factor.size() == 1) return nb::float_(self.scale_factor[0]);
    return nb::tuple(nb::cast(self.scale_factor));
  });
  layer.forward();
}

void bind_shuffles(nb::module_& m) {
  LayerClass<PixelShuffle>(m, "PixelShuffle")
      .init([](int64_t factor) { return std::make_shared<PixelShuffle>(factor); },
            "upscale_factor"_a)
      .field("upscale_factor", &PixelShuffle::upscale_factor)
      .forward();
  LayerClass<PixelUnshuffle>(m, "PixelUnshuffle")
      .init([](int64_t factor) { return std::make_shared<PixelUnshuffle>(factor); },
            "downscale_factor"_a)
      .field("downscale_factor", &PixelUnshuffle::downscale_factor)
      .forward();
  LayerClass<ChannelShuffle>(m, "ChannelShuffle")
      .init([](int64_t groups) { return std::make_shared<ChannelShuffle>(groups); }, "groups"_a)
      .field("groups", &ChannelShuffle::groups)
      .forward();
  LayerClass<Upsample> upsample(m, "Upsample", "Resizes to a size or by a factor.");
  upsample.init(
      [](nb::object size, nb::object factor, std::string mode, std::optional<bool> align,
         nb::object) {
        return std::make_shared<Upsample>(sizes_of(size), factors_of(factor), mode, align);
      },
      "size"_a = nb::none(), "scale_factor"_a = nb::none(), "mode"_a = "nearest",
      "align_corners"_a = nb::none(), "recompute_scale_factor"_a = nb::none());
  upsample.field("mode", &Upsample::mode).field("align_corners", &Upsample::align_corners);
  add_upsample_sizes(upsample);
  const auto simple = [](auto& layer, auto make) {
    layer.init(make, "size"_a = nb::none(), "scale_factor"_a = nb::none());
    add_upsample_sizes(layer);
  };
  LayerClass<UpsamplingNearest2d> nearest(m, "UpsamplingNearest2d", m.attr("Upsample"), "");
  simple(nearest, [](nb::object size, nb::object factor) {
    return std::make_shared<UpsamplingNearest2d>(sizes_of(size), factors_of(factor));
  });
  LayerClass<UpsamplingBilinear2d> bilinear(m, "UpsamplingBilinear2d", m.attr("Upsample"), "");
  simple(bilinear, [](nb::object size, nb::object factor) {
    return std::make_shared<UpsamplingBilinear2d>(sizes_of(size), factors_of(factor));
  });
}

}  // namespace

void bind_layers(nb::module_& m) {
  bind_core(m);
  bind_embedding(m);
  bind_dropout<Dropout>(m, "Dropout");
  bind_dropout<Dropout1d>(m, "Dropout1d");
  bind_dropout<Dropout2d>(m, "Dropout2d");
  bind_dropout<Dropout3d>(m, "Dropout3d");
  bind_dropout<AlphaDropout>(m, "AlphaDropout");
  bind_dropout<FeatureAlphaDropout>(m, "FeatureAlphaDropout");
  LayerClass<Sequential>(m, "Sequential").init([] { return std::make_shared<Sequential>(); });
  LayerClass<ModuleList>(m, "ModuleList").init([] { return std::make_shared<ModuleList>(); });
  LayerClass<ModuleDict>(m, "ModuleDict").init([] { return std::make_shared<ModuleDict>(); });
  bind_activations(m);
  bind_shuffles(m);
  bind_conv_layers(m);
  bind_norm_layers(m);
  bind_loss_layers(m);
  bind_window_layers(m);
}
