// SPDX-License-Identifier: Apache-2.0
// Convolutions and pooling.
#include "ds/nn/layers_conv.h"
#include "nn_layers.h"

namespace {

using namespace ds::nn;
using ds::ConvPadding;
using ds::PerDim;
using ds::Tensor;

/// The tuple of D numbers that PyTorch keeps.
template <int D>
ds::Shape tuple_of(const PerDim& values) {
  return values.over(D, "convolution", "argument", std::numeric_limits<int64_t>::min());
}

template <int D, class T>
void add_conv_fields(LayerClass<T>& layer) {
  const auto sizes = [&](const char* name, PerDim ConvOptions::*member) {
    layer.property(
        name, [member](const T& self) { return tuple_of<D>(self.options().*member); },
        [member](T& self, PerDim value) { self.options().*member = value; });
  };
  const auto number = [&](const char* name, int64_t ConvOptions::*member) {
    layer.property(
        name, [member](const T& self) { return self.options().*member; },
        [member](T& self, int64_t value) { self.options().*member = value; });
  };
  number("in_channels", &ConvOptions::in_channels);
  number("out_channels", &ConvOptions::out_channels);
  number("groups", &ConvOptions::groups);
  sizes("kernel_size", &ConvOptions::kernel_size);
  sizes("stride", &ConvOptions::stride);
  sizes("dilation", &ConvOptions::dilation);
  sizes("output_padding", &ConvOptions::output_padding);
  layer.property(
      "padding",
      [](const T& self) -> nb::object {
        const ConvPadding& padding = self.options().padding;
        if (!padding.mode().empty()) return nb::cast(padding.mode());
        return nb::cast(tuple_of<D>(padding));
      },
      [](T& self, ConvPadding value) { self.options().padding = value; });
  layer.property(
      "padding_mode", [](const T& self) { return self.options().padding_mode; },
      [](T& self, std::string value) { self.options().padding_mode = value; });
  layer.property("transposed", [](const T& self) {
    return self.type_name().find("Transpose") != std::string::npos;
  });
  layer.def("reset_parameters", [](T& self) { self.reset_parameters(); });
}

template <int D>
void bind_conv(nb::module_& m, const char* name, const char* transposed) {
  using T = Conv<D>;
  LayerClass<T> conv(m, name, m.attr("_ConvNd"), "Convolution of [N, in, ...] (or without N).");
  conv.factory(
          [](int64_t in, int64_t out, PerDim kernel, PerDim stride, ConvPadding padding,
             PerDim dilation, int64_t groups, bool bias, std::string mode) {
            return std::make_shared<T>(
                ConvOptions{in, out, kernel, stride, padding, dilation, groups, bias, mode, 0});
          },
          "in_channels"_a, "out_channels"_a, "kernel_size"_a, "stride"_a = 1, "padding"_a = 0,
          "dilation"_a = 1, "groups"_a = 1, "bias"_a = true, "padding_mode"_a = "zeros")
      .forward();
  add_conv_fields<D>(conv);
  using U = ConvTranspose<D>;
  LayerClass<U> back(m, transposed, m.attr("_ConvTransposeNd"),
                     "Transposed convolution of [N, in, ...] (or without N).");
  back.factory(
          [](int64_t in, int64_t out, PerDim kernel, PerDim stride, PerDim padding, PerDim extra,
             int64_t groups, bool bias, PerDim dilation, std::string mode) {
            return std::make_shared<U>(ConvOptions{in, out, kernel, stride,
                                                   ConvPadding(padding.given()), dilation, groups,
                                                   bias, mode, extra});
          },
          "in_channels"_a, "out_channels"_a, "kernel_size"_a, "stride"_a = 1, "padding"_a = 0,
          "output_padding"_a = 0, "groups"_a = 1, "bias"_a = true, "dilation"_a = 1,
          "padding_mode"_a = "zeros")
      .def(
          "forward",
          [](U& self, const Tensor& x, const std::optional<ds::Shape>& size) {
            return self.forward(x, size);
          },
          "input"_a, "output_size"_a = nb::none());
  add_conv_fields<D>(back);
}

/// A pooling argument as it was given: one number or a tuple.
template <class T>
void add_pool_field(LayerClass<T>& layer, const char* name, PerDim PoolOptions::*member) {
  layer.property(
      name, [member](const T& self) { return self.options().*member; },
      [member](T& self, PerDim value) { self.options().*member = value; });
}

template <class T>
void add_pool_fields(LayerClass<T>& layer) {
  add_pool_field(layer, "kernel_size", &PoolOptions::kernel_size);
  layer.property(
      "stride",
      [](const T& self) {
        return self.options().stride.empty() ? self.options().kernel_size : self.options().stride;
      },
      [](T& self, PerDim value) { self.options().stride = value; });
  add_pool_field(layer, "padding", &PoolOptions::padding);
  layer.property(
      "ceil_mode", [](const T& self) { return self.options().ceil_mode; },
      [](T& self, bool value) { self.options().ceil_mode = value; });
}

template <int D>
void bind_pool(nb::module_& m, const std::string& max_name, const std::string& avg_name) {
  using M = MaxPool<D>;
  LayerClass<M> max(m, max_name.c_str(), "Largest values of windows.");
  max.init(
      [](PerDim kernel, PerDim stride, PerDim padding, PerDim dilation, bool indices, bool ceil) {
        auto made = std::make_shared<M>(
            PoolOptions{kernel, stride, padding, dilation, ceil, true, std::nullopt});
        made->return_indices = indices;
        return made;
      },
      "kernel_size"_a, "stride"_a = nb::none(), "padding"_a = 0, "dilation"_a = 1,
      "return_indices"_a = false, "ceil_mode"_a = false);
  add_pool_fields(max);
  add_pool_field(max, "dilation", &PoolOptions::dilation);
  max.field("return_indices", &M::return_indices);
  max.def(
      "forward",
      [](M& self, const Tensor& x) {
        return self.return_indices ? nb::cast(self.forward_with_indices(x))
                                   : nb::cast(self.forward(x));
      },
      "input"_a);
  using A = AvgPool<D>;
  LayerClass<A> avg(m, avg_name.c_str(), "Means of windows.");
  const auto make = [](PerDim kernel, PerDim stride, PerDim padding, bool ceil, bool count_pad,
                       std::optional<int64_t> divisor) {
    return std::make_shared<A>(PoolOptions{kernel, stride, padding, 1, ceil, count_pad, divisor});
  };
  if constexpr (D == 1)
    avg.init(
        [make](PerDim kernel, PerDim stride, PerDim padding, bool ceil, bool count_pad) {
          return make(kernel, stride, padding, ceil, count_pad, std::nullopt);
        },
        "kernel_size"_a, "stride"_a = nb::none(), "padding"_a = 0, "ceil_mode"_a = false,
        "count_include_pad"_a = true);
  else
    avg.init(make, "kernel_size"_a, "stride"_a = nb::none(), "padding"_a = 0, "ceil_mode"_a = false,
             "count_include_pad"_a = true, "divisor_override"_a = nb::none());
  add_pool_fields(avg);
  avg.property(
      "count_include_pad", [](const A& self) { return self.options().count_include_pad; },
      [](A& self, bool value) { self.options().count_include_pad = value; });
  avg.property(
      "divisor_override", [](const A& self) { return self.options().divisor_override; },
      [](A& self, std::optional<int64_t> value) { self.options().divisor_override = value; });
  avg.forward();
}

/// output_size: one number, or one per dimension where None keeps the input's.
template <int D>
PerDim output_sizes(nb::handle given) {
  int64_t one;
  if (parse_int(given, one)) return one;
  if (given.is_none()) return -1;
  ds::Shape sizes;
  for (nb::handle size : given) sizes.push_back(size.is_none() ? -1 : nb::cast<int64_t>(size));
  return sizes;
}

nb::object output_size_object(const PerDim& sizes) {
  if (sizes.given().rank() == 1) return nb::int_(sizes.given()[0]);
  nb::list list;
  for (int64_t size : sizes.given())
    list.append(size < 0 ? nb::object(nb::none()) : nb::object(nb::int_(size)));
  return nb::tuple(list);
}

template <int D>
void bind_adaptive(nb::module_& m, const std::string& max_name, const std::string& avg_name) {
  using M = AdaptiveMaxPool<D>;
  LayerClass<M>(m, max_name.c_str(), "Largest values of windows of a grid of the given size.")
      .init(
          [](nb::object size, bool indices) {
            auto made = std::make_shared<M>(output_sizes<D>(size));
            made->return_indices = indices;
            return made;
          },
          nb::arg("output_size").none(), "return_indices"_a = false)
      .property(
          "output_size", [](const M& self) { return output_size_object(self.output_size); },
          [](M& self, nb::object size) { self.output_size = output_sizes<D>(size); })
      .field("return_indices", &M::return_indices)
      .def(
          "forward",
          [](M& self, const Tensor& x) {
            return self.return_indices ? nb::cast(self.forward_with_indices(x))
                                       : nb::cast(self.forward(x));
          },
          "input"_a);
  using A = AdaptiveAvgPool<D>;
  LayerClass<A>(m, avg_name.c_str(), "Means of windows of a grid of the given size.")
      .init([](nb::object size) { return std::make_shared<A>(output_sizes<D>(size)); },
            nb::arg("output_size").none())
      .property(
          "output_size", [](const A& self) { return output_size_object(self.output_size); },
          [](A& self, nb::object size) { self.output_size = output_sizes<D>(size); })
      .forward();
}

}  // namespace

void bind_conv_layers(nb::module_& m) {
  // The common bases that PyTorch users test for with isinstance.
  const nb::object base = make_class(m, "_ConvNd", module_class(), "Base of the convolutions.");
  make_class(m, "_ConvTransposeNd", base, "Base of the transposed convolutions.");
  bind_conv<1>(m, "Conv1d", "ConvTranspose1d");
  bind_conv<2>(m, "Conv2d", "ConvTranspose2d");
  bind_conv<3>(m, "Conv3d", "ConvTranspose3d");
  bind_pool<1>(m, "MaxPool1d", "AvgPool1d");
  bind_pool<2>(m, "MaxPool2d", "AvgPool2d");
  bind_pool<3>(m, "MaxPool3d", "AvgPool3d");
  bind_adaptive<1>(m, "AdaptiveMaxPool1d", "AdaptiveAvgPool1d");
  bind_adaptive<2>(m, "AdaptiveMaxPool2d", "AdaptiveAvgPool2d");
  bind_adaptive<3>(m, "AdaptiveMaxPool3d", "AdaptiveAvgPool3d");
}
