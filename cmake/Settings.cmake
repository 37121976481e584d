# SPDX-License-Identifier: Apache-2.0
# Compiler settings shared by every target: C++20, warnings, Release by default, ccache if there.
# There is no -march: SIMD kernels are compiled for every target at once and chosen at run time.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(DS_CCACHE ccache)
if(DS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${DS_CCACHE}")
endif()

add_library(ds_settings INTERFACE)
target_include_directories(ds_settings INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(ds_settings INTERFACE -Wall -Wextra)
if(DS_SANITIZE)
  add_compile_options(-fsanitize=${DS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${DS_SANITIZE})
endif()

# A third of a small file's compilation is standard headers. They are parsed once per kind of target
# where no ccache is there, which keeps whole objects instead.
set(ds_standard_headers <algorithm> <array> <cmath> <cstdint> <cstring> <functional> <limits> <map>
  <memory> <mutex> <optional> <set> <sstream> <string> <unordered_map> <unordered_set> <utility>
  <vector>)
# ds_precompile(<first target of a kind> <target> [further headers...])
function(ds_precompile first target)
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
  endif()
  if(first STREQUAL target)
    target_precompile_headers(${target} PRIVATE ${ds_standard_headers} ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${first})
  endif()
endfunction()
