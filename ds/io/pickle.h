// SPDX-License-Identifier: Apache-2.0
// Reading Python pickles as data. Nothing is ever imported or called: a small set of names that
// PyTorch's files need is known here, everything else is an error that names it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ds/io/file.h"
#include "ds/ir/dtype.h"

namespace ds::io {

/// Memory that tensors of a file share.
struct PickledStorage {
  DType dtype;
  std::string key;
  uint64_t numel = 0;
  Bytes bytes;          // resolved after the pickle was read
  int64_t tensors = 0;  // that lie in it
  std::shared_ptr<const void> owner;
};

struct PickledTensor {
  std::shared_ptr<PickledStorage> storage;
  int64_t offset = 0;
  std::vector<int64_t> size, stride;
};

struct Pickled;
using PickledPtr = Pickled*;

/// A pickled value. Lists and dicts are shared, as in Python, and may contain themselves: they live
/// in a PickleArena.
struct Pickled {
  struct Global {
    std::string name;  // "torch._utils._rebuild_tensor_v2"
  };
  struct List {
    std::vector<PickledPtr> items;
    bool tuple = false;
  };
  struct Dict {
    std::vector<std::pair<PickledPtr, PickledPtr>> items;
  };
  struct Mark {};
  std::variant<std::monostate, bool, int64_t, double, std::string, Global, List, Dict,
               PickledTensor, std::shared_ptr<PickledStorage>, Mark>
      value;
};

using PickleArena = std::deque<Pickled>;

/// Turns the persistent id of a storage into the storage.
using StorageLookup = std::function<std::shared_ptr<PickledStorage>(const Pickled::List& id)>;

/// One pickle from the reader's position, which then stands behind it. FileFormatError for anything
/// malformed or not allowed.
PickledPtr read_pickle(ByteReader& reader, const StorageLookup& storage, PickleArena& arena);

}  // namespace ds::io
