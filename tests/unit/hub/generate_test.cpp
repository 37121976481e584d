// SPDX-License-Identifier: Apache-2.0
// Text generation on a model whose every choice is known: a table of what follows which token.
#include "ds/hub/generate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

using namespace ds;
using namespace ds::hub;

namespace {

constexpr int64_t kVocab = 5;

/// Scores of the next token by the last one.
constexpr float kTable[kVocab][kVocab] = {{0.1f, 2.0f, 1.9f, 0.2f, 0.3f},
                                          {0.5f, 0.4f, 0.3f, 0.6f, 0.2f},
                                          {0.1f, 0.2f, 0.1f, 0.3f, 5.0f},
                                          {1.0f, 0.2f, 3.0f, 0.4f, 0.1f},
                                          {0.3f, 0.1f, 0.2f, 4.0f, 0.5f}};

class Bigrams : public GenerativeModel {
 public:
  Tensor next_logits(const Tensor& tokens, KeyValueCache& cache) override {
    lengths.insert(tokens.size(1));
    positions = to_rows(cache.positions());
    const Tensor table = Tensor::from_host(kTable, {DType::f32, {kVocab, kVocab}});
    return embedding(select(tokens, 1, -1), table);
  }
  std::optional<int64_t> max_positions() const override { return 200; }

  std::set<int64_t> lengths;
  TokenRows positions;
};

Tensor ids(const TokenRows& rows) { return to_tensor(rows, default_device()); }

double log_probability(const std::vector<int64_t>& tokens) {
  double sum = 0;
  for (size_t i = 1; i < tokens.size(); ++i) {
    const float* row = kTable[tokens[i - 1]];
    double total = 0;
    for (int64_t t = 0; t < kVocab; ++t) total += std::exp(row[t]);
    sum += row[tokens[i]] - std::log(total);
  }
  return sum;
}

}  // namespace

TEST_CASE("lengths that inputs are padded to") {
  CHECK(padded_length(1) == 1);
  CHECK(padded_length(5) == 8);
  CHECK(padded_length(64) == 64);
  CHECK(padded_length(65) == 128);
  CHECK(padded_length(129) == 192);
}

TEST_CASE("greedy search follows the best token until the end") {
  Bigrams model;
  GenerationOptions options;
  options.max_new_tokens = 4;
  CHECK(to_rows(generate(model, ids({{0}, {4}}), {}, options)) ==
        TokenRows{{0, 1, 3, 2, 4}, {4, 3, 2, 4, 3}});
  options.eos_token_ids = {3};
  options.pad_token_id = 0;
  CHECK(to_rows(generate(model, ids({{2}, {4}}), ids({{1}, {1}}), options)) ==
        TokenRows{{2, 4, 3}, {4, 3, 0}});
  CHECK(model.lengths == std::set<int64_t>{1});
}

TEST_CASE("padding in front takes no positions") {
  Bigrams model;
  GenerationOptions options;
  options.max_new_tokens = 2;
  generate(model, ids({{0, 0, 1}, {0, 2, 1}, {2, 2, 1}}), ids({{0, 0, 1}, {0, 1, 1}, {1, 1, 1}}),
           options);
  CHECK(model.lengths == std::set<int64_t>{1, 4});
  CHECK(model.positions == TokenRows{{1}, {2}, {3}});
}

TEST_CASE("a wide beam finds the most likely sequence") {
  Bigrams model;
  GenerationOptions options;
  options.max_new_tokens = 3;
  options.num_beams = kVocab * kVocab;
  const TokenRows found = to_rows(generate(model, ids({{0}}), {}, options));
  std::vector<int64_t> best;
  double most = -1e30;
  for (int64_t code = 0; code < kVocab * kVocab * kVocab; ++code) {
    const std::vector<int64_t> all{0, code % kVocab, code / kVocab % kVocab,
                                   code / (kVocab * kVocab)};
    if (log_probability(all) > most) {
      most = log_probability(all);
      best = all;
    }
  }
  CHECK(found == TokenRows{best});
  options.num_beams = 1;
  CHECK(log_probability(to_rows(generate(model, ids({{0}}), {}, options))[0]) < most);
}

TEST_CASE("sampling keeps to top_k and top_p, and repeats with a seed") {
  Bigrams model;
  GenerationOptions options;
  options.max_new_tokens = 1;
  options.do_sample = true;
  options.num_return_sequences = 400;
  options.seed = 7;
  const auto drawn = [&] {
    std::set<int64_t> tokens;
    for (const auto& row : to_rows(generate(model, ids({{0}}), {}, options)))
      tokens.insert(row.back());
    return tokens;
  };
  CHECK(drawn() == std::set<int64_t>{0, 1, 2, 3, 4});
  options.top_k = 3;
  CHECK(drawn() == std::set<int64_t>{1, 2, 4});
  options.top_k = 0;
  options.top_p = 0.5;  // 0.40 + 0.36 are needed for it
  CHECK(drawn() == std::set<int64_t>{1, 2});
  CHECK(to_rows(generate(model, ids({{0}}), {}, options)) ==
        to_rows(generate(model, ids({{0}}), {}, options)));
}

TEST_CASE("options out of range are refused") {
  Bigrams model;
  GenerationOptions options;
  options.temperature = 0;
  CHECK_THROWS_WITH_AS(generate(model, ids({{0}}), {}, options),
                       "generate: temperature is 0; it must be above 0; do_sample=False takes the "
                       "best token",
                       ValueError);
  options.temperature = 1;
  options.max_new_tokens = 200;
  CHECK_THROWS_AS(generate(model, ids({{0}}), {}, options), ValueError);
  options.max_new_tokens = 3;
  CHECK_THROWS_AS(generate(model, ids({{0}}), ids({{1, 1}}), options), ShapeError);
  options.num_return_sequences = 2;
  CHECK_THROWS_AS(generate(model, ids({{0}}), {}, options), ValueError);
}
