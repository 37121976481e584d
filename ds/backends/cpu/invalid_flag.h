// SPDX-License-Identifier: Apache-2.0
// The processor's sticky flag of invalid operations, which comparing a NaN raises: whether a kernel
// that turns NaN into a number has met one is known without a look at its data.
#pragma once

namespace ds::cpu {

/// The processor has the flag and the comparisons of its vectors raise it.
bool has_invalid_flag();
/// Lowers the flag of this thread, which may run code of others.
void lower_invalid_flag();
/// One of this thread and the `threads` - 1 others of its OpenMP team had raised the flag, for
/// whatever reason. It is down on all of them then.
bool take_invalid_flag(int threads);

}  // namespace ds::cpu
