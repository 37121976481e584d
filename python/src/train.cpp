// SPDX-License-Identifier: Apache-2.0
// The trainer, in the submodule train: Python's loaders, functions and callbacks as the library's.
#include <nanobind/stl/function.h>

#include "bindings.h"
#include "casters.h"
#include "ds/train/callbacks.h"
#include "ds/train/trainer.h"
#include "module_object.h"

using nb::literals::operator""_a;

namespace {

using namespace ds::train;
using ds::Tensor;

/// A loader's adapter: next() gives a list of tensors or None, position() and seek() take
/// (epoch, batch, seed).
class __attribute__((visibility("hidden"))) PySource final : public BatchSource {
 public:
  explicit PySource(nb::object source) : source_(std::move(source)) {}
  bool next(std::vector<Tensor>& batch) override {
    const nb::gil_scoped_acquire gil;
    const nb::object given = source_.attr("next")();
    if (given.is_none()) return false;
    batch = nb::cast<std::vector<Tensor>>(given);
    return true;
  }
  std::optional<int64_t> size() const override {
    const nb::gil_scoped_acquire gil;
    return nb::cast<std::optional<int64_t>>(source_.attr("size")());
  }
  SourcePosition position() const override {
    const nb::gil_scoped_acquire gil;
    const auto [epoch, batch, seed] =
        nb::cast<std::tuple<uint64_t, int64_t, uint64_t>>(source_.attr("position")());
    return {epoch, batch, seed};
  }
  void seek(const SourcePosition& position) override {
    const nb::gil_scoped_acquire gil;
    source_.attr("seek")(position.epoch, position.batch, position.seed);
  }
  bool adapt() override {
    const nb::gil_scoped_acquire gil;
    return nb::cast<bool>(source_.attr("adapt")());
  }

 private:
  nb::object source_;
};

nb::dict step_dict(const StepLog& log) {
  nb::dict dict;
  dict["step"] = log.step;
  dict["loss"] = log.loss;
  dict["lr"] = log.lr;
  dict["loss_scale"] = log.loss_scale;
  dict["skipped"] = log.skipped;
  return dict;
}

nb::dict epoch_dict(const EpochLog& log) {
  nb::dict dict;
  dict["epoch"] = log.epoch;
  for (const auto& [name, value] : log.values) dict[name.c_str()] = value;
  dict["samples"] = log.samples;
  dict["seconds"] = log.seconds;
  return dict;
}

/// An object with the methods of deepseek.train.Callback, less the trainer argument.
class __attribute__((visibility("hidden"))) PyCallback final : public Callback {
 public:
  explicit PyCallback(nb::object target) : target_(std::move(target)) {}
  void on_fit_begin(MixedPrecisionTrainer&) override {
    const nb::gil_scoped_acquire gil;
    target_.attr("on_fit_begin")();
  }
  void on_epoch_begin(MixedPrecisionTrainer&, int64_t epoch) override {
    const nb::gil_scoped_acquire gil;
    target_.attr("on_epoch_begin")(epoch);
  }
  void on_step_end(MixedPrecisionTrainer&, const StepLog& log) override {
    const nb::gil_scoped_acquire gil;
    target_.attr("on_step_end")(step_dict(log));
  }
  void on_epoch_end(MixedPrecisionTrainer&, const EpochLog& log) override {
    const nb::gil_scoped_acquire gil;
    target_.attr("on_epoch_end")(epoch_dict(log));
  }
  void on_fit_end(MixedPrecisionTrainer&) override {
    const nb::gil_scoped_acquire gil;
    target_.attr("on_fit_end")();
  }

 private:
  nb::object target_;
};

CallbackPtr callback_of(const nb::object& object) {
  CallbackPtr native;
  if (nb::try_cast(object, native)) return native;
  return std::make_shared<PyCallback>(object);
}

/// A name, or a pair of a name and a function of output and target.
MetricPtr metric_of(const nb::object& object) {
  if (nb::isinstance<nb::str>(object)) return make_metric(nb::cast<std::string>(object));
  auto [name, function] = nb::cast<std::pair<std::string, MeanMetric::Function>>(object);
  return std::make_shared<MeanMetric>(name, std::move(function));
}

/// forward(batch) gives (loss, output or None, target or None).
std::function<StepResult(const std::vector<Tensor>&)> forward_of(nb::object function) {
  return [function = std::move(function)](const std::vector<Tensor>& batch) {
    const nb::gil_scoped_acquire gil;
    auto [loss, output, target] =
        nb::cast<std::tuple<Tensor, std::optional<Tensor>, std::optional<Tensor>>>(
            function(nb::cast(batch)));
    return StepResult{loss, output.value_or(Tensor()), target.value_or(Tensor())};
  };
}

void check_signals() {
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

void make_trainer(MixedPrecisionTrainer* self, nb::object model,
                  std::shared_ptr<ds::optim::Optimizer> optimizer, nb::dict given) {
  TrainerOptions o;
  o.model = share_module(model);
  o.optimizer = std::move(optimizer);
  const auto take = [&](const char* name, auto& field) {
    if (given.contains(name)) field = nb::cast<std::decay_t<decltype(field)>>(given[name]);
  };
  take("fp16_layers", o.fp16_layers);
  take("dtype", o.dtype);
  take("loss_scale", o.loss_scale);
  take("growth_interval", o.growth_interval);
  take("scheduler", o.scheduler);
  take("schedule_epochs", o.schedule_epochs);
  take("monitor", o.monitor);
  take("gradient_accumulation", o.gradient_accumulation);
  take("max_grad_norm", o.max_grad_norm);
  take("checkpoint_dir", o.checkpoint_dir);
  take("checkpoint_steps", o.checkpoint_steps);
  take("checkpoint_frozen", o.checkpoint_frozen);
  take("resume", o.resume);
  take("terminal", o.terminal);
  take("write", o.write);
  o.progress = nullptr;
  o.forward = forward_of(given["forward"]);
  for (nb::handle metric : given["metrics"]) o.metrics.push_back(metric_of(nb::borrow(metric)));
  for (nb::handle callback : given["callbacks"])
    o.callbacks.push_back(callback_of(nb::borrow(callback)));
  o.poll = check_signals;
  new (self) MixedPrecisionTrainer(std::move(o));
}

nb::list fit(MixedPrecisionTrainer& self, nb::object train, int64_t epochs, nb::object validation) {
  PySource source(train), test(validation);
  std::vector<EpochLog> history;
  {
    const Unlocked unlocked;
    history = self.fit(source, epochs, validation.is_none() ? nullptr : &test);
  }
  nb::list out;
  for (const EpochLog& log : history) out.append(epoch_dict(log));
  return out;
}

nb::dict evaluate(MixedPrecisionTrainer& self, nb::object data) {
  PySource source(data);
  NamedValues values;
  {
    const Unlocked unlocked;
    values = self.evaluate(source);
  }
  nb::dict out;
  for (const auto& [name, value] : values) out[name.c_str()] = value;
  return out;
}

void bind_trainer(nb::module_& m) {
  nb::class_<MixedPrecisionTrainer>(m, "Trainer", nb::is_weak_referenceable())
      .def("__init__", &make_trainer)
      .def("fit", &fit, "train"_a, "epochs"_a, "validation"_a.none())
      .def("evaluate", &evaluate)
      .def("planned_peak", &MixedPrecisionTrainer::planned_peak, "batch"_a, "exact"_a = false)
      .def("set_gradient_accumulation", &MixedPrecisionTrainer::set_gradient_accumulation)
      .def("stop", &MixedPrecisionTrainer::stop)
      .def("say", &MixedPrecisionTrainer::say)
      .def("save_checkpoint", &MixedPrecisionTrainer::save_checkpoint)
      .def("load_checkpoint", &MixedPrecisionTrainer::load_checkpoint)
      .def_prop_ro("checkpoint_path", &MixedPrecisionTrainer::checkpoint_path)
      .def_prop_ro("interrupted", &MixedPrecisionTrainer::interrupted)
      .def_prop_ro("loss_scale", &MixedPrecisionTrainer::loss_scale)
      .def_prop_ro("skipped_steps", &MixedPrecisionTrainer::skipped_steps)
      .def_prop_ro("step_count", &MixedPrecisionTrainer::step_count)
      .def_prop_ro("epoch", &MixedPrecisionTrainer::epoch)
      .def_prop_ro("precision",
                   [](const MixedPrecisionTrainer& self) { return self.precision().text; })
      .def_prop_ro("dtype", [](const MixedPrecisionTrainer& self) {
        const auto& autocast = self.precision().autocast;
        return autocast ? autocast->dtype : ds::DType::f32;
      });
}

void bind_writer(nb::module_& m) {
  using ds::io::EventWriter;
  nb::class_<EventWriter>(m, "EventWriter")
      .def(nb::init<const std::string&, const std::string&>(), "folder"_a, "suffix"_a = "")
      .def("add_scalars", &EventWriter::add_scalars)
      .def("add_text", &EventWriter::add_text)
      .def("add_histogram", &EventWriter::add_histogram)
      .def("flush", &EventWriter::flush)
      .def_prop_ro("path", &EventWriter::path);
}

}  // namespace

void bind_train(nb::module_& module) {
  nb::module_ m = module.def_submodule("train", "The training loop of the C++ library.");
  PyObject* bases = PyTuple_Pack(2, module.attr("Error").ptr(), PyExc_FloatingPointError);
  PyObject* type = PyErr_NewExceptionWithDoc("deepseek.NonFiniteError",
                                             "A run whose loss or gradients stay infinite or NaN.",
                                             bases, nullptr);
  Py_DECREF(bases);
  module.attr("NonFiniteError") = nb::steal(type);
  nb::register_exception_translator(
      [](const std::exception_ptr& p, void* payload) {
        try {
          std::rethrow_exception(p);
        } catch (const NonFiniteError& e) {
          PyErr_SetString(static_cast<PyObject*>(payload), e.what());
        }
      },
      type);
  nb::class_<Callback>(m, "Callback");
  nb::class_<EarlyStopping, Callback>(m, "EarlyStopping")
      .def(nb::init<const std::string&, int64_t, bool, double>())
      .def_prop_ro("best", &EarlyStopping::best);
  nb::class_<ModelCheckpoint, Callback>(m, "ModelCheckpoint")
      .def(nb::init<std::string, const std::string&, bool>())
      .def_prop_ro("best", &ModelCheckpoint::best);
  nb::class_<TensorBoard, Callback>(m, "TensorBoard")
      .def(nb::init<const std::string&>())
      .def_prop_ro("path", &TensorBoard::path);
  bind_writer(m);
  bind_trainer(m);
}
