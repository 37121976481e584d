// SPDX-License-Identifier: Apache-2.0
// Uses the installed library the way an outside program does: installed headers only.
#include <ds/ds.h>

#include <iostream>

int main() {
  const ds::DType dtype = ds::promote(ds::DType::f16, ds::DType::bf16);
  std::cout << "deepseek " << DS_VERSION << ": f16 and bf16 combine in " << dtype << "\n";
  return dtype == ds::DType::f32 ? 0 : 1;
}
