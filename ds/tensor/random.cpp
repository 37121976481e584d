// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/random.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"
#include "ds/tensor/replay.h"

namespace ds {
namespace {

/// Grows with every evaluation; a generator whose leaf is older makes a new one.
std::atomic<uint64_t> g_epoch{1};

Tensor state_tensor(uint64_t seed, int64_t counter, Device device) {
  const int64_t words[2] = {static_cast<int64_t>(seed), counter};
  return Tensor::from_host(words, {DType::i64, {2}}, device);
}

Generator& chosen(Generator* generator) { return generator ? *generator : default_generator(); }

DType float_dtype(std::optional<DType> dtype, const char* op) {
  const DType chosen = dtype.value_or(default_dtype());
  DS_CHECK(is_floating(chosen), DTypeError, op, ": dtype ", chosen, " is not floating");
  return chosen;
}

Tensor drawn(Op op, const Shape& size, DType dtype, Device device, Generator* generator) {
  for (int64_t n : size)
    DS_CHECK(n >= 0, ValueError, op_name(op), ": size ", size, " has a negative number");
  const Generator::Ticket ticket = chosen(generator).next(device);
  return record(op, {ticket.leaf}, {size, dtype, ticket.call});
}

void check_probability(double p, const char* op) {
  DS_CHECK(p >= 0 && p <= 1, ValueError, op, ": probability ", p, " is outside [0, 1]");
}

/// 1 - u of (0, 1], whose logarithm is finite.
Tensor positive_uniform(const Shape& size, DType dtype, Device device, Generator* generator) {
  return 1.0 - rand(size, dtype, device, generator);
}

/// A mask of one element per sample and channel: the shape of `input` with spatial sizes of 1.
Shape channel_shape(const Tensor& input, int spatial) {
  Shape shape = input.shape();
  for (int i = input.dim() - spatial; i < input.dim(); ++i) shape[i] = 1;
  return shape;
}

Tensor channel_dropout(const Tensor& input, double p, bool training, int spatial, const char* op) {
  check_probability(p, op);
  DS_CHECK(input.dim() == spatial + 1 || input.dim() == spatial + 2, ShapeError, op, ": input ",
           input.type(), " must have ", spatial + 2, " or ", spatial + 1, " dimensions");
  if (!training || p == 0) return input;
  const Shape shape = channel_shape(input, spatial);
  return input * dropout(constant(shape, 1, input.dtype(), input.device()), p, true);
}

/// Alpha dropout with one decision per element of `shape`.
Tensor alpha_drop(const Tensor& input, const Shape& shape, double p) {
  constexpr double kAlpha = 1.7580993408473766;  // scale * alpha of selu
  if (p == 1) return input * 0.0;
  const double a = 1.0 / std::sqrt((kAlpha * kAlpha * p + 1) * (1 - p));
  const Tensor keep = ge(rand(shape, DType::f32, input.device()), p);
  return where(keep, input, -kAlpha) * a + a * kAlpha * p;
}

}  // namespace

void Generator::manual_seed(uint64_t seed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  seed_ = seed;
  base_ = calls_ = 0;
  leaf_ = {};
}

uint64_t Generator::initial_seed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return seed_;
}

Tensor Generator::state() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return state_tensor(seed_, base_ + calls_, default_device());
}

void Generator::set_state(const Tensor& state) {
  DS_CHECK(state.dtype() == DType::i64, DTypeError, "set_rng_state: the state is ", state.type(),
           "; it must be i64[2]");
  DS_CHECK(state.shape() == Shape{2}, ShapeError, "set_rng_state: the state is ", state.type(),
           "; it must be i64[2]");
  const std::vector<int64_t> words = state.to_vector<int64_t>();
  const std::lock_guard<std::mutex> lock(mutex_);
  seed_ = static_cast<uint64_t>(words[0]);
  base_ = words[1];
  calls_ = 0;
  leaf_ = {};
}

Generator::Ticket Generator::next(Device device) {
  Capture::refuse("it draws random numbers");
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t epoch = g_epoch.load(std::memory_order_relaxed);
  if (!leaf_.defined() || epoch != epoch_ || leaf_.device() != device) {
    base_ += calls_;
    calls_ = 0;
    epoch_ = epoch;
    leaf_ = state_tensor(seed_, base_, device);
  }
  return {leaf_, calls_++};
}

Generator& default_generator() {
  static Generator generator(0);
  return generator;
}
void manual_seed(uint64_t seed) { default_generator().manual_seed(seed); }
Tensor rng_state() { return default_generator().state(); }
void set_rng_state(const Tensor& state) { default_generator().set_state(state); }
void renew_rng_leaf() { g_epoch.fetch_add(1, std::memory_order_relaxed); }

Tensor rand(const Shape& size, std::optional<DType> dtype, Device device, Generator* generator) {
  return drawn(Op::random_uniform_, size, float_dtype(dtype, "rand"), device, generator);
}
Tensor randn(const Shape& size, std::optional<DType> dtype, Device device, Generator* generator) {
  return drawn(Op::random_normal_, size, float_dtype(dtype, "randn"), device, generator);
}

Tensor randint(int64_t low, int64_t high, const Shape& size, std::optional<DType> dtype,
               Device device, Generator* generator) {
  DS_CHECK(low < high, ValueError, "randint: low ", low, " must be below high ", high);
  const Generator::Ticket ticket = chosen(generator).next(device);
  Tensor bits = record(Op::random_bits_, {ticket.leaf}, {size, ticket.call});
  // Of a range up to 2^32 that many bits are even enough, and their division is faster.
  constexpr int64_t kRange = int64_t{1} << 32, kBits = (int64_t{1} << 51) - 1;
  if (high - low <= kRange) bits = bitwise_and(bits, kBits);
  return to_dtype(remainder(bits, high - low) + low, dtype.value_or(DType::i64));
}

Tensor randperm(int64_t n, std::optional<DType> dtype, Device device, Generator* generator) {
  DS_CHECK(n >= 0, ValueError, "randperm: n ", n, " is negative");
  const Generator::Ticket ticket = chosen(generator).next(device);
  const Tensor bits = record(Op::random_bits_, {ticket.leaf}, {Shape{n}, ticket.call});
  return to_dtype(argsort(bits, 0), dtype.value_or(DType::i64));
}

Tensor rand_like(const Tensor& input, std::optional<DType> dtype, Generator* generator) {
  return rand(input.shape(), dtype.value_or(input.dtype()), input.device(), generator);
}
Tensor randn_like(const Tensor& input, std::optional<DType> dtype, Generator* generator) {
  return randn(input.shape(), dtype.value_or(input.dtype()), input.device(), generator);
}
Tensor randint_like(const Tensor& input, int64_t low, int64_t high, std::optional<DType> dtype,
                    Generator* generator) {
  return randint(low, high, input.shape(), dtype.value_or(input.dtype()), input.device(),
                 generator);
}

Tensor uniform(const Shape& size, double from, double to, std::optional<DType> dtype, Device device,
               Generator* generator) {
  DS_CHECK(from <= to, ValueError, "uniform: from ", from, " is above to ", to);
  return rand(size, dtype, device, generator) * (to - from) + from;
}

Tensor normal(const Operand& mean, const Operand& std, Generator* generator) {
  const DType dtype = float_dtype(result_dtype({mean, std, 1.0}), "normal");
  const Device device = operand_device({mean, std});
  Shape shape;
  if (!mean.is_number()) shape = mean.tensor().shape();
  if (!std.is_number()) shape = broadcast_shapes(shape, std.tensor().shape(), "normal");
  return add(mul(randn(shape, dtype, device, generator), std), mean);
}

Tensor normal(double mean, double std, const Shape& size, std::optional<DType> dtype, Device device,
              Generator* generator) {
  DS_CHECK(std >= 0, ValueError, "normal: std ", std, " is negative");
  return randn(size, dtype, device, generator) * std + mean;
}

Tensor trunc_normal(const Shape& size, double mean, double std, double a, double b,
                    std::optional<DType> dtype, Device device, Generator* generator) {
  DS_CHECK(std > 0 && a < b, ValueError, "trunc_normal: std ", std, ", a ", a, " and b ", b,
           " must satisfy std > 0 and a < b");
  const auto cumulative = [&](double x) {
    return 0.5 * std::erfc((mean - x) / std / std::sqrt(2));
  };
  const double low = 2 * cumulative(a) - 1, high = 2 * cumulative(b) - 1;
  const Tensor z = erfinv(uniform(size, low, high, dtype, device, generator));
  return clamp(z * (std * std::sqrt(2.0)) + mean, a, b);
}

Tensor log_normal(const Shape& size, double mean, double std, std::optional<DType> dtype,
                  Device device, Generator* generator) {
  return exp(normal(mean, std, size, dtype, device, generator));
}
Tensor exponential(const Shape& size, double lambd, std::optional<DType> dtype, Device device,
                   Generator* generator) {
  DS_CHECK(lambd > 0, ValueError, "exponential: lambd ", lambd, " must be positive");
  const DType wanted = float_dtype(dtype, "exponential");
  // -log(1 - u) is 0 for u = 0; the smallest normal number keeps its logarithm finite.
  const double least = is_half(wanted) ? 6.2e-5 : std::numeric_limits<float>::min();
  const Tensor u = positive_uniform(size, wanted, device, generator);
  return clamp_min(log(u) * (-1.0 / lambd), least);
}
Tensor cauchy(const Shape& size, double median, double sigma, std::optional<DType> dtype,
              Device device, Generator* generator) {
  const Tensor u = rand(size, dtype, device, generator);
  return tan((u - 0.5) * 3.14159265358979323846) * sigma + median;
}
Tensor geometric(const Shape& size, double p, std::optional<DType> dtype, Device device,
                 Generator* generator) {
  DS_CHECK(p > 0 && p < 1, ValueError, "geometric: p ", p, " is outside (0, 1)");
  const DType wanted = dtype.value_or(default_dtype());
  const DType compute = is_floating(wanted) ? wanted : DType::f32;
  const Tensor u = positive_uniform(size, compute, device, generator);
  return to_dtype(clamp_min(ceil(log(u) / std::log1p(-p)), 1), wanted);
}

Tensor bernoulli(const Tensor& input, Generator* generator) {
  DS_CHECK(is_floating(input.dtype()), DTypeError, "bernoulli: the probabilities are ",
           input.type(), "; they must be floating");
  const Tensor u = rand(input.shape(), widened(input).dtype(), input.device(), generator);
  return to_dtype(lt(u, widened(input)), input.dtype());
}
Tensor bernoulli(const Tensor& input, double p, Generator* generator) {
  check_probability(p, "bernoulli");
  return to_dtype(lt(rand(input.shape(), DType::f32, input.device(), generator), p), input.dtype());
}

Tensor multinomial(const Tensor& input, int64_t num_samples, bool replacement,
                   Generator* generator) {
  DS_CHECK(is_floating(input.dtype()), DTypeError, "multinomial: the weights are ", input.type(),
           "; they must be floating");
  DS_CHECK(input.dim() == 1 || input.dim() == 2, ShapeError, "multinomial: the weights ",
           input.type(), " must be [N] or [B, N]");
  DS_CHECK(num_samples > 0, ValueError, "multinomial: num_samples ", num_samples,
           " must be positive");
  DS_CHECK(replacement || num_samples <= input.shape().back(), ValueError,
           "multinomial: ", num_samples, " samples without replacement from ",
           input.shape().back());
  const Tensor weights = widened(input.detach());
  const Tensor fine = logical_and(isfinite(weights), ge(weights, 0));
  const Tensor drawable = logical_and(all(fine, -1), gt(sum(weights, -1), 0));
  DS_CHECK(all(drawable).item() != 0, ValueError,
           "multinomial: a row of weights has a negative or infinite number or NaN, or sums to 0");
  if (!replacement) {
    // The k largest of weight / exponential are a sample without replacement (Efraimidis 2006).
    const Tensor noise =
        exponential(weights.shape(), 1, weights.dtype(), input.device(), generator);
    return topk(weights / noise, num_samples).second;
  }
  const Tensor steps = cumsum(weights, -1);
  Shape shape = input.shape();
  shape.back() = num_samples;
  const Tensor total = sliced(steps, steps.dim() - 1, input.shape().back() - 1, 1);
  const Tensor u = rand(shape, weights.dtype(), input.device(), generator) * total;
  return clamp_max(searchsorted(steps, u, true), input.shape().back() - 1);
}

Tensor dropout(const Tensor& input, double p, bool training) {
  check_probability(p, "dropout");
  if (!training || p == 0) return input;
  if (p == 1) return input * 0.0;
  const Generator::Ticket ticket = default_generator().next(input.device());
  return record(Op::dropout_, {input, ticket.leaf}, {p, ticket.call});
}
Tensor dropout1d(const Tensor& input, double p, bool training) {
  return channel_dropout(input, p, training, 1, "dropout1d");
}
Tensor dropout2d(const Tensor& input, double p, bool training) {
  return channel_dropout(input, p, training, 2, "dropout2d");
}
Tensor dropout3d(const Tensor& input, double p, bool training) {
  return channel_dropout(input, p, training, 3, "dropout3d");
}
Tensor alpha_dropout(const Tensor& input, double p, bool training) {
  check_probability(p, "alpha_dropout");
  return training && p > 0 ? alpha_drop(input, input.shape(), p) : input;
}
Tensor feature_alpha_dropout(const Tensor& input, double p, bool training) {
  check_probability(p, "feature_alpha_dropout");
  DS_CHECK(input.dim() >= 2, ShapeError, "feature_alpha_dropout: input ", input.type(),
           " must be [N, C, ...]");
  return training && p > 0 ? alpha_drop(input, channel_shape(input, input.dim() - 2), p) : input;
}

}  // namespace ds
