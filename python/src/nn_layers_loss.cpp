// SPDX-License-Identifier: Apache-2.0
// Losses. size_average and reduce are PyTorch's old spelling of reduction.
#include "ds/nn/layers_loss.h"
#include "nn_layers.h"

namespace {

using namespace ds::nn;
using ds::Tensor;

std::string reduction_of(std::optional<bool> size_average, std::optional<bool> reduce,
                         const std::string& reduction) {
  if (!size_average && !reduce) return reduction;
  if (!reduce.value_or(true)) return "none";
  return size_average.value_or(true) ? "mean" : "sum";
}

using Legacy = std::optional<bool>;
const auto kSizeAverage = nb::arg("size_average").none();
const auto kReduce = nb::arg("reduce").none();

template <class T>
LayerClass<T>& two(LayerClass<T>& layer, const char* a = "input", const char* b = "target") {
  layer.field("reduction", &T::reduction);
  return layer.def(
      "forward",
      [](T& self, const Tensor& x, const Tensor& y) {
        return self.forward({x, y});
      },
      nb::arg(a), nb::arg(b));
}

template <class T>
LayerClass<T>& three(LayerClass<T>& layer, const char* a, const char* b, const char* c) {
  layer.field("reduction", &T::reduction);
  return layer.def(
      "forward",
      [](T& self, const Tensor& x, const Tensor& y, const Tensor& z) {
        return self.forward({x, y, z});
      },
      nb::arg(a), nb::arg(b), nb::arg(c));
}

/// A loss with nothing but a reduction.
template <class T>
void bind_simple(nb::module_& m, const char* name) {
  LayerClass<T> layer(m, name, m.attr("_Loss"), "");
  layer.init(
      [](Legacy average, Legacy reduce, std::string reduction) {
        return std::make_shared<T>(reduction_of(average, reduce, reduction));
      },
      kSizeAverage = nb::none(), kReduce = nb::none(), "reduction"_a = "mean");
  two(layer);
}

/// A loss with a margin before the reduction.
template <class T>
LayerClass<T> bind_margin(nb::module_& m, const char* name, double margin) {
  LayerClass<T> layer(m, name, m.attr("_Loss"), "");
  layer
      .init(
          [](double value, Legacy average, Legacy reduce, std::string reduction) {
            return std::make_shared<T>(value, reduction_of(average, reduce, reduction));
          },
          "margin"_a = margin, kSizeAverage = nb::none(), kReduce = nb::none(),
          "reduction"_a = "mean")
      .field("margin", &T::margin);
  return layer;
}

/// Reads a weight back for pickling: it is a buffer.
template <class T>
void add_weight(LayerClass<T>& layer, const char* name = "weight") {
  layer.argument(name, [name](const T& self) { return self.buffer(name); });
}

void bind_classification(nb::module_& m) {
  const nb::none none;
  LayerClass<CrossEntropyLoss> cross(m, "CrossEntropyLoss", m.attr("_Loss"), "");
  cross
      .init(
          [](const Weight& weight, Legacy average, int64_t ignore, Legacy reduce,
             std::string reduction, double smoothing) {
            return std::make_shared<CrossEntropyLoss>(
                weight, ignore, reduction_of(average, reduce, reduction), smoothing);
          },
          "weight"_a = none, kSizeAverage = none, "ignore_index"_a = -100, kReduce = none,
          "reduction"_a = "mean", "label_smoothing"_a = 0.0)
      .field("ignore_index", &CrossEntropyLoss::ignore_index)
      .field("label_smoothing", &CrossEntropyLoss::label_smoothing);
  add_weight(cross);
  two(cross);
  LayerClass<NLLLoss> nll(m, "NLLLoss", m.attr("_Loss"), "");
  nll.init(
         [](const Weight& weight, Legacy average, int64_t ignore, Legacy reduce,
            std::string reduction) {
           return std::make_shared<NLLLoss>(weight, ignore,
                                            reduction_of(average, reduce, reduction));
         },
         "weight"_a = none, kSizeAverage = none, "ignore_index"_a = -100, kReduce = none,
         "reduction"_a = "mean")
      .field("ignore_index", &NLLLoss::ignore_index);
  add_weight(nll);
  two(nll);
  LayerClass<BCELoss> bce(m, "BCELoss", m.attr("_Loss"), "");
  bce.init(
      [](const Weight& weight, Legacy average, Legacy reduce, std::string reduction) {
        return std::make_shared<BCELoss>(weight, reduction_of(average, reduce, reduction));
      },
      "weight"_a = none, kSizeAverage = none, kReduce = none, "reduction"_a = "mean");
  add_weight(bce);
  two(bce);
  LayerClass<BCEWithLogitsLoss> logits(m, "BCEWithLogitsLoss", m.attr("_Loss"), "");
  logits.init(
      [](const Weight& weight, Legacy average, Legacy reduce, std::string reduction,
         const Weight& pos) {
        return std::make_shared<BCEWithLogitsLoss>(weight, reduction_of(average, reduce, reduction),
                                                   pos);
      },
      "weight"_a = none, kSizeAverage = none, kReduce = none, "reduction"_a = "mean",
      "pos_weight"_a = none);
  add_weight(logits);
  add_weight(logits, "pos_weight");
  two(logits);
  LayerClass<MultiLabelSoftMarginLoss> soft(m, "MultiLabelSoftMarginLoss", m.attr("_Loss"), "");
  soft.init(
      [](const Weight& weight, Legacy average, Legacy reduce, std::string reduction) {
        return std::make_shared<MultiLabelSoftMarginLoss>(weight,
                                                          reduction_of(average, reduce, reduction));
      },
      "weight"_a = none, kSizeAverage = none, kReduce = none, "reduction"_a = "mean");
  add_weight(soft);
  two(soft);
  LayerClass<MultiMarginLoss> multi(m, "MultiMarginLoss", m.attr("_Loss"), "");
  multi
      .init(
          [](int64_t p, double margin, const Weight& weight, Legacy average, Legacy reduce,
             std::string reduction) {
            return std::make_shared<MultiMarginLoss>(p, margin, weight,
                                                     reduction_of(average, reduce, reduction));
          },
          "p"_a = 1, "margin"_a = 1.0, "weight"_a = none, kSizeAverage = none, kReduce = none,
          "reduction"_a = "mean")
      .field("p", &MultiMarginLoss::p)
      .field("margin", &MultiMarginLoss::margin);
  add_weight(multi);
  two(multi);
}

void bind_regression(nb::module_& m) {
  const nb::none none;
  LayerClass<SmoothL1Loss> smooth(m, "SmoothL1Loss", m.attr("_Loss"), "");
  smooth
      .init(
          [](Legacy average, Legacy reduce, std::string reduction, double beta) {
            return std::make_shared<SmoothL1Loss>(reduction_of(average, reduce, reduction), beta);
          },
          kSizeAverage = none, kReduce = none, "reduction"_a = "mean", "beta"_a = 1.0)
      .field("beta", &SmoothL1Loss::beta);
  two(smooth);
  LayerClass<HuberLoss> huber(m, "HuberLoss", m.attr("_Loss"), "");
  huber
      .init([](std::string reduction,
               double delta) { return std::make_shared<HuberLoss>(reduction, delta); },
            "reduction"_a = "mean", "delta"_a = 1.0)
      .field("delta", &HuberLoss::delta);
  two(huber);
  LayerClass<KLDivLoss> kl(m, "KLDivLoss", m.attr("_Loss"), "");
  kl.init(
        [](Legacy average, Legacy reduce, std::string reduction, bool log_target) {
          return std::make_shared<KLDivLoss>(reduction_of(average, reduce, reduction), log_target);
        },
        kSizeAverage = none, kReduce = none, "reduction"_a = "mean", "log_target"_a = false)
      .field("log_target", &KLDivLoss::log_target);
  two(kl);
  LayerClass<PoissonNLLLoss> poisson(m, "PoissonNLLLoss", m.attr("_Loss"), "");
  poisson
      .init(
          [](bool log_input, bool full, Legacy average, double eps, Legacy reduce,
             std::string reduction) {
            return std::make_shared<PoissonNLLLoss>(log_input, full, eps,
                                                    reduction_of(average, reduce, reduction));
          },
          "log_input"_a = true, "full"_a = false, kSizeAverage = none, "eps"_a = 1e-8,
          kReduce = none, "reduction"_a = "mean")
      .field("log_input", &PoissonNLLLoss::log_input)
      .field("full", &PoissonNLLLoss::full)
      .field("eps", &PoissonNLLLoss::eps);
  two(poisson, "log_input", "target");
  LayerClass<GaussianNLLLoss> gaussian(m, "GaussianNLLLoss", m.attr("_Loss"), "");
  gaussian
      .init(
          [](bool full, double eps, std::string reduction) {
            return std::make_shared<GaussianNLLLoss>(full, eps, reduction);
          },
          "full"_a = false, "eps"_a = 1e-6, "reduction"_a = "mean")
      .field("full", &GaussianNLLLoss::full)
      .field("eps", &GaussianNLLLoss::eps);
  three(gaussian, "input", "target", "var");
}

void bind_embedding_losses(nb::module_& m) {
  const nb::none none;
  auto cosine = bind_margin<CosineEmbeddingLoss>(m, "CosineEmbeddingLoss", 0.0);
  three(cosine, "input1", "input2", "target");
  auto ranking = bind_margin<MarginRankingLoss>(m, "MarginRankingLoss", 0.0);
  three(ranking, "input1", "input2", "target");
  auto hinge = bind_margin<HingeEmbeddingLoss>(m, "HingeEmbeddingLoss", 1.0);
  two(hinge);
  LayerClass<TripletMarginLoss> triplet(m, "TripletMarginLoss", m.attr("_Loss"), "");
  triplet
      .init(
          [](double margin, double p, double eps, bool swap, Legacy average, Legacy reduce,
             std::string reduction) {
            return std::make_shared<TripletMarginLoss>(margin, p, eps, swap,
                                                       reduction_of(average, reduce, reduction));
          },
          "margin"_a = 1.0, "p"_a = 2.0, "eps"_a = 1e-6, "swap"_a = false, kSizeAverage = none,
          kReduce = none, "reduction"_a = "mean")
      .field("margin", &TripletMarginLoss::margin)
      .field("p", &TripletMarginLoss::p)
      .field("eps", &TripletMarginLoss::eps)
      .field("swap", &TripletMarginLoss::swap);
  three(triplet, "anchor", "positive", "negative");
  LayerClass<CTCLoss> ctc(m, "CTCLoss", m.attr("_Loss"), "");
  ctc.init([](int64_t blank, std::string reduction,
              bool zero) { return std::make_shared<CTCLoss>(blank, reduction, zero); },
           "blank"_a = 0, "reduction"_a = "mean", "zero_infinity"_a = false)
      .field("blank", &CTCLoss::blank)
      .field("reduction", &CTCLoss::reduction)
      .field("zero_infinity", &CTCLoss::zero_infinity)
      .def(
          "forward",
          [](CTCLoss& self, const Tensor& x, const Tensor& targets, nb::object lengths,
             nb::object target_lengths) {
            const nb::object tensor = nb::module_::import_("deepseek._core").attr("as_tensor");
            return self.forward({x, targets, nb::cast<Tensor>(tensor(lengths)),
                                 nb::cast<Tensor>(tensor(target_lengths))});
          },
          "log_probs"_a, "targets"_a, "input_lengths"_a, "target_lengths"_a);
}

}  // namespace

void bind_loss_layers(nb::module_& m) {
  make_class(m, "_Loss", module_class(), "Base of the losses.");
  bind_simple<MSELoss>(m, "MSELoss");
  bind_simple<L1Loss>(m, "L1Loss");
  bind_simple<SoftMarginLoss>(m, "SoftMarginLoss");
  bind_simple<MultiLabelMarginLoss>(m, "MultiLabelMarginLoss");
  bind_classification(m);
  bind_regression(m);
  bind_embedding_losses(m);
}
