// SPDX-License-Identifier: Apache-2.0
#include "ds/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::data {

/// Threads that make batches of one epoch ahead, handed out in order.
class DataLoader::Workers {
 public:
  using Load = std::function<std::vector<HostArray>(int64_t)>;

  Workers(Load load, int64_t first, int64_t count, int threads, int prefetch)
      : load_(std::move(load)),
        next_(first),
        given_(first),
        count_(count),
        ahead_(static_cast<int64_t>(threads) * prefetch) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }

  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::vector<HostArray> take(int64_t batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ready_.count(batch) > 0; });
    Result result = std::move(ready_.at(batch));
    ready_.erase(batch);
    given_ = batch + 1;
    lock.unlock();
    changed_.notify_all();
    if (result.error) std::rethrow_exception(result.error);
    return std::move(result.arrays);
  }

 private:
  struct Result {
    std::vector<HostArray> arrays;
    std::exception_ptr error;
  };

  void run() {
    const ThreadLimit one(1);  // what a sample computes must not start threads for each worker
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || (next_ < count_ && next_ < given_ + ahead_); });
      if (stopping_) return;
      const int64_t batch = next_++;
      lock.unlock();
      Result result;
      try {
        result.arrays = load_(batch);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      ready_[batch] = std::move(result);
      changed_.notify_all();
    }
  }

  Load load_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Result> ready_;
  int64_t next_, given_;
  const int64_t count_, ahead_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

DataLoader::DataLoader(DatasetPtr dataset, LoaderOptions options)
    : dataset_(std::move(dataset)), options_(options) {
  DS_CHECK(options_.batch_size >= 1, ValueError, "DataLoader: batch_size ", options_.batch_size,
           " must be at least 1");
  DS_CHECK(options_.num_workers >= 0 && options_.prefetch_factor >= 1, ValueError,
           "DataLoader: num_workers ", options_.num_workers, " and prefetch_factor ",
           options_.prefetch_factor, " must not be negative");
}

DataLoader::~DataLoader() = default;

int64_t DataLoader::size() const {
  const int64_t n = dataset_->size(), b = options_.batch_size;
  return options_.drop_last ? n / b : (n + b - 1) / b;
}

std::vector<HostArray> DataLoader::load(int64_t batch) const {
  const int64_t begin = batch * options_.batch_size;
  const int64_t end = std::min(begin + options_.batch_size, static_cast<int64_t>(order_.size()));
  std::vector<Sample> samples;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t index = order_[static_cast<size_t>(i)];
    SampleRandom random(options_.seed, state_.epoch, static_cast<uint64_t>(index));
    samples.push_back(dataset_->get(index, random));
  }
  return collate(samples);
}

void DataLoader::begin() {
  const int64_t n = dataset_->size();
  if (options_.shuffle) {
    order_ = shuffled(n, options_.seed, state_.epoch);
  } else {
    order_.resize(static_cast<size_t>(n));
    std::iota(order_.begin(), order_.end(), 0);
  }
  running_ = true;
  if (options_.num_workers > 0)
    workers_ =
        std::make_unique<Workers>([this](int64_t batch) { return load(batch); }, state_.position,
                                  size(), options_.num_workers, options_.prefetch_factor);
}

bool DataLoader::next(std::vector<Tensor>& batch) {
  if (!running_) begin();
  if (state_.position >= size()) {
    reset();
    return false;
  }
  const int64_t position = state_.position++;
  const std::vector<HostArray> arrays = workers_ ? workers_->take(position) : load(position);
  batch.clear();
  for (const HostArray& array : arrays) batch.push_back(array.tensor());
  return true;
}

void DataLoader::reset() {
  workers_.reset();
  if (running_) ++state_.epoch;
  running_ = false;
  state_.position = 0;
}

LoaderState DataLoader::state() const { return state_; }

void DataLoader::load_state(const LoaderState& state) {
  workers_.reset();
  running_ = false;
  state_ = state;
}

}  // namespace ds::data
