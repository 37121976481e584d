// SPDX-License-Identifier: Apache-2.0
#include "release.h"

#include <mutex>
#include <utility>
#include <vector>

namespace {

struct Waiting {
  std::mutex mutex;
  std::vector<PyObject*> objects;
  bool announced = false;
};

/// Never destroyed: buffers may outlive static objects.
Waiting& waiting() {
  static auto* instance = new Waiting;
  return *instance;
}

int drop_all(void*) {
  std::vector<PyObject*> objects;
  {
    const std::lock_guard lock(waiting().mutex);
    objects.swap(waiting().objects);
    waiting().announced = false;
  }
  for (PyObject* object : objects) Py_DECREF(object);
  return 0;
}

}  // namespace

void release_object(PyObject* object) {
  if (!Py_IsInitialized()) return;
  if (PyGILState_Check()) {
    Py_DECREF(object);
    return;
  }
  Waiting& w = waiting();
  const std::lock_guard lock(w.mutex);
  w.objects.push_back(object);
  // The interpreter's queue is short; when it is full, the next object announces all.
  if (!w.announced) w.announced = Py_AddPendingCall(&drop_all, nullptr) == 0;
}
