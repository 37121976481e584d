// SPDX-License-Identifier: Apache-2.0
// Which SIMD targets the kernels are compiled for. Included before any Highway header, by every
// kernel file, so that all of them agree on the dispatch tables.
#pragma once

// SSSE3 and AVX3_DL would cost a third of the compile time and run the same code as EMU128 and
// AVX3. Scalable vectors cannot be kept in arrays, which the accumulators here need.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
