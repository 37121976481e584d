// SPDX-License-Identifier: Apache-2.0
// Normalisation layers.
#include "ds/base/error.h"
#include "ds/nn/layers_norm.h"
#include "nn_layers.h"

namespace {

using namespace ds::nn;

template <class T>
LayerClass<T>& add_resets(LayerClass<T>& layer) {
  layer.def("reset_parameters", [](T& self) {
    self.reset_running_stats();
    self.reset_parameters();
  });
  layer.def("reset_running_stats", [](T& self) { self.reset_running_stats(); });
  return layer;
}

template <int D>
void bind_batch_norm(nb::module_& m, const char* name) {
  using T = BatchNorm<D>;
  LayerClass<T> layer(m, name, m.attr("_BatchNorm"),
                      "Normalisation over the batch and space of each channel.");
  layer
      .factory(
          [](int64_t features, double eps, std::optional<double> momentum, bool affine, bool track,
             bool bias) {
            return std::make_shared<T>(features, eps, momentum, affine, track, bias);
          },
          "num_features"_a, "eps"_a = 1e-5, nb::arg("momentum").none() = 0.1, "affine"_a = true,
          "track_running_stats"_a = true, "bias"_a = true)
      .field("num_features", &T::num_features)
      .field("eps", &T::eps)
      .field("momentum", &T::momentum)
      .field("affine", &T::affine)
      .field("track_running_stats", &T::track_running_stats)
      .forward();
  add_resets(layer);
}

template <int D>
void bind_instance_norm(nb::module_& m, const char* name) {
  using T = InstanceNorm<D>;
  LayerClass<T> layer(m, name, m.attr("_InstanceNorm"),
                      "Normalisation over the space of each channel of each sample.");
  layer
      .factory(
          [](int64_t features, double eps, double momentum, bool affine, bool track, bool bias) {
            return std::make_shared<T>(features, eps, momentum, affine, track, bias);
          },
          "num_features"_a, "eps"_a = 1e-5, "momentum"_a = 0.1, "affine"_a = false,
          "track_running_stats"_a = false, "bias"_a = true)
      .field("num_features", &T::num_features)
      .field("eps", &T::eps)
      .field("momentum", &T::momentum)
      .field("affine", &T::affine)
      .field("track_running_stats", &T::track_running_stats)
      .forward();
  add_resets(layer);
}

ds::Shape shape_of(const ds::PerDim& sizes) { return sizes.given(); }

}  // namespace

void bind_norm_layers(nb::module_& m) {
  // The common bases that PyTorch users test for with isinstance.
  const nb::object norm = make_class(m, "_NormBase", module_class(), "Base of normalisation.");
  make_class(m, "_BatchNorm", norm, "Base of the batch normalisations.");
  make_class(m, "_InstanceNorm", norm, "Base of the instance normalisations.");
  bind_batch_norm<1>(m, "BatchNorm1d");
  bind_batch_norm<2>(m, "BatchNorm2d");
  bind_batch_norm<3>(m, "BatchNorm3d");
  bind_instance_norm<1>(m, "InstanceNorm1d");
  bind_instance_norm<2>(m, "InstanceNorm2d");
  bind_instance_norm<3>(m, "InstanceNorm3d");
  LayerClass<LayerNorm>(m, "LayerNorm", "Normalisation over the last dimensions.")
      .factory(
          [](ds::PerDim shape, double eps, bool affine, bool bias) {
            return std::make_shared<LayerNorm>(shape_of(shape), eps, affine, bias);
          },
          "normalized_shape"_a, "eps"_a = 1e-5, "elementwise_affine"_a = true, "bias"_a = true)
      .field("normalized_shape", &LayerNorm::normalized_shape)
      .field("eps", &LayerNorm::eps)
      .field("elementwise_affine", &LayerNorm::elementwise_affine)
      .def("reset_parameters", [](LayerNorm& self) { self.reset_parameters(); })
      .forward();
  LayerClass<RMSNorm>(m, "RMSNorm", "Root mean square normalisation over the last dimensions.")
      .factory([](ds::PerDim shape, std::optional<double> eps,
                  bool affine) { return std::make_shared<RMSNorm>(shape_of(shape), eps, affine); },
               "normalized_shape"_a, "eps"_a = nb::none(), "elementwise_affine"_a = true)
      .field("normalized_shape", &RMSNorm::normalized_shape)
      .field("eps", &RMSNorm::eps)
      .field("elementwise_affine", &RMSNorm::elementwise_affine)
      .def("reset_parameters", [](RMSNorm& self) { self.reset_parameters(); })
      .forward("x");
  LayerClass<GroupNorm>(m, "GroupNorm", "Normalisation over groups of channels.")
      .factory(
          [](int64_t groups, int64_t channels, double eps, bool affine, bool bias) {
            return std::make_shared<GroupNorm>(groups, channels, eps, affine, bias);
          },
          "num_groups"_a, "num_channels"_a, "eps"_a = 1e-5, "affine"_a = true, "bias"_a = true)
      .field("num_groups", &GroupNorm::num_groups)
      .field("num_channels", &GroupNorm::num_channels)
      .field("eps", &GroupNorm::eps)
      .field("affine", &GroupNorm::affine)
      .def("reset_parameters", [](GroupNorm& self) { self.reset_parameters(); })
      .forward();
  LayerClass<LocalResponseNorm>(m, "LocalResponseNorm")
      .init([](int64_t size, double alpha, double beta,
               double k) { return std::make_shared<LocalResponseNorm>(size, alpha, beta, k); },
            "size"_a, "alpha"_a = 1e-4, "beta"_a = 0.75, "k"_a = 1.0)
      .field("size", &LocalResponseNorm::size)
      .field("alpha", &LocalResponseNorm::alpha)
      .field("beta", &LocalResponseNorm::beta)
      .field("k", &LocalResponseNorm::k)
      .forward();
}
