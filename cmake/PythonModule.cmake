# SPDX-License-Identifier: Apache-2.0
# The module deepseek._core. It lands in <build>/python/deepseek beside links to the package's
# sources, so that PYTHONPATH=<build>/python is the package under development.

file(GLOB_RECURSE ds_python_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/python/src/*.cpp")
if(NOT ds_python_sources)
  set(DS_BUILD_PYTHON OFF)
  return()
endif()

execute_process(
  COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
  OUTPUT_VARIABLE nanobind_DIR OUTPUT_STRIP_TRAILING_WHITESPACE)
find_package(nanobind CONFIG REQUIRED)

set(ds_python_dir "${PROJECT_BINARY_DIR}/python/deepseek")
file(MAKE_DIRECTORY "${ds_python_dir}")
file(GLOB ds_python_entries LIST_DIRECTORIES true CONFIGURE_DEPENDS
  "${PROJECT_SOURCE_DIR}/python/deepseek/*")
foreach(entry IN LISTS ds_python_entries)
  get_filename_component(name "${entry}" NAME)
  if(NOT name STREQUAL "__pycache__")
    file(CREATE_LINK "${entry}" "${ds_python_dir}/${name}" SYMBOLIC)
  endif()
endforeach()

# Docstrings come from the comments in the headers.
file(GLOB ds_documented CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/ds/tensor/*.h")
set(ds_header_docs "${PROJECT_BINARY_DIR}/generated/header_docs.h")
add_custom_command(
  OUTPUT "${ds_header_docs}"
  COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/header_docs.py" "${ds_header_docs}"
          ${ds_documented}
  DEPENDS "${PROJECT_SOURCE_DIR}/tools/header_docs.py" ${ds_documented})

nanobind_add_module(ds_python NB_STATIC ${ds_python_sources} "${ds_header_docs}")
target_include_directories(ds_python PRIVATE "${PROJECT_BINARY_DIR}/generated")
target_link_libraries(ds_python PRIVATE ds_settings deepseek)
ds_precompile(ds_python ds_python <nanobind/nanobind.h>)
set_target_properties(ds_python PROPERTIES
  OUTPUT_NAME _core
  LIBRARY_OUTPUT_DIRECTORY "${ds_python_dir}"
  INSTALL_RPATH "$ORIGIN/${CMAKE_INSTALL_LIBDIR}")

if(DS_PYTHON_STUBS)
  # stubgen imports the package, so it needs NumPy and a package that imports.
  nanobind_add_stub(ds_python_stubs
    MODULE deepseek._core
    PYTHON_PATH "${PROJECT_BINARY_DIR}/python"
    RECURSIVE
    OUTPUT_PATH "${PROJECT_BINARY_DIR}/stubs"
    MARKER_FILE "${PROJECT_BINARY_DIR}/stubs/py.typed"
    DEPENDS ds_python)
endif()
