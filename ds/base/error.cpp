// SPDX-License-Identifier: Apache-2.0
#include "ds/base/error.h"

#include <new>

namespace ds {
namespace {

template <class E>
[[noreturn]] void rethrow_as(const E& error, const std::string& context) {
  throw E(error.what() + context);
}

}  // namespace

void rethrow_with_context(const std::exception_ptr& error, const std::string& context) {
  try {
    std::rethrow_exception(error);
  } catch (const ShapeError& e) {
    rethrow_as(e, context);
  } catch (const DTypeError& e) {
    rethrow_as(e, context);
  } catch (const DeviceError& e) {
    rethrow_as(e, context);
  } catch (const ValueError& e) {
    rethrow_as(e, context);
  } catch (const IndexError& e) {
    rethrow_as(e, context);
  } catch (const KeyError& e) {
    rethrow_as(e, context);
  } catch (const StateError& e) {
    rethrow_as(e, context);
  } catch (const FileFormatError& e) {
    rethrow_as(e, context);
  } catch (const IOError& e) {
    rethrow_as(e, context);
  } catch (const OutOfMemoryError& e) {
    rethrow_as(e, context);
  } catch (const NotImplementedError& e) {
    rethrow_as(e, context);
  } catch (const InternalError& e) {
    rethrow_as(e, context);
  } catch (const std::bad_alloc&) {
    throw OutOfMemoryError("memory: an allocation failed" + context);
  }
}

void throw_internal(const char* file, int line, const char* condition, const std::string& detail) {
  throw InternalError(str("internal error: ", condition, " failed at ", file, ":", line,
                          detail.empty() ? "" : ": ", detail,
                          "; this is a bug of the library, please report it"));
}

}  // namespace ds
