// SPDX-License-Identifier: Apache-2.0
#include "ds/io/pickle.h"

#include <array>
#include <bit>
#include <unordered_map>

#include "ds/base/error.h"

namespace ds::io {
namespace {

// Names without effect of their own; the rebuild functions are interpreted in reduce().
constexpr std::array kAllowed = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.Size",
    "torch.device",
    "torch.storage.UntypedStorage",
    "torch.storage.TypedStorage",
    "torch.serialization._get_layout",
};
constexpr std::array kStorages = {"Double", "Float", "Half", "BFloat16", "Long",
                                  "Int",    "Short", "Char", "Byte",     "Bool"};
constexpr std::array kDTypes = {"float64", "float32", "float16", "bfloat16", "int64",
                                "int32",   "int16",   "int8",    "uint8",    "bool"};
// Deeper nesting, or more values than bytes could hold, is hostile.
constexpr size_t kMaxStack = 1'000'000;

bool is_allowed(const std::string& name) {
  for (const char* allowed : kAllowed)
    if (name == allowed) return true;
  for (const char* storage : kStorages)
    if (name == std::string("torch.") + storage + "Storage") return true;
  for (const char* dtype : kDTypes)
    if (name == std::string("torch.") + dtype) return true;
  return false;
}

class Machine {
 public:
  Machine(ByteReader& reader, const StorageLookup& storage, PickleArena& arena)
      : in_(reader), storage_(storage), arena_(arena) {}

  PickledPtr run() {
    while (true) {
      const auto op = in_.little<uint8_t>();
      if (op == '.') return pop();
      step(op);
      DS_CHECK(stack_.size() < kMaxStack, FileFormatError, in_.name(),
               ": the pickle is too deeply nested");
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FileFormatError(in_.name() + ": the pickle is damaged: " + what);
  }

  template <class T>
  PickledPtr make(T value) {
    return &arena_.emplace_back(Pickled{std::move(value)});
  }
  void push(PickledPtr value) { stack_.push_back(value); }
  PickledPtr pop() {
    if (stack_.empty()) fail("its stack is empty");
    const PickledPtr top = stack_.back();
    stack_.pop_back();
    return top;
  }
  const PickledPtr& top() const {
    if (stack_.empty()) fail("its stack is empty");
    return stack_.back();
  }
  std::vector<PickledPtr> pop_to_mark() {
    size_t at = stack_.size();
    while (at > 0 && !std::holds_alternative<Pickled::Mark>(stack_[at - 1]->value)) --at;
    if (at == 0) fail("a mark is missing");
    std::vector<PickledPtr> items(stack_.begin() + static_cast<long>(at), stack_.end());
    stack_.resize(at - 1);
    return items;
  }
  template <class T>
  T& as(const PickledPtr& value, const char* what) const {
    T* found = std::get_if<T>(&value->value);
    if (!found) fail(std::string("expected ") + what);
    return *found;
  }
  int64_t integer(const PickledPtr& value) const {
    if (const bool* flag = std::get_if<bool>(&value->value)) return *flag;
    return as<int64_t>(value, "an integer");
  }
  std::vector<int64_t> integers(const PickledPtr& value) const {
    std::vector<int64_t> out;
    for (const PickledPtr& item : as<Pickled::List>(value, "a tuple").items)
      out.push_back(integer(item));
    return out;
  }

  void put(uint64_t index) { memo_[index] = top(); }
  void get(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("an unknown memo entry");
    push(found->second);
  }

  void global(const std::string& module, const std::string& name) {
    const std::string full = module + "." + name;
    DS_CHECK(is_allowed(full), FileFormatError, in_.name(), ": the pickle asks for '", full,
             "', which is not part of a state dict; nothing was executed. Save the model's "
             "state_dict() instead of the model");
    push(make(Pickled::Global{full}));
  }

  void tuple(size_t count) {
    Pickled::List list{{}, true};
    list.items.resize(count);
    for (size_t i = count; i-- > 0;) list.items[i] = pop();
    push(make(std::move(list)));
  }

  void set_items(const std::vector<PickledPtr>& items) {
    if (items.size() % 2) fail("a key without a value");
    auto& dict = as<Pickled::Dict>(top(), "a dict");
    for (size_t i = 0; i + 1 < items.size(); i += 2)
      dict.items.emplace_back(items[i], items[i + 1]);
  }

  /// Little-endian two's complement of up to 8 bytes; PyTorch's magic number is the only longer
  /// one.
  void long_integer(size_t size) {
    const Bytes bytes = in_.take(size);
    uint64_t value = 0;
    for (size_t i = 0; i < std::min<size_t>(size, 8); ++i)
      value |= static_cast<uint64_t>(bytes[i]) << (8 * i);
    if (size > 0 && size < 8 && (bytes[size - 1] & 0x80)) value |= ~uint64_t{0} << (8 * size);
    push(make(static_cast<int64_t>(value)));
  }

  void binary_float() {
    uint64_t bits = 0;
    for (unsigned char byte : in_.take(8)) bits = bits << 8 | byte;
    push(make(std::bit_cast<double>(bits)));
  }

  PickledPtr tensor(const Pickled::List& args) {
    if (args.items.size() < 4) fail("a tensor needs 4 arguments");
    PickledTensor t;
    t.storage = as<std::shared_ptr<PickledStorage>>(args.items[0], "a storage");
    t.offset = integer(args.items[1]);
    t.size = integers(args.items[2]);
    t.stride = integers(args.items[3]);
    return make(std::move(t));
  }

  void reduce() {
    const PickledPtr arguments = pop();
    const PickledPtr callee = pop();
    const auto& args = as<Pickled::List>(arguments, "arguments");
    const std::string& name = as<Pickled::Global>(callee, "a function").name;
    if (name == "collections.OrderedDict") {
      Pickled::Dict dict;
      if (!args.items.empty())
        for (const PickledPtr& pair : as<Pickled::List>(args.items[0], "pairs").items) {
          const auto& items = as<Pickled::List>(pair, "a pair").items;
          if (items.size() != 2) fail("expected a pair");
          dict.items.emplace_back(items[0], items[1]);
        }
      push(make(std::move(dict)));
    } else if (name.starts_with("torch._utils._rebuild_tensor")) {
      push(tensor(args));
    } else if (name.starts_with("torch._utils._rebuild_parameter") || name == "torch.Size" ||
               name == "torch.device") {
      if (args.items.empty()) fail("an argument is missing");
      push(args.items[0]);
    } else {
      fail("it calls " + name);
    }
  }

  void build() {
    pop();
    // Attributes of an OrderedDict (PyTorch's _metadata) are not data of the state dict.
    as<Pickled::Dict>(top(), "a dict to hold attributes");
  }

  void step(uint8_t op) {
    switch (op) {
      case 0x80: in_.take(1); return;                                 // PROTO
      case 0x95: in_.take(8); return;                                 // FRAME
      case '(': push(make(Pickled::Mark{})); return;                  // MARK
      case '0': pop(); return;                                        // POP
      case '1': pop_to_mark(); return;                                // POP_MARK
      case '2': push(PickledPtr(top())); return;                      // DUP
      case '}': push(make(Pickled::Dict{})); return;                  // EMPTY_DICT
      case ']': push(make(Pickled::List{})); return;                  // EMPTY_LIST
      case ')': push(make(Pickled::List{{}, true})); return;          // EMPTY_TUPLE
      case 'q': put(in_.little<uint8_t>()); return;                   // BINPUT
      case 'r': put(in_.little<uint32_t>()); return;                  // LONG_BINPUT
      case 0x94: put(memo_.size()); return;                           // MEMOIZE
      case 'h': get(in_.little<uint8_t>()); return;                   // BINGET
      case 'j': get(in_.little<uint32_t>()); return;                  // LONG_BINGET
      case 'N': push(make(std::monostate{})); return;                 // NONE
      case 0x88: push(make(true)); return;                            // NEWTRUE
      case 0x89: push(make(false)); return;                           // NEWFALSE
      case 'J': push(make(int64_t{in_.little<int32_t>()})); return;   // BININT
      case 'K': push(make(int64_t{in_.little<uint8_t>()})); return;   // BININT1
      case 'M': push(make(int64_t{in_.little<uint16_t>()})); return;  // BININT2
      case 0x8a: long_integer(in_.little<uint8_t>()); return;         // LONG1
      case 0x8b: long_integer(in_.little<uint32_t>()); return;        // LONG4
      case 'G': binary_float(); return;                               // BINFLOAT
      case 'X':
      case 'B':
      case 'T': push_text(in_.little<uint32_t>()); return;
      case 0x8c:
      case 'C':
      case 'U': push_text(in_.little<uint8_t>()); return;
      case 0x8d:
      case 0x8e:
      case 0x96: push_text(in_.little<uint64_t>()); return;
      default: collection(op);
    }
  }

  void push_text(uint64_t size) { push(make(std::string(in_.text(size)))); }

  void collection(uint8_t op) {
    switch (op) {
      case 'c': {  // GLOBAL
        const std::string module(in_.line());
        return global(module, std::string(in_.line()));
      }
      case 0x93: {  // STACK_GLOBAL
        const PickledPtr name = pop(), module = pop();
        return global(as<std::string>(module, "a name"), as<std::string>(name, "a name"));
      }
      case 'R':
      case 0x81: return reduce();  // REDUCE, NEWOBJ
      case 'b': return build();    // BUILD
      case 'Q': {                  // BINPERSID
        const PickledPtr id = pop();
        return push(make(storage_(as<Pickled::List>(id, "a storage's id"))));
      }
      case 't': {  // TUPLE
        Pickled::List list{pop_to_mark(), true};
        return push(make(std::move(list)));
      }
      case 0x85: return tuple(1);
      case 0x86: return tuple(2);
      case 0x87: return tuple(3);
      case 'a': {  // APPEND
        const PickledPtr item = pop();
        as<Pickled::List>(top(), "a list").items.push_back(item);
        return;
      }
      case 'e': {  // APPENDS
        const std::vector<PickledPtr> items = pop_to_mark();
        auto& list = as<Pickled::List>(top(), "a list").items;
        list.insert(list.end(), items.begin(), items.end());
        return;
      }
      case 's': {  // SETITEM
        const PickledPtr value = pop(), key = pop();
        return set_items({key, value});
      }
      case 'u': return set_items(pop_to_mark());  // SETITEMS
      default: fail("opcode " + std::to_string(op) + " is not allowed");
    }
  }

  ByteReader& in_;
  const StorageLookup& storage_;
  PickleArena& arena_;
  std::vector<PickledPtr> stack_;
  std::unordered_map<uint64_t, PickledPtr> memo_;
};

}  // namespace

PickledPtr read_pickle(ByteReader& reader, const StorageLookup& storage, PickleArena& arena) {
  return Machine(reader, storage, arena).run();
}

}  // namespace ds::io
