// SPDX-License-Identifier: Apache-2.0
// New tensors, random numbers.
#include "device_arg.h"
#include "functions.h"

namespace {

using ds::Device;
using ds::DType;
using ds::Generator;
using ds::Operand;
using ds::Shape;
using ds::Tensor;
using MaybeDType = std::optional<DType>;
using MaybeDevice = std::optional<DeviceArg>;

Device device_or_default(const MaybeDevice& device) {
  return device ? Device(*device) : ds::default_device();
}

Tensor finish(Tensor tensor, bool requires_grad) {
  if (requires_grad) tensor.requires_grad_();
  return tensor;
}

/// The number of a 0-d tensor or a number.
double number(const Operand& value) {
  return value.is_number() ? value.as_double() : value.tensor().item();
}

/// zeros(2, 3), zeros((2, 3)), zeros(size=(2, 3)).
template <class F>
void bind_filled(nb::module_& m, const char* name, F make) {
  m.def(
      name,
      [make](const nb::args& size, MaybeDType dtype, MaybeDevice device, bool requires_grad,
             std::optional<Shape> given) {
        return finish(make(given ? *given : sizes_of(size), dtype, device_or_default(device)),
                      requires_grad);
      },
      "args"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, "size"_a = nb::none(), header_doc(name));
}

template <class F>
void bind_random(nb::module_& m, const char* name, F make) {
  m.def(
      name,
      [make](const nb::args& size, Generator* generator, MaybeDType dtype, MaybeDevice device,
             bool requires_grad, std::optional<Shape> given) {
        return finish(
            make(given ? *given : sizes_of(size), dtype, device_or_default(device), generator),
            requires_grad);
      },
      "args"_a, nb::kw_only(), "generator"_a = nb::none(), "dtype"_a = nb::none(),
      "device"_a = nb::none(), "requires_grad"_a = false, "size"_a = nb::none(), header_doc(name));
}

template <class F>
void bind_like(nb::module_& m, const char* name, F make) {
  m.def(
      name,
      [make](const Tensor& input, MaybeDType dtype, MaybeDevice device, bool requires_grad) {
        const Tensor made = make(input, dtype);
        return finish(device ? ds::to_device(made, *device) : made, requires_grad);
      },
      "input"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, header_doc(name));
}

void bind_new(nb::module_& m, TensorClass& cls) {
  bind_filled(m, "zeros",
              [](const Shape& s, MaybeDType t, Device d) { return ds::zeros(s, t, d); });
  bind_filled(m, "ones", [](const Shape& s, MaybeDType t, Device d) { return ds::ones(s, t, d); });
  bind_filled(m, "empty",
              [](const Shape& s, MaybeDType t, Device d) { return ds::empty(s, t, d); });
  m.def(
      "full",
      [](const Shape& size, const Operand& value, MaybeDType dtype, MaybeDevice device,
         bool requires_grad) {
        return finish(ds::full(size, value, dtype, device_or_default(device)), requires_grad);
      },
      "size"_a, "fill_value"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, header_doc("full"));
  bind_like(m, "zeros_like", [](const Tensor& x, MaybeDType t) { return ds::zeros_like(x, t); });
  bind_like(m, "ones_like", [](const Tensor& x, MaybeDType t) { return ds::ones_like(x, t); });
  bind_like(m, "empty_like", [](const Tensor& x, MaybeDType t) { return ds::empty_like(x, t); });
  bind_like(m, "rand_like", [](const Tensor& x, MaybeDType t) { return ds::rand_like(x, t); });
  bind_like(m, "randn_like", [](const Tensor& x, MaybeDType t) { return ds::randn_like(x, t); });
  m.def(
      "full_like",
      [](const Tensor& x, const Operand& value, MaybeDType dtype, MaybeDevice device,
         bool requires_grad) {
        const Tensor made = ds::full_like(x, value, dtype);
        return finish(device ? ds::to_device(made, *device) : made, requires_grad);
      },
      "input"_a, "fill_value"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, header_doc("full_like"));
  m.def(
      "randint_like",
      [](const Tensor& x, int64_t low, std::optional<int64_t> high, MaybeDType dtype,
         MaybeDevice device) {
        const Tensor made = ds::randint_like(x, high ? low : 0, high ? *high : low, dtype);
        return device ? ds::to_device(made, *device) : made;
      },
      "input"_a, "low"_a, "high"_a = nb::none(), nb::kw_only(), "dtype"_a = nb::none(),
      "device"_a = nb::none());
  m.def(
      "scalar_tensor",
      [](const Operand& value, MaybeDType dtype, MaybeDevice device, bool requires_grad) {
        return finish(ds::scalar_tensor(value, dtype, device_or_default(device)), requires_grad);
      },
      "value"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false);
  const auto made_like = [&](const char* name, auto make) {
    cls.def(
        name,
        [make](const Tensor& x, const nb::args& size, MaybeDType dtype, MaybeDevice device,
               bool requires_grad) {
          return finish(make(sizes_of(size), dtype.value_or(x.dtype()),
                             device ? Device(*device) : x.device()),
                        requires_grad);
        },
        "size"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
        "requires_grad"_a = false);
  };
  made_like("new_zeros", [](const Shape& s, DType t, Device d) { return ds::zeros(s, t, d); });
  made_like("new_ones", [](const Shape& s, DType t, Device d) { return ds::ones(s, t, d); });
  made_like("new_empty", [](const Shape& s, DType t, Device d) { return ds::empty(s, t, d); });
  cls.def(
      "new_full",
      [](const Tensor& x, const Shape& size, const Operand& value, MaybeDType dtype,
         MaybeDevice device, bool requires_grad) {
        return finish(
            ds::full(size, value, dtype.value_or(x.dtype()), device ? Device(*device) : x.device()),
            requires_grad);
      },
      "size"_a, "fill_value"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false);
  cls.def(
      "new_tensor",
      [](const Tensor& x, nb::object data, MaybeDType dtype) {
        return nb::module_::import_("deepseek._core")
            .attr("tensor")(data, "dtype"_a = dtype.value_or(x.dtype()));
      },
      "data"_a, nb::kw_only(), "dtype"_a = nb::none());
}

void bind_ranges(nb::module_& m) {
  m.def(
      "arange",
      [](const Operand& start, const std::optional<Operand>& end, const Operand& step,
         MaybeDType dtype, MaybeDevice device, bool requires_grad) {
        const Device where = device_or_default(device);
        return finish(end ? ds::arange(start, *end, step, dtype, where)
                          : ds::arange(Operand(0), start, step, dtype, where),
                      requires_grad);
      },
      "start"_a, "end"_a = nb::none(), "step"_a = 1, nb::kw_only(), "dtype"_a = nb::none(),
      "device"_a = nb::none(), "requires_grad"_a = false, header_doc("arange"));
  m.def(
      "linspace",
      [](const Operand& start, const Operand& end, int64_t steps, MaybeDType dtype,
         MaybeDevice device, bool requires_grad) {
        return finish(
            ds::linspace(number(start), number(end), steps, dtype, device_or_default(device)),
            requires_grad);
      },
      "start"_a, "end"_a, "steps"_a, nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, header_doc("linspace"));
  m.def(
      "logspace",
      [](const Operand& start, const Operand& end, int64_t steps, double base, MaybeDType dtype,
         MaybeDevice device, bool requires_grad) {
        const Tensor made = ds::logspace(number(start), number(end), steps, base, dtype);
        return finish(device ? ds::to_device(made, *device) : made, requires_grad);
      },
      "start"_a, "end"_a, "steps"_a, "base"_a = 10.0, nb::kw_only(), "dtype"_a = nb::none(),
      "device"_a = nb::none(), "requires_grad"_a = false, header_doc("logspace"));
  m.def(
      "eye",
      [](int64_t n, std::optional<int64_t> cols, MaybeDType dtype, MaybeDevice device,
         bool requires_grad) {
        return finish(ds::eye(n, cols, dtype, device_or_default(device)), requires_grad);
      },
      "n"_a, "m"_a = nb::none(), nb::kw_only(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      "requires_grad"_a = false, header_doc("eye"));
  const auto triangle = [&](const char* name, auto make) {
    m.def(
        name,
        [make](int64_t rows, int64_t cols, int64_t offset, MaybeDType dtype, MaybeDevice device) {
          return ds::to_dtype(make(rows, cols, offset, device_or_default(device)),
                              dtype.value_or(DType::i64));
        },
        "row"_a, "col"_a, "offset"_a = 0, nb::kw_only(), "dtype"_a = nb::none(),
        "device"_a = nb::none(), header_doc(name));
  };
  triangle("tril_indices", &ds::tril_indices);
  triangle("triu_indices", &ds::triu_indices);
  m.def("vander", &ds::vander, "x"_a, "N"_a = nb::none(), "increasing"_a = false);
  m.def(
      "hann_window",
      [](int64_t n, bool periodic, MaybeDType dtype) {
        return ds::hann_window(n, periodic, dtype);
      },
      "window_length"_a, "periodic"_a = true, nb::kw_only(), "dtype"_a = nb::none());
  m.def(
      "hamming_window",
      [](int64_t n, bool periodic, double a, double b, MaybeDType dtype) {
        return ds::hamming_window(n, periodic, a, b, dtype);
      },
      "window_length"_a, "periodic"_a = true, "alpha"_a = 0.54, "beta"_a = 0.46, nb::kw_only(),
      "dtype"_a = nb::none());
  m.def(
      "bartlett_window",
      [](int64_t n, bool periodic, MaybeDType dtype) {
        return ds::bartlett_window(n, periodic, dtype);
      },
      "window_length"_a, "periodic"_a = true, nb::kw_only(), "dtype"_a = nb::none());
  m.def(
      "blackman_window",
      [](int64_t n, bool periodic, MaybeDType dtype) {
        return ds::blackman_window(n, periodic, dtype);
      },
      "window_length"_a, "periodic"_a = true, nb::kw_only(), "dtype"_a = nb::none());
  m.def(
      "kaiser_window",
      [](int64_t n, bool periodic, double beta, MaybeDType dtype) {
        return ds::kaiser_window(n, periodic, beta, dtype);
      },
      "window_length"_a, "periodic"_a = true, "beta"_a = 12.0, nb::kw_only(),
      "dtype"_a = nb::none());
}

void bind_draws(nb::module_& m, TensorClass& cls) {
  bind_random(m, "rand", [](const Shape& s, MaybeDType t, Device d, Generator* g) {
    return ds::rand(s, t, d, g);
  });
  bind_random(m, "randn", [](const Shape& s, MaybeDType t, Device d, Generator* g) {
    return ds::randn(s, t, d, g);
  });
  m.def(
      "randint",
      [](int64_t low, nb::object second, std::optional<Shape> size, Generator* generator,
         MaybeDType dtype, MaybeDevice device) {
        int64_t high;
        if (parse_int(second, high))
          return ds::randint(low, high, size.value_or(Shape()), dtype, device_or_default(device),
                             generator);
        return ds::randint(0, low,
                           second.is_none() ? size.value_or(Shape()) : nb::cast<Shape>(second),
                           dtype, device_or_default(device), generator);
      },
      "low"_a, "high"_a = nb::none(), "size"_a = nb::none(), nb::kw_only(),
      "generator"_a = nb::none(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      header_doc("randint"));
  m.def(
      "randperm",
      [](int64_t n, Generator* generator, MaybeDType dtype, MaybeDevice device) {
        return ds::randperm(n, dtype, device_or_default(device), generator);
      },
      "n"_a, nb::kw_only(), "generator"_a = nb::none(), "dtype"_a = nb::none(),
      "device"_a = nb::none(), header_doc("randperm"));
  m.def(
      "normal",
      [](const Operand& mean, const Operand& std, std::optional<Shape> size, Generator* generator,
         MaybeDType dtype, MaybeDevice device) {
        return size ? ds::normal(mean.as_double(), std.as_double(), *size, dtype,
                                 device_or_default(device), generator)
                    : ds::normal(mean, std, generator);
      },
      "mean"_a = 0.0, "std"_a = 1.0, "size"_a = nb::none(), nb::kw_only(),
      "generator"_a = nb::none(), "dtype"_a = nb::none(), "device"_a = nb::none(),
      header_doc("normal"));
  m.def(
      "bernoulli", [](const Tensor& p, Generator* g) { return ds::bernoulli(p, g); }, "input"_a,
      nb::kw_only(), "generator"_a = nb::none());
  m.def("multinomial", &ds::multinomial, "input"_a, "num_samples"_a, "replacement"_a = false,
        nb::kw_only(), "generator"_a = nb::none());
  cls.def("multinomial", &ds::multinomial, "num_samples"_a, "replacement"_a = false, nb::kw_only(),
          "generator"_a = nb::none());
  const auto fill = [](const Tensor& x, const Tensor& value) {
    const ds::GradMode no_grad(false);
    return ds::assign(x, value);
  };
  cls.def(
      "uniform_",
      [fill](const Tensor& x, double a, double b) {
        return fill(x, ds::uniform(x.shape(), a, b, x.dtype(), x.device()));
      },
      "from_"_a = 0.0, "to"_a = 1.0);
  cls.def(
      "normal_",
      [fill](const Tensor& x, double mean, double std) {
        return fill(x, ds::normal(mean, std, x.shape(), x.dtype(), x.device()));
      },
      "mean"_a = 0.0, "std"_a = 1.0);
  cls.def(
      "exponential_",
      [fill](const Tensor& x, double lambd) {
        return fill(x, ds::exponential(x.shape(), lambd, x.dtype(), x.device()));
      },
      "lambd"_a = 1.0);
  cls.def(
      "cauchy_",
      [fill](const Tensor& x, double median, double sigma, Generator* g) {
        return fill(x, ds::cauchy(x.shape(), median, sigma, x.dtype(), x.device(), g));
      },
      "median"_a = 0.0, "sigma"_a = 1.0, nb::kw_only(), "generator"_a = nb::none());
  cls.def(
      "log_normal_",
      [fill](const Tensor& x, double mean, double std, Generator* g) {
        return fill(x, ds::log_normal(x.shape(), mean, std, x.dtype(), x.device(), g));
      },
      "mean"_a = 1.0, "std"_a = 2.0, nb::kw_only(), "generator"_a = nb::none());
  cls.def(
      "geometric_",
      [fill](const Tensor& x, double p, Generator* g) {
        return fill(x, ds::geometric(x.shape(), p, DType::f32, x.device(), g));
      },
      "p"_a, nb::kw_only(), "generator"_a = nb::none());
  cls.def(
      "bernoulli",
      [](const Tensor& x, std::optional<double> p, Generator* g) {
        return p ? ds::bernoulli(x, *p, g) : ds::bernoulli(x, g);
      },
      "p"_a = nb::none(), nb::kw_only(), "generator"_a = nb::none());
  cls.def(
      "bernoulli_", [fill](const Tensor& x, double p) { return fill(x, ds::bernoulli(x, p)); },
      "p"_a = 0.5);
  cls.def(
      "random_",
      [fill](const Tensor& x, int64_t low, std::optional<int64_t> high) {
        return fill(x, ds::randint(high ? low : 0, high ? *high : (low ? low : int64_t{1} << 31),
                                   x.shape(), DType::i64, x.device()));
      },
      "from_"_a = 0, "to"_a = nb::none());
}

}  // namespace

void bind_create(nb::module_& m, TensorClass& cls) {
  nb::class_<Generator>(m, "Generator", "A source of random numbers: a seed and a counter.")
      .def(nb::init<>())
      .def(
          "manual_seed",
          [](nb::object self, uint64_t seed) {
            nb::cast<Generator&>(self).manual_seed(seed);
            return self;
          },
          "seed"_a)
      .def("initial_seed", &Generator::initial_seed)
      .def("get_state", &Generator::state)
      .def("set_state", &Generator::set_state, "state"_a);
  bind_new(m, cls);
  bind_ranges(m);
  bind_draws(m, cls);
  m.def(
      "manual_seed",
      [](uint64_t seed) {
        ds::manual_seed(seed);
        return nb::cast(&ds::default_generator(), nb::rv_policy::reference);
      },
      "seed"_a, header_doc("manual_seed"));
  m.def("get_rng_state", &ds::rng_state,
        "State of the default generator: seed and number of calls.");
  m.def("set_rng_state", &ds::set_rng_state, "new_state"_a);
}
