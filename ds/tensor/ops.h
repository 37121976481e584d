// SPDX-License-Identifier: Apache-2.0
// All tensor functions.
#pragma once

#include "ds/tensor/operators.h"
#include "ds/tensor/ops_activation.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_elementwise.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_loss.h"
#include "ds/tensor/ops_nn.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"
#include "ds/tensor/random.h"
