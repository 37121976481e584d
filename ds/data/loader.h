// SPDX-License-Identifier: Apache-2.0
// DataLoader: batches of a data set, made ahead by worker threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ds/data/dataset.h"

namespace ds::data {

struct LoaderOptions {
  int64_t batch_size = 1;
  bool shuffle = false;
  bool drop_last = false;
  int num_workers = 0;      // 0 loads on the calling thread
  int prefetch_factor = 2;  // batches ahead per worker
  uint64_t seed = 0;        // of the order and of random transforms
};

/// Where a loader stands, for an exact resume.
struct LoaderState {
  uint64_t epoch = 0;
  int64_t position = 0;  // batches given in this epoch
};

class DataLoader {
 public:
  /// ValueError for a batch size below 1 or a negative number of workers.
  DataLoader(DatasetPtr dataset, LoaderOptions options);
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  /// Batches of an epoch.
  int64_t size() const;
  /// The next batch, one tensor for each part of a sample; false at the end of the epoch, after
  /// which the next call begins another one. What a worker raised is raised here, in its place in
  /// the order.
  bool next(std::vector<Tensor>& batch);
  /// Abandons the epoch; the next one begins.
  void reset();

  LoaderState state() const;
  void load_state(const LoaderState& state);
  const DatasetPtr& dataset() const { return dataset_; }
  const LoaderOptions& options() const { return options_; }

 private:
  class Workers;
  std::vector<HostArray> load(int64_t batch) const;
  void begin();

  DatasetPtr dataset_;
  LoaderOptions options_;
  LoaderState state_;
  std::vector<int64_t> order_;
  bool running_ = false;
  std::unique_ptr<Workers> workers_;
};

}  // namespace ds::data
