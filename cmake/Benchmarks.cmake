# SPDX-License-Identifier: Apache-2.0
# C++ benchmarks, one program bench_<name> for each file of benchmarks/micro; never part of `all`.

file(GLOB ds_benchmarks CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/benchmarks/micro/*.cpp")
foreach(source IN LISTS ds_benchmarks)
  get_filename_component(name "${source}" NAME_WE)
  add_executable(bench_${name} EXCLUDE_FROM_ALL "${source}")
  target_link_libraries(bench_${name} PRIVATE ds_settings deepseek)
endforeach()
