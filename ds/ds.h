// SPDX-License-Identifier: Apache-2.0
// The whole public library: `#include <ds/ds.h>`.
#pragma once

#include "ds/base/error.h"
#include "ds/base/half.h"
#include "ds/base/parallel.h"
#include "ds/base/version.h"
#include "ds/ir/dtype.h"
#include "ds/ir/shape.h"
#include "ds/runtime/device.h"
#include "ds/tensor/tensor.h"
