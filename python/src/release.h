// SPDX-License-Identifier: Apache-2.0
// Giving up Python objects from any thread.
#pragma once

#include <Python.h>

/// Drops one reference. A thread that holds the GIL does so at once; any other thread leaves it to
/// the interpreter's main thread and never waits: the engine's thread must not want the GIL while
/// a Python thread that holds it waits for the engine.
void release_object(PyObject* object);
