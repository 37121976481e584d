// SPDX-License-Identifier: Apache-2.0
#include "ds/io/torch_file.h"

#include <algorithm>
#include <map>

#include "ds/base/error.h"
#include "ds/io/pickle.h"
#include "ds/io/zip.h"

namespace ds::io {
namespace {

// A Python object may contain itself; data may not.
constexpr int kMaxDepth = 200;
// The low 64 bits of 0x1950a86a20f9469cfc6c.
constexpr int64_t kLegacyMagic = static_cast<int64_t>(0xa86a20f9469cfc6c);

DType storage_dtype(const std::string& name, const std::string& path) {
  static const std::map<std::string, DType> kTypes = {
      {"torch.DoubleStorage", DType::f64},        {"torch.FloatStorage", DType::f32},
      {"torch.HalfStorage", DType::f16},          {"torch.BFloat16Storage", DType::bf16},
      {"torch.LongStorage", DType::i64},          {"torch.IntStorage", DType::i32},
      {"torch.ShortStorage", DType::i16},         {"torch.CharStorage", DType::i8},
      {"torch.ByteStorage", DType::u8},           {"torch.BoolStorage", DType::bool_},
      {"torch.storage.UntypedStorage", DType::u8}};
  const auto found = kTypes.find(name);
  DS_CHECK(found != kTypes.end(), FileFormatError, path, ": storage type ", name,
           " is not available");
  return found->second;
}

/// The storages of one file by key.
class Storages {
 public:
  explicit Storages(std::string path) : path_(std::move(path)) {}

  std::shared_ptr<PickledStorage> get(const Pickled::List& id) {
    const auto text = [&](size_t i) {
      const std::string* found =
          i < id.items.size() ? std::get_if<std::string>(&id.items[i]->value) : nullptr;
      DS_CHECK(found, FileFormatError, path_, ": a storage's id is damaged");
      return *found;
    };
    DS_CHECK(text(0) == "storage" && id.items.size() >= 5, FileFormatError, path_,
             ": a storage's id is damaged");
    const auto* type = std::get_if<Pickled::Global>(&id.items[1]->value);
    const auto* numel = std::get_if<int64_t>(&id.items[4]->value);
    DS_CHECK(type && numel && *numel >= 0, FileFormatError, path_, ": a storage's id is damaged");
    auto& storage = by_key_[text(2)];
    if (!storage) {
      storage = std::make_shared<PickledStorage>();
      storage->dtype = storage_dtype(type->name, path_);
      storage->key = text(2);
      storage->numel = static_cast<uint64_t>(*numel);
    }
    return storage;
  }

  StorageLookup lookup() {
    return [this](const Pickled::List& id) { return get(id); };
  }
  std::map<std::string, std::shared_ptr<PickledStorage>>& all() { return by_key_; }

 private:
  std::string path_;
  std::map<std::string, std::shared_ptr<PickledStorage>> by_key_;
};

/// A tensor over a storage's bytes, which it shares where its elements lie in order.
Tensor to_tensor(const PickledTensor& t, const std::string& path) {
  const PickledStorage& storage = *t.storage;
  const size_t item = dtype_size(storage.dtype);
  DS_CHECK(t.size.size() == t.stride.size() && t.size.size() <= static_cast<size_t>(kMaxRank),
           FileFormatError, path, ": a tensor has ", t.size.size(), " sizes and ", t.stride.size(),
           " strides");
  Type type{storage.dtype, {}};
  int64_t last = t.offset, numel = 1;
  bool fits = t.offset >= 0;
  for (size_t i = 0; i < t.size.size(); ++i) {
    int64_t reach = 0;
    fits = fits && t.size[i] >= 0 && t.stride[i] >= 0 &&
           !__builtin_mul_overflow(numel, t.size[i], &numel) &&
           !__builtin_mul_overflow(std::max<int64_t>(t.size[i] - 1, 0), t.stride[i], &reach) &&
           !__builtin_add_overflow(last, reach, &last);
    if (fits) type.shape.push_back(t.size[i]);
  }
  const auto elements = static_cast<int64_t>(storage.bytes.size() / item);
  DS_CHECK(fits && (numel == 0 || last < elements), FileFormatError, path,
           ": a tensor reaches beyond its storage of ", elements, " elements");
  if (numel == 0) return Tensor::from_host("", type);
  const unsigned char* begin = storage.bytes.data() + static_cast<size_t>(t.offset) * item;
  const bool aligned = reinterpret_cast<uintptr_t>(begin) % item == 0;
  const Shape strides = contiguous_strides(type.shape);
  bool in_order = true;
  for (int i = 0; i < strides.rank(); ++i)
    in_order = in_order && (type.shape[i] == 1 || strides[i] == t.stride[static_cast<size_t>(i)]);
  if (in_order && aligned) {
    const auto owner = std::const_pointer_cast<void>(storage.owner);
    // The pages of a tensor that shares them with no other may become a parameter's.
    return Tensor::from_memory({owner, const_cast<unsigned char*>(begin)}, type, default_device(),
                               /*shared=*/storage.tensors > 1);
  }
  // A stride of 0 can make a small file describe a huge tensor.
  DS_CHECK(numel <= elements * 1024, FileFormatError, path, ": a tensor repeats its storage ",
           numel / std::max<int64_t>(elements, 1), " times");
  std::vector<unsigned char> bytes(static_cast<size_t>(numel) * item);
  std::vector<int64_t> index(t.size.size(), 0);
  for (size_t n = 0; n < static_cast<size_t>(numel); ++n) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * t.stride[d];
    std::copy_n(begin + static_cast<size_t>(at) * item, item, bytes.data() + n * item);
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < t.size[d]) break;
      index[d] = 0;
    }
  }
  return Tensor::from_host(bytes.data(), type);
}

/// Counts the tensors in every storage.
void count_tensors(const PickledPtr& value, const std::string& path, int depth = 0) {
  DS_CHECK(depth < kMaxDepth, FileFormatError, path, ": the data is nested too deeply");
  if (const auto* list = std::get_if<Pickled::List>(&value->value)) {
    for (const PickledPtr& item : list->items) count_tensors(item, path, depth + 1);
  } else if (const auto* dict = std::get_if<Pickled::Dict>(&value->value)) {
    for (const auto& [key, item] : dict->items) count_tensors(item, path, depth + 1);
  } else if (const auto* tensor = std::get_if<PickledTensor>(&value->value)) {
    ++tensor->storage->tensors;
  }
}

Tree to_tree(const PickledPtr& value, const std::string& path, int depth = 0) {
  DS_CHECK(depth < kMaxDepth, FileFormatError, path, ": the data is nested too deeply");
  return std::visit(
      [&](const auto& v) -> Tree {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Pickled::List>) {
          TreeList list{{}, v.tuple};
          for (const PickledPtr& item : v.items)
            list.items.push_back(to_tree(item, path, depth + 1));
          return {std::move(list)};
        } else if constexpr (std::is_same_v<T, Pickled::Dict>) {
          TreeDict dict;
          for (const auto& [key, item] : v.items)
            dict.items.emplace_back(to_tree(key, path, depth + 1), to_tree(item, path, depth + 1));
          return {std::move(dict)};
        } else if constexpr (std::is_same_v<T, PickledTensor>) {
          return {to_tensor(v, path)};
        } else if constexpr (std::is_same_v<T, Pickled::Global>) {
          return {v.name};  // a dtype
        } else if constexpr (std::is_same_v<T, Pickled::Mark> ||
                             std::is_same_v<T, std::shared_ptr<PickledStorage>>) {
          throw FileFormatError(path + ": the pickle holds more than data and tensors");
        } else {
          return {v};
        }
      },
      value->value);
}

Tree load_zip(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  const ZipReader zip(file);
  std::string folder;
  for (const ZipReader::Entry& entry : zip.entries())
    if (entry.name.ends_with("/data.pkl"))
      folder = entry.name.substr(0, entry.name.size() - sizeof "data.pkl" + 1);
  DS_CHECK(!folder.empty(), FileFormatError, path,
           ": no data.pkl inside; torch.save did not write it");
  if (const auto* order = zip.find(folder + "byteorder")) {
    const Bytes text = zip.read(*order).bytes;
    DS_CHECK(std::string(text.begin(), text.end()) == "little", FileFormatError, path,
             ": written on a big-endian machine");
  }
  const ZipReader::Contents pickle = zip.read(*zip.find(folder + "data.pkl"));
  ByteReader reader(pickle.bytes, path);
  Storages storages(path);
  PickleArena arena;
  const PickledPtr root = read_pickle(reader, storages.lookup(), arena);
  for (auto& [key, storage] : storages.all()) {
    const ZipReader::Entry* entry = zip.find(folder + "data/" + key);
    DS_CHECK(entry, FileFormatError, path, ": storage ", key, " is missing");
    const ZipReader::Contents contents = zip.read(*entry);
    storage->bytes = contents.bytes;
    storage->owner = contents.owner;
  }
  count_tensors(root, path);
  return to_tree(root, path);
}

Tree load_legacy(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  ByteReader reader(file->bytes(), path);
  Storages storages(path);
  const StorageLookup lookup = storages.lookup();
  PickleArena arena;
  const auto integer = [&] {
    const PickledPtr value = read_pickle(reader, lookup, arena);
    const auto* found = std::get_if<int64_t>(&value->value);
    return found ? *found : 0;
  };
  DS_CHECK(integer() == kLegacyMagic && integer() == 1001, FileFormatError, path,
           ": not a file of torch.save");
  read_pickle(reader, lookup, arena);  // facts about the machine that wrote it
  const PickledPtr root = read_pickle(reader, lookup, arena);
  const PickledPtr keys = read_pickle(reader, lookup, arena);
  const auto* list = std::get_if<Pickled::List>(&keys->value);
  DS_CHECK(list, FileFormatError, path, ": the list of storages is damaged");
  for (const PickledPtr& item : list->items) {
    const auto* key = std::get_if<std::string>(&item->value);
    DS_CHECK(key, FileFormatError, path, ": the list of storages is damaged");
    const auto found = storages.all().find(*key);
    DS_CHECK(found != storages.all().end(), FileFormatError, path, ": storage ", *key,
             " belongs to no tensor");
    const auto numel = reader.little<uint64_t>();
    DS_CHECK(numel <= reader.left(), FileFormatError, path, ": truncated: storage ", *key);
    found->second->bytes = reader.take(numel * dtype_size(found->second->dtype));
    found->second->owner = file;
  }
  count_tensors(root, path);
  return to_tree(root, path);
}

const TreeDict* member(const TreeDict& dict, const char* name) {
  for (const auto& [key, value] : dict.items) {
    const auto* text = std::get_if<std::string>(&key.value);
    if (text && *text == name) return std::get_if<TreeDict>(&value.value);
  }
  return nullptr;
}

}  // namespace

Tree load_torch(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const Bytes bytes = file->bytes();
  const bool zip = bytes.size() >= 2 && bytes[0] == 'P' && bytes[1] == 'K';
  return zip ? load_zip(file) : load_legacy(file);
}

NamedTensors load_torch_state_dict(const std::string& path) {
  const Tree tree = load_torch(path);
  const TreeDict* dict = std::get_if<TreeDict>(&tree.value);
  DS_CHECK(dict, FileFormatError, path, ": holds no state dict");
  for (const char* name : {"state_dict", "model_state_dict", "model"})
    if (const TreeDict* inner = member(*dict, name)) {
      dict = inner;
      break;
    }
  NamedTensors tensors;
  for (const auto& [key, value] : dict->items) {
    const auto* name = std::get_if<std::string>(&key.value);
    const auto* tensor = std::get_if<Tensor>(&value.value);
    DS_CHECK(name && tensor, FileFormatError, path, ": '", name ? *name : "?",
             "' is no tensor; this is no state dict");
    tensors.emplace_back(*name, *tensor);
  }
  return tensors;
}

}  // namespace ds::io
