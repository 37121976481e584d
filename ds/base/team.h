// SPDX-License-Identifier: Apache-2.0
// Keeps the threads of a team on processors of their own.
#pragma once

namespace ds {

/// From now on teams of the calling thread are bound: thread i to the i-th processor of this
/// process, while there are as many threads as processors (num_threads()). Then nothing is lost by
/// it, and the scheduler cannot put two of them on one processor because others are busy with
/// something less urgent; each barrier would wait for a time slice. Not where OMP_PROC_BIND is set,
/// which is OpenMP's own way to ask for it or not.
void bind_teams();

/// To be called before a parallel region of so many threads: binds those that are new.
void prepare_team(int threads);

}  // namespace ds
