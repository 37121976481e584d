// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedulers, in the submodule optim. The Python classes over these have PyTorch's
// arguments.
#include <nanobind/stl/function.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/shared_ptr.h>

#include "bindings.h"
#include "casters.h"
#include "ds/optim/schedulers_compose.h"
#include "ds/optim/schedulers_cyclic.h"

using nb::literals::operator""_a;

namespace {

using namespace ds::optim;

/// A scheduler written in Python: `next` is its get_lr().
class __attribute__((visibility("hidden"))) CustomLR final : public LRScheduler {
 public:
  CustomLR(Optimizer& optimizer, std::function<std::vector<double>()> next, int64_t last_epoch)
      : LRScheduler(optimizer, last_epoch), next_(std::move(next)) {}
  std::string type_name() const override { return "LRScheduler"; }
  using LRScheduler::begin;

 protected:
  std::vector<double> next_lrs() override { return next_(); }

 private:
  std::function<std::vector<double>()> next_;
};

/// A class whose constructor takes the optimizer, then `Args`.
template <class S, class... Args>
void bind(nb::module_& m, const char* name) {
  nb::class_<S, LRScheduler>(m, name).def(nb::init<Optimizer&, Args...>(), nb::keep_alive<1, 2>());
}

void bind_base(nb::module_& m) {
  nb::class_<LRScheduler>(m, "LRScheduler")
      .def("step", nb::overload_cast<>(&LRScheduler::step))
      .def_prop_ro("last_lr", &LRScheduler::last_lr)
      .def_prop_ro("base_lrs", &LRScheduler::base_lrs)
      .def_prop_ro("last_epoch", &LRScheduler::last_epoch)
      .def("state_dict", &LRScheduler::state_dict)
      .def("load_state_dict", &LRScheduler::load_state_dict);
  nb::class_<GroupNumbers, Optimizer>(m, "GroupNumbers")
      .def(nb::init<std::string, std::vector<Hyper>>(), "type_name"_a, "numbers"_a);
  nb::class_<CustomLR, LRScheduler>(m, "CustomLR")
      .def(nb::init<Optimizer&, std::function<std::vector<double>()>, int64_t>(),
           nb::keep_alive<1, 2>())
      .def("begin", &CustomLR::begin);
}

void bind_rules(nb::module_& m) {
  bind<StepLR, int64_t, double, int64_t>(m, "StepLR");
  bind<MultiStepLR, std::vector<int64_t>, double, int64_t>(m, "MultiStepLR");
  bind<ConstantLR, double, int64_t, int64_t>(m, "ConstantLR");
  bind<LinearLR, double, double, int64_t, int64_t>(m, "LinearLR");
  bind<ExponentialLR, double, int64_t>(m, "ExponentialLR");
  bind<PolynomialLR, int64_t, double, int64_t>(m, "PolynomialLR");
  bind<CosineAnnealingLR, int64_t, double, int64_t>(m, "CosineAnnealingLR");
  bind<LambdaLR, std::vector<LambdaLR::Lambda>, int64_t>(m, "LambdaLR");
  bind<MultiplicativeLR, std::vector<LambdaLR::Lambda>, int64_t>(m, "MultiplicativeLR");
  nb::class_<CosineAnnealingWarmRestarts, LRScheduler>(m, "CosineAnnealingWarmRestarts")
      .def(nb::init<Optimizer&, int64_t, int64_t, double, int64_t>(), nb::keep_alive<1, 2>())
      .def("step_to", &CosineAnnealingWarmRestarts::step_to);
  m.def("constant_with_warmup", &constant_with_warmup, nb::keep_alive<0, 1>());
  m.def("linear_with_warmup", &linear_with_warmup, nb::keep_alive<0, 1>());
  m.def("cosine_with_warmup", &cosine_with_warmup, nb::keep_alive<0, 1>());
}

void bind_cycles(nb::module_& m) {
  nb::class_<OneCycleLR, LRScheduler>(m, "OneCycleLR")
      .def(
          "__init__",
          [](OneCycleLR* self, Optimizer& optimizer, std::vector<double> max_lr,
             int64_t total_steps, double pct_start, bool linear, bool cycle_momentum,
             std::vector<double> base_momentum, std::vector<double> max_momentum, double div_factor,
             double final_div_factor, bool three_phase, int64_t last_epoch) {
            new (self) OneCycleLR(
                optimizer, {std::move(max_lr), total_steps, pct_start, linear, cycle_momentum,
                            std::move(base_momentum), std::move(max_momentum), div_factor,
                            final_div_factor, three_phase, last_epoch});
          },
          nb::keep_alive<1, 2>());
  nb::class_<CyclicLR, LRScheduler>(m, "CyclicLR")
      .def(
          "__init__",
          [](CyclicLR* self, Optimizer& optimizer, std::vector<double> base_lr,
             std::vector<double> max_lr, double up, double down, int mode, double gamma,
             std::function<double(double)> scale, bool by_cycle, bool cycle_momentum,
             std::vector<double> base_momentum, std::vector<double> max_momentum,
             int64_t last_epoch) {
            new (self) CyclicLR(
                optimizer,
                {std::move(base_lr), std::move(max_lr), up, down,
                 static_cast<CyclicOptions::Mode>(mode), gamma, std::move(scale), by_cycle,
                 cycle_momentum, std::move(base_momentum), std::move(max_momentum), last_epoch});
          },
          nb::keep_alive<1, 2>(), "optimizer"_a, "base_lr"_a, "max_lr"_a, "up"_a, "down"_a,
          "mode"_a, "gamma"_a, "scale"_a.none(), "by_cycle"_a, "cycle_momentum"_a,
          "base_momentum"_a, "max_momentum"_a, "last_epoch"_a);
}

void bind_compositions(nb::module_& m) {
  bind<SequentialLR, std::vector<LRSchedulerPtr>, std::vector<int64_t>, int64_t>(m, "SequentialLR");
  nb::class_<ChainedScheduler, LRScheduler>(m, "ChainedScheduler")
      .def(nb::init<std::vector<LRSchedulerPtr>>());
  nb::class_<ReduceLROnPlateau, LRScheduler>(m, "ReduceLROnPlateau")
      .def(
          "__init__",
          [](ReduceLROnPlateau* self, Optimizer& optimizer, bool maximize, double factor,
             int64_t patience, double threshold, bool absolute, int64_t cooldown,
             std::vector<double> min_lr, double eps) {
            new (self) ReduceLROnPlateau(optimizer, {maximize, factor, patience, threshold,
                                                     absolute, cooldown, std::move(min_lr), eps});
          },
          nb::keep_alive<1, 2>())
      .def("step", nb::overload_cast<double>(&ReduceLROnPlateau::step))
      .def_prop_ro("best", &ReduceLROnPlateau::best)
      .def_prop_ro("num_bad_epochs", &ReduceLROnPlateau::bad_epochs);
}

}  // namespace

void bind_schedulers(nb::module_& m) {
  nb::module_ f = nb::borrow<nb::module_>(m.attr("optim"));
  bind_base(f);
  bind_rules(f);
  bind_cycles(f);
  bind_compositions(f);
}
