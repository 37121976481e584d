// SPDX-License-Identifier: Apache-2.0
// The typed errors of the library. A message states the fact, then what to do:
// `matmul: inner sizes differ: lhs f32[2,3], rhs f32[5,3] (3 != 5)`.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

#include "ds/base/str.h"

namespace ds {

/// Base of every error the library throws. Python sees each subclass as an exception of the same
/// name that also derives from the usual Python one (ShapeError is a ValueError, ...).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Sizes or ranks that do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};
/// A data type the operation does not take, or two that do not combine.
class DTypeError : public Error {
 public:
  using Error::Error;
};
/// An unknown, absent or mismatched device or backend.
class DeviceError : public Error {
 public:
  using Error::Error;
};
/// An argument of the right type with an unusable value.
class ValueError : public Error {
 public:
  using Error::Error;
};
/// An index or label outside its range.
class IndexError : public Error {
 public:
  using Error::Error;
};
/// A key or name that is not there.
class KeyError : public Error {
 public:
  using Error::Error;
};
/// A call that autograd or the state of an object does not allow.
class StateError : public Error {
 public:
  using Error::Error;
};
/// A file or message that does not follow its format.
class FileFormatError : public Error {
 public:
  using Error::Error;
};
/// The operating system refused to read or write.
class IOError : public Error {
 public:
  using Error::Error;
};
/// Memory that could not be had.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};
/// Something the library does not do yet; the message names an alternative.
class NotImplementedError : public Error {
 public:
  using Error::Error;
};
/// A bug of the library itself.
class InternalError : public Error {
 public:
  using Error::Error;
};

/// Rethrows `error`; an Error keeps its class and gets `context` appended to its message.
[[noreturn]] void rethrow_with_context(const std::exception_ptr& error, const std::string& context);

/// Throws InternalError with the place and a request to report it.
[[noreturn]] void throw_internal(const char* file, int line, const char* condition,
                                 const std::string& detail);

}  // namespace ds

/// A mistake of the caller: throws the typed error. DS_CHECK(n > 0, ValueError, "n is ", n);
#define DS_CHECK(condition, ErrorType, ...)          \
  do {                                               \
    if (!(condition)) [[unlikely]]                   \
      throw ::ds::ErrorType(::ds::str(__VA_ARGS__)); \
  } while (false)

/// A mistake of the library: throws InternalError.
#define DS_ASSERT(condition, ...)                                     \
  do {                                                                \
    if (!(condition)) [[unlikely]]                                    \
      ::ds::throw_internal(__FILE__, __LINE__, #condition,            \
                           ::ds::str("" __VA_OPT__(, ) __VA_ARGS__)); \
  } while (false)
