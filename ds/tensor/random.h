// SPDX-License-Identifier: Apache-2.0
// Random numbers: a counter-based generator (Philox), so that a result depends only on the seed and
// the number of random calls before it, and functions that draw from the usual distributions.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "ds/tensor/record.h"

namespace ds {

/// The seed and the count of random calls. The pair enters graphs as an i64[2] input, each call as
/// an attribute relative to it, so that a later step with the same calls reuses its plan.
class Generator {
 public:
  explicit Generator(uint64_t seed = 0) : seed_(seed) {}
  /// Starts again from a seed.
  void manual_seed(uint64_t seed);
  uint64_t initial_seed() const;
  /// i64[2]: seed and number of calls so far.
  Tensor state() const;
  /// Continues from a state(); ShapeError or DTypeError when it is none.
  void set_state(const Tensor& state);

  /// The input of the next random operation and its `call` attribute.
  struct Ticket {
    Tensor leaf;
    int64_t call;
  };
  Ticket next(Device device);

 private:
  mutable std::mutex mutex_;
  uint64_t seed_;
  int64_t base_ = 0;   // calls before the leaf was made
  int64_t calls_ = 0;  // calls since
  uint64_t epoch_ = 0;
  Tensor leaf_;
};

/// What functions use when no generator is given.
Generator& default_generator();
/// Seeds the default generator.
void manual_seed(uint64_t seed);
/// State of the default generator.
Tensor rng_state();
void set_rng_state(const Tensor& state);
/// Said after values were computed: the next random call of every generator starts a new leaf that
/// holds the advanced counter, so that steps record the same graph.
void renew_rng_leaf();

// --- uniform and normal --------------------------------------------------------------------------
/// Uniform in [0, 1).
Tensor rand(const Shape& size, std::optional<DType> dtype = std::nullopt,
            Device device = default_device(), Generator* generator = nullptr);
/// Standard normal.
Tensor randn(const Shape& size, std::optional<DType> dtype = std::nullopt,
             Device device = default_device(), Generator* generator = nullptr);
/// Integers (i64 by default) in [low, high).
Tensor randint(int64_t low, int64_t high, const Shape& size,
               std::optional<DType> dtype = std::nullopt, Device device = default_device(),
               Generator* generator = nullptr);
/// The numbers 0 to n - 1 (i64 by default) in random order.
Tensor randperm(int64_t n, std::optional<DType> dtype = std::nullopt,
                Device device = default_device(), Generator* generator = nullptr);
/// rand of input's shape, dtype (unless given) and device.
Tensor rand_like(const Tensor& input, std::optional<DType> dtype = std::nullopt,
                 Generator* generator = nullptr);
/// randn of input's shape, dtype (unless given) and device.
Tensor randn_like(const Tensor& input, std::optional<DType> dtype = std::nullopt,
                  Generator* generator = nullptr);
/// randint of input's shape, dtype (unless given) and device.
Tensor randint_like(const Tensor& input, int64_t low, int64_t high,
                    std::optional<DType> dtype = std::nullopt, Generator* generator = nullptr);

// --- distributions; the element type is f32 unless a dtype or tensor says otherwise --------------
/// Uniform in [from, to).
Tensor uniform(const Shape& size, double from = 0, double to = 1,
               std::optional<DType> dtype = std::nullopt, Device device = default_device(),
               Generator* generator = nullptr);
/// Normal with tensors or numbers as mean and std (broadcast); at least one is a tensor.
Tensor normal(const Operand& mean, const Operand& std, Generator* generator = nullptr);
/// Normal with numbers as mean and std.
Tensor normal(double mean, double std, const Shape& size, std::optional<DType> dtype = std::nullopt,
              Device device = default_device(), Generator* generator = nullptr);
/// Normal cut to [a, b], by the inverse of its distribution function.
Tensor trunc_normal(const Shape& size, double mean = 0, double std = 1, double a = -2, double b = 2,
                    std::optional<DType> dtype = std::nullopt, Device device = default_device(),
                    Generator* generator = nullptr);
/// exp of a normal.
Tensor log_normal(const Shape& size, double mean = 1, double std = 2,
                  std::optional<DType> dtype = std::nullopt, Device device = default_device(),
                  Generator* generator = nullptr);
/// Exponential with rate lambd.
Tensor exponential(const Shape& size, double lambd = 1, std::optional<DType> dtype = std::nullopt,
                   Device device = default_device(), Generator* generator = nullptr);
/// Cauchy with median and scale sigma.
Tensor cauchy(const Shape& size, double median = 0, double sigma = 1,
              std::optional<DType> dtype = std::nullopt, Device device = default_device(),
              Generator* generator = nullptr);
/// Number of trials up to the first success of probability p.
Tensor geometric(const Shape& size, double p, std::optional<DType> dtype = std::nullopt,
                 Device device = default_device(), Generator* generator = nullptr);
/// 1 with the probability that the element of input is, else 0.
Tensor bernoulli(const Tensor& input, Generator* generator = nullptr);
/// 1 with probability p, else 0, in input's shape and dtype.
Tensor bernoulli(const Tensor& input, double p, Generator* generator = nullptr);
/// num_samples indices (i64) per row, drawn with the row's weights: [N] or [B, N] -> [.., samples].
/// Computes the weights; ValueError for one that is negative or not finite, or a row of zeros.
Tensor multinomial(const Tensor& input, int64_t num_samples, bool replacement = false,
                   Generator* generator = nullptr);

// --- dropout: input itself unless training -------------------------------------------------------
/// Elements zeroed with probability p, the rest scaled by 1 / (1 - p).
Tensor dropout(const Tensor& input, double p = 0.5, bool training = true);
/// dropout of whole channels of [N, C, L] or [C, L].
Tensor dropout1d(const Tensor& input, double p = 0.5, bool training = true);
/// dropout of whole channels of [N, C, H, W] or [C, H, W].
Tensor dropout2d(const Tensor& input, double p = 0.5, bool training = true);
/// dropout of whole channels of [N, C, D, H, W] or [C, D, H, W].
Tensor dropout3d(const Tensor& input, double p = 0.5, bool training = true);
/// Dropout that keeps mean and variance of SELU networks (Klambauer et al. 2017).
Tensor alpha_dropout(const Tensor& input, double p = 0.5, bool training = false);
/// alpha_dropout of whole channels of [N, C, ...].
Tensor feature_alpha_dropout(const Tensor& input, double p = 0.5, bool training = false);

}  // namespace ds
