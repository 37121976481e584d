// SPDX-License-Identifier: Apache-2.0
// The training loop: it learns, scales, accumulates, resumes exactly, and ends well or with a clear
// error.
#include "ds/train/trainer.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>

#include "ds/engine/engine.h"
#include "ds/nn/layers_activation.h"
#include "ds/nn/layers_core.h"
#include "ds/optim/optimizers.h"
#include "ds/optim/schedulers.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/random.h"
#include "ds/tensor/sync.h"
#include "ds/train/callbacks.h"
#include "ds/train/loader_source.h"

using namespace ds;
using namespace ds::train;
namespace fs = std::filesystem;

namespace {

/// Points of three classes around three centres, the same for every call.
std::vector<data::HostArray> blobs(int64_t n) {
  data::HostArray x(Type{DType::f32, {n, 4}}), y(Type{DType::i64, {n}});
  uint64_t state = 7;
  const auto noise = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<float>(static_cast<double>(state >> 40) / double(1 << 24)) - 0.5F;
  };
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = i % 3;
    y.as<int64_t>()[i] = label;
    for (int64_t j = 0; j < 4; ++j)
      x.as<float>()[4 * i + j] = (j == label ? 1.0F : -0.2F) + noise();
  }
  return {x, y};
}

std::shared_ptr<LoaderSource> source(int64_t n = 96, int64_t batch = 16, bool shuffle = true,
                                     int workers = 0) {
  data::LoaderOptions options;
  options.batch_size = batch;
  options.shuffle = shuffle;
  options.num_workers = workers;
  return std::make_shared<LoaderSource>(
      std::make_shared<data::DataLoader>(std::make_shared<data::ArrayDataset>(blobs(n)), options));
}

nn::ModulePtr net(double dropout = 0) {
  manual_seed(1);
  std::vector<nn::ModulePtr> layers = {std::make_shared<nn::Linear>(4, 16),
                                       std::make_shared<nn::ReLU>()};
  if (dropout > 0) layers.push_back(std::make_shared<nn::Dropout>(dropout));
  layers.push_back(std::make_shared<nn::Linear>(16, 3));
  return std::make_shared<nn::Sequential>(layers);
}

/// A quiet trainer; BF16 whatever the processor.
TrainerOptions options(nn::ModulePtr model = net()) {
  TrainerOptions o;
  o.model = std::move(model);
  o.optimizer = std::make_shared<optim::AdamW>(o.model->parameters(), 0.02);
  o.dtype = DType::bf16;
  o.progress = nullptr;
  return o;
}

std::vector<float> weights(MixedPrecisionTrainer& trainer) {
  std::vector<float> all;
  for (const Tensor& p : trainer.model().parameters())
    for (const float v : p.to_vector<float>()) all.push_back(v);
  return all;
}

/// A folder of its own that is removed again.
struct Folder {
  fs::path path = fs::temp_directory_path() / str("ds-train-test-", ::getpid(), "-", counter()++);
  ~Folder() { fs::remove_all(path); }
  static int& counter() {
    static int n = 0;
    return n;
  }
};

/// Calls a function at the end of each step.
struct OnStep : Callback {
  std::function<void(MixedPrecisionTrainer&, const StepLog&)> f;
  void on_step_end(MixedPrecisionTrainer& t, const StepLog& log) override { f(t, log); }
};
CallbackPtr on_step(std::function<void(MixedPrecisionTrainer&, const StepLog&)> f) {
  auto callback = std::make_shared<OnStep>();
  callback->f = std::move(f);
  return callback;
}

}  // namespace

TEST_CASE("learns three classes in BF16, FP16 and FP32") {
  for (const std::optional<DType> dtype :
       {std::optional(DType::bf16), std::optional(DType::f16), std::optional<DType>()}) {
    TrainerOptions o = options();
    o.dtype = dtype;
    if (!dtype) o.fp16_layers = {};
    o.metrics = {accuracy(), top_k_accuracy(2)};
    MixedPrecisionTrainer trainer(o);
    const auto train = source(), test = source(48);
    const std::vector<EpochLog> history = trainer.fit(*train, 8, test.get());
    REQUIRE(history.size() == 8);
    CHECK(history.back().at("val_accuracy") > 0.97);
    CHECK(history.back().at("val_top2") >= history.back().at("val_accuracy"));
    CHECK(history.back().at("loss") < 0.5 * history.front().at("loss"));
    CHECK(history.back().samples == 96);
    CHECK(trainer.step_count() == 48);
    CHECK_THROWS_AS(history.back().at("bleu"), KeyError);
    CHECK(trainer.evaluate(*test)[1].second == doctest::Approx(history.back().at("val_accuracy")));
  }
}

TEST_CASE("plans once and forces no value while it runs") {
  TrainerOptions o = options();
  o.metrics = {accuracy()};
  o.max_grad_norm = 1;
  o.scheduler = optim::linear_with_warmup(*o.optimizer, 3, 100);
  uint64_t plans = 0;
  o.callbacks = {on_step([&](MixedPrecisionTrainer&, const StepLog& log) {
    if (log.step == 5) plans = engine_stats().plans;
  })};
  MixedPrecisionTrainer trainer(o);
  clear_sync_sites();
  trainer.fit(*source(), 4);
  CHECK(engine_stats().plans == plans);
  CHECK(sync_sites().empty());
}

TEST_CASE("overflow skips the step and halves the scale, good steps grow it") {
  TrainerOptions o = options();
  o.growth_interval = 4;
  int64_t batch = 0;
  const nn::ModulePtr model = o.model;
  // The third batch's loss is infinite.
  o.forward = [&](const std::vector<Tensor>& b) {
    const Tensor output = (*model)(b[0]);
    const Tensor factor =
        Tensor::input_scalar(batch++ == 2 ? std::numeric_limits<double>::infinity() : 1.0);
    return StepResult{cross_entropy(output, b[1]) * factor, output, b[1]};
  };
  std::vector<double> scales, losses;
  std::vector<std::vector<float>> after;
  o.callbacks = {on_step([&](MixedPrecisionTrainer&, const StepLog& log) {
    scales.push_back(log.loss_scale);
    losses.push_back(log.loss);
  })};
  MixedPrecisionTrainer trainer(o);
  const std::vector<EpochLog> history = trainer.fit(*source(160), 1);
  CHECK(scales == std::vector<double>{128, 128, 128, 64, 64, 64, 64, 128, 128, 128});
  CHECK(std::isinf(losses[2]));
  CHECK(std::isfinite(history[0].at("loss")));
  CHECK(trainer.skipped_steps() == 1);
}

TEST_CASE("a loss that stays NaN is an error that names the step, and no checkpoint of it") {
  Folder folder;
  TrainerOptions o = options();
  o.checkpoint_dir = folder.path.string();
  const nn::ModulePtr model = o.model;
  int64_t batch = 0;
  o.forward = [&](const std::vector<Tensor>& b) {
    const Tensor factor = Tensor::input_scalar(++batch > 8 ? std::nan("") : 1.0);
    return StepResult{cross_entropy((*model)(b[0]), b[1]) * factor, {}, {}};
  };
  SUBCASE("with a scale") {}
  SUBCASE("in FP32") { o.fp16_layers = {}; }
  MixedPrecisionTrainer trainer(o);
  try {
    trainer.fit(*source(), 10);
    FAIL("no error");
  } catch (const NonFiniteError& e) {
    CHECK(std::string(e.what()).find("the loss is nan since step 9") != std::string::npos);
  }
  TrainerOptions fresh = options();
  fresh.fp16_layers = o.fp16_layers;
  MixedPrecisionTrainer loaded(fresh);
  loaded.load_checkpoint(trainer.checkpoint_path());
  // With a scale the bad steps change nothing, so checkpoints go on until it gives up.
  CHECK(loaded.step_count() == (o.fp16_layers.empty() ? 6 : 24));
  for (const float w : weights(loaded)) CHECK(std::isfinite(w));
}

TEST_CASE("an interrupted run goes on bit for bit, also in the middle of an epoch") {
  for (const int workers : {0, 2}) {
    Folder folder;
    const auto make = [&](int64_t stop_at, bool resume) {
      TrainerOptions o = options(net(0.3));
      o.metrics = {accuracy()};
      o.max_grad_norm = 0.5;
      o.scheduler = optim::cosine_with_warmup(*o.optimizer, 4, 24);
      o.growth_interval = 5;
      o.checkpoint_dir = folder.path.string();
      o.resume = resume;
      if (stop_at > 0)
        o.callbacks = {on_step([=](MixedPrecisionTrainer& t, const StepLog& log) {
          if (log.step == stop_at) t.stop();
        })};
      return std::make_unique<MixedPrecisionTrainer>(o);
    };
    const auto whole = make(0, false);
    const auto expected = whole->fit(*source(100, 16, true, workers), 4);
    const auto first = make(8, false);
    first->fit(*source(100, 16, true, workers), 4);
    CHECK(first->interrupted());
    CHECK(first->step_count() == 10);  // values arrive two steps late
    const auto second = make(0, true);
    manual_seed(99);
    const auto rest = second->fit(*source(100, 16, true, workers), 4);
    CHECK(!second->interrupted());
    CHECK(weights(*second) == weights(*whole));
    REQUIRE(rest.size() == 3);
    for (size_t e = 0; e < 3; ++e) {
      CHECK(rest[e].at("loss") == expected[e + 1].at("loss"));
      CHECK(rest[e].at("accuracy") == expected[e + 1].at("accuracy"));
      CHECK(rest[e].samples == expected[e + 1].samples);
    }
    CHECK(second->loss_scale() == whole->loss_scale());
    CHECK(second->optimizer().groups()[0].at("lr") == whole->optimizer().groups()[0].at("lr"));
    CHECK(make(0, true)->fit(*source(100), 4).empty());
  }
}

TEST_CASE("Ctrl-C ends after the step, saves, and leaves the handler as it was") {
  Folder folder;
  TrainerOptions o = options();
  o.checkpoint_dir = folder.path.string();
  o.callbacks = {on_step([](MixedPrecisionTrainer&, const StepLog& log) {
    if (log.step == 7) std::raise(SIGINT);
  })};
  MixedPrecisionTrainer trainer(o);
  struct sigaction before {
  }, now{};
  sigaction(SIGINT, nullptr, &before);
  trainer.fit(*source(), 10);
  sigaction(SIGINT, nullptr, &now);
  CHECK((now.sa_handler == before.sa_handler));
  CHECK(trainer.interrupted());
  CHECK(trainer.step_count() == 9);
  CHECK(fs::exists(trainer.checkpoint_path()));
  // The same trainer goes on where it stopped.
  const auto rest = trainer.fit(*source(), 3);
  CHECK(rest.size() == 2);
  CHECK(trainer.step_count() == 18);
}

TEST_CASE("accumulated batches equal one big batch") {
  const auto run = [](int64_t batch, int64_t accumulation, int64_t n) {
    TrainerOptions o = options();
    o.fp16_layers = {};
    o.optimizer = std::make_shared<optim::SGD>(o.model->parameters(), 0.1, 0.9);
    o.gradient_accumulation = accumulation;
    MixedPrecisionTrainer trainer(o);
    trainer.fit(*source(n, batch, false), 3);
    return weights(trainer);
  };
  const auto compare = [](const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
  };
  compare(run(32, 1, 96), run(8, 4, 96));
  // Five batches of 16 with three per step: the last step of the epoch is of two.
  compare(run(48, 1, 80), run(16, 3, 80));
}

TEST_CASE("early stopping and the best weights") {
  Folder folder;
  fs::create_directories(folder.path);
  TrainerOptions o = options();
  o.optimizer = std::make_shared<optim::SGD>(o.model->parameters(), 0.0);
  o.callbacks = {std::make_shared<EarlyStopping>("loss", 2, false, 1e-3),
                 std::make_shared<ModelCheckpoint>(
                     (folder.path / "best-{epoch}.safetensors").string(), "loss")};
  MixedPrecisionTrainer trainer(o);
  CHECK(trainer.fit(*source(96, 16, false), 10).size() == 3);
  CHECK(!trainer.interrupted());
  CHECK(fs::exists(folder.path / "best-1.safetensors"));
  CHECK_THROWS_AS(EarlyStopping("loss", 0), ValueError);
}

TEST_CASE("early stopping goes on counting in a resumed run") {
  Folder folder;
  const auto run = [&](int64_t epochs) {
    TrainerOptions o = options();
    o.optimizer = std::make_shared<optim::SGD>(o.model->parameters(), 0.0);
    o.checkpoint_dir = folder.path.string();
    o.resume = true;
    o.callbacks = {std::make_shared<EarlyStopping>("loss", 3, false, 1e-3)};
    MixedPrecisionTrainer trainer(o);
    return trainer.fit(*source(96, 16, false), epochs).size();
  };
  CHECK(run(2) == 2);
  CHECK(run(10) == 2);  // epochs 3 and 4: the first was the best
}

TEST_CASE("bad arguments, empty sources and foreign checkpoints are typed errors") {
  struct Empty : BatchSource {
    bool next(std::vector<Tensor>&) override { return false; }
    std::optional<int64_t> size() const override { return 0; }
    SourcePosition position() const override { return {}; }
    void seek(const SourcePosition&) override {}
  } empty;
  MixedPrecisionTrainer trainer(options());
  CHECK_THROWS_AS(trainer.fit(empty, 1), ValueError);
  CHECK_THROWS_AS(trainer.fit(*source(), 1, &empty), ValueError);
  CHECK_THROWS_AS(trainer.fit(*source(), -1), ValueError);
  TrainerOptions o = options();
  o.fp16_layers = {"convolution"};
  CHECK_THROWS_AS(MixedPrecisionTrainer{o}, ValueError);
  o = options();
  o.dtype = DType::f32;
  CHECK_THROWS_AS(MixedPrecisionTrainer{o}, DTypeError);
  CHECK_THROWS_AS(MixedPrecisionTrainer{TrainerOptions{}}, ValueError);

  Folder folder;
  fs::create_directories(folder.path);
  const std::string path = (folder.path / "a.safetensors").string();
  trainer.save_checkpoint(path);
  o = options();
  o.optimizer = std::make_shared<optim::SGD>(o.model->parameters(), 0.1);
  MixedPrecisionTrainer other(o);
  CHECK_THROWS_AS(other.load_checkpoint(path), ValueError);
  const std::string torn = (folder.path / "torn.safetensors").string();
  fs::copy_file(path, torn);
  fs::resize_file(torn, fs::file_size(torn) / 2);
  CHECK_THROWS_AS(trainer.load_checkpoint(torn), FileFormatError);
  std::ofstream(torn) << "hello";
  CHECK_THROWS_AS(trainer.load_checkpoint(torn), FileFormatError);
}

TEST_CASE("the processor decides about the 16-bit type") {
  CpuFeatures features;
  CHECK(!choose_precision({"conv"}, std::nullopt, features).autocast);
  CHECK(choose_precision({"conv"}, std::nullopt, features).text.find("FP32") == 0);
  features.fp16 = true;
  CHECK(choose_precision({"conv"}, std::nullopt, features).autocast->dtype == DType::f16);
  features.bf16 = true;
  const Precision precision = choose_precision({"linear"}, std::nullopt, features);
  CHECK(precision.autocast->dtype == DType::bf16);
  CHECK(precision.autocast->matmul);
  CHECK(!precision.autocast->convolution);
  CHECK(precision.text.find("BF16 in linear") == 0);
}
