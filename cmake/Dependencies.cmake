# SPDX-License-Identifier: Apache-2.0
# Third-party packages. oneDNN and nanobind come from Python wheels, the rest from the system.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(ICU 67 REQUIRED COMPONENTS uc i18n)
if(DS_BUILD_TESTS)
  find_package(doctest REQUIRED)
endif()

# Machine code for elementwise chains, on x86-64 only; elsewhere they are interpreted.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  find_path(XBYAK_INCLUDE_DIR xbyak/xbyak.h REQUIRED)
  add_library(ds_xbyak INTERFACE)
  target_include_directories(ds_xbyak SYSTEM INTERFACE "${XBYAK_INCLUDE_DIR}")
endif()
find_path(HWY_INCLUDE_DIR hwy/highway.h REQUIRED)
find_library(HWY_LIBRARY hwy REQUIRED)
add_library(ds_hwy INTERFACE)
target_include_directories(ds_hwy SYSTEM INTERFACE "${HWY_INCLUDE_DIR}")
target_link_libraries(ds_hwy INTERFACE "${HWY_LIBRARY}")
# Without this a Highway built as a shared library is taken for a static one.
target_compile_definitions(ds_hwy INTERFACE HWY_SHARED_DEFINE)

# The interpreter whose wheels are used: the one asked for, else the project's .venv, else the
# active virtual environment, else the system's.
if(NOT Python_EXECUTABLE AND NOT DEFINED ENV{VIRTUAL_ENV} AND NOT SKBUILD
   AND EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
  set(Python_EXECUTABLE "${PROJECT_SOURCE_DIR}/.venv/bin/python")
endif()
set(Python_FIND_VIRTUALENV FIRST)
if(DS_BUILD_PYTHON)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
else()
  find_package(Python 3.10 COMPONENTS Interpreter)
endif()

# oneDNN's wheel puts its CMake package beside site-packages, where a build in pip's isolated
# environment would not look; the wheel's own list of files says where it is.
if(Python_Interpreter_FOUND AND NOT dnnl_DIR)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
      "from importlib.metadata import files; print(next(f.locate().resolve().parent for f in files('onednn-devel-cpu-gomp') if f.name == 'dnnl-config.cmake'))"
    OUTPUT_VARIABLE ds_dnnl_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(ds_dnnl_dir)
    set(dnnl_DIR "${ds_dnnl_dir}" CACHE PATH "Directory of oneDNN's CMake package" FORCE)
  endif()
endif()
# Its CMake files name policies older than CMake 4 takes.
set(CMAKE_POLICY_VERSION_MINIMUM 3.10)
find_package(dnnl 3.2 CONFIG)
unset(CMAKE_POLICY_VERSION_MINIMUM)
if(NOT dnnl_FOUND)
  message(FATAL_ERROR
    "oneDNN 3.2 was not found; install it with: "
    "pip install onednn-devel-cpu-gomp==2023.2.0 onednn-cpu-gomp==2023.2.0")
endif()
get_target_property(ds_dnnl_library DNNL::dnnl IMPORTED_LOCATION_RELEASE)
get_target_property(ds_dnnl_soname DNNL::dnnl IMPORTED_SONAME_RELEASE)
