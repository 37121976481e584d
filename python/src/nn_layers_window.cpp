// SPDX-License-Identifier: Apache-2.0
// Padding, folding, unpooling and distances.
#include "ds/base/error.h"
#include "ds/nn/layers_padding.h"
#include "ds/nn/layers_window.h"
#include "nn_layers.h"

namespace {

using namespace ds::nn;
using ds::PerDim;
using ds::Tensor;

template <PadKind kind, int D>
void bind_pad(nb::module_& m, const std::string& stem) {
  using T = PadLayer<kind, D>;
  const std::string name = stem + "Pad" + std::to_string(D) + "d";
  LayerClass<T> layer(m, name.c_str(), "Adds borders.");
  if constexpr (kind == PadKind::constant) {
    layer.init([](PerDim padding, double value) { return std::make_shared<T>(padding, value); },
               "padding"_a, "value"_a);
    layer.field("value", &Padding::value);
  } else {
    layer.init([](PerDim padding) { return std::make_shared<T>(padding); }, "padding"_a);
  }
  layer.field("padding", &Padding::padding).forward();
}

template <PadKind kind>
void bind_pads(nb::module_& m, const char* stem) {
  bind_pad<kind, 1>(m, stem);
  bind_pad<kind, 2>(m, stem);
  bind_pad<kind, 3>(m, stem);
}

void bind_folds(nb::module_& m) {
  LayerClass<Unfold>(m, "Unfold", "Windows of images as columns.")
      .init(
          [](PerDim kernel, PerDim dilation, PerDim padding, PerDim stride) {
            return std::make_shared<Unfold>(kernel, dilation, padding, stride);
          },
          "kernel_size"_a, "dilation"_a = 1, "padding"_a = 0, "stride"_a = 1)
      .field("kernel_size", &Unfold::kernel_size)
      .field("dilation", &Unfold::dilation)
      .field("padding", &Unfold::padding)
      .field("stride", &Unfold::stride)
      .forward();
  LayerClass<Fold>(m, "Fold", "Columns summed back into images.")
      .init(
          [](PerDim size, PerDim kernel, PerDim dilation, PerDim padding, PerDim stride) {
            return std::make_shared<Fold>(size, kernel, dilation, padding, stride);
          },
          "output_size"_a, "kernel_size"_a, "dilation"_a = 1, "padding"_a = 0, "stride"_a = 1)
      .field("output_size", &Fold::output_size)
      .field("kernel_size", &Fold::kernel_size)
      .field("dilation", &Fold::dilation)
      .field("padding", &Fold::padding)
      .field("stride", &Fold::stride)
      .forward();
}

template <int D>
void bind_pools(nb::module_& m) {
  const std::string suffix = std::to_string(D) + "d";
  using L = LPPool<D>;
  LayerClass<L>(m, ("LPPool" + suffix).c_str(), "(sum x^p)^(1/p) of windows.")
      .init([](double norm, PerDim kernel, PerDim stride,
               bool ceil) { return std::make_shared<L>(norm, kernel, stride, ceil); },
            "norm_type"_a, "kernel_size"_a, "stride"_a = nb::none(), "ceil_mode"_a = false)
      .field("norm_type", &L::norm_type)
      .field("kernel_size", &L::kernel_size)
      .field("stride", &L::stride)
      .field("ceil_mode", &L::ceil_mode)
      .forward();
  using U = MaxUnpool<D>;
  LayerClass<U>(m, ("MaxUnpool" + suffix).c_str(), "Values of max pooling at their indices.")
      .init([](PerDim kernel, PerDim stride,
               PerDim padding) { return std::make_shared<U>(kernel, stride, padding); },
            "kernel_size"_a, "stride"_a = nb::none(), "padding"_a = 0)
      .field("kernel_size", &U::kernel_size)
      .field("stride", &U::stride)
      .field("padding", &U::padding)
      .def(
          "forward",
          [](U& self, const Tensor& x, const Tensor& indices,
             const std::optional<ds::Shape>& size) { return self.forward(x, indices, size); },
          "input"_a, "indices"_a, "output_size"_a = nb::none());
}

template <class T>
LayerClass<T>& of_two(LayerClass<T>& layer) {
  return layer.def(
      "forward", [](T& self, const Tensor& a, const Tensor& b) { return self.forward(a, b); },
      "x1"_a, "x2"_a);
}

void bind_distances(nb::module_& m) {
  LayerClass<CosineSimilarity> cosine(m, "CosineSimilarity");
  cosine
      .init([](int64_t dim, double eps) { return std::make_shared<CosineSimilarity>(dim, eps); },
            "dim"_a = 1, "eps"_a = 1e-8)
      .field("dim", &CosineSimilarity::dim)
      .field("eps", &CosineSimilarity::eps);
  of_two(cosine);
  LayerClass<PairwiseDistance> distance(m, "PairwiseDistance");
  distance
      .init([](double p, double eps,
               bool keep) { return std::make_shared<PairwiseDistance>(p, eps, keep); },
            "p"_a = 2.0, "eps"_a = 1e-6, "keepdim"_a = false)
      .field("norm", &PairwiseDistance::norm)
      .field("eps", &PairwiseDistance::eps)
      .field("keepdim", &PairwiseDistance::keepdim)
      .argument("p", [](const PairwiseDistance& self) { return self.norm; });
  of_two(distance);
}

void bind_embedding_bag(nb::module_& m) {
  const nb::none none;
  using T = EmbeddingBag;
  LayerClass<T>(m, "EmbeddingBag", "Sum, mean or max of bags of rows of a table.")
      .factory(
          [](int64_t rows, int64_t size, std::optional<double> max_norm, double, bool by_freq,
             std::string mode, bool, const std::optional<Tensor>& weight, bool last,
             std::optional<int64_t> padding) {
            DS_CHECK(!max_norm && !by_freq, NotImplementedError,
                     "EmbeddingBag: max_norm and scale_grad_by_freq are not available");
            auto made = std::make_shared<T>(rows, size, mode, last, padding);
            if (weight) made->parameter("weight").set_data(*weight);
            return made;
          },
          "num_embeddings"_a, "embedding_dim"_a, "max_norm"_a = none, "norm_type"_a = 2.0,
          "scale_grad_by_freq"_a = false, "mode"_a = "mean", "sparse"_a = false, "_weight"_a = none,
          "include_last_offset"_a = false, "padding_idx"_a = none)
      .field("num_embeddings", &T::num_embeddings)
      .field("embedding_dim", &T::embedding_dim)
      .field("mode", &T::mode)
      .field("include_last_offset", &T::include_last_offset)
      .field("padding_idx", &T::padding_idx)
      .def(
          "forward",
          [](T& self, const Tensor& x, const std::optional<Tensor>& offsets,
             const std::optional<Tensor>& weights) { return self.forward(x, offsets, weights); },
          "input"_a, "offsets"_a = none, "per_sample_weights"_a = none);
}

}  // namespace

void bind_window_layers(nb::module_& m) {
  bind_pads<PadKind::zero>(m, "Zero");
  bind_pads<PadKind::constant>(m, "Constant");
  bind_pads<PadKind::reflection>(m, "Reflection");
  bind_pads<PadKind::replication>(m, "Replication");
  bind_pads<PadKind::circular>(m, "Circular");
  bind_folds(m);
  bind_pools<1>(m);
  bind_pools<2>(m);
  bind_pools<3>(m);
  bind_distances(m);
  bind_embedding_bag(m);
}
