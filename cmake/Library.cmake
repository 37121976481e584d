# SPDX-License-Identifier: Apache-2.0
# Every room of ds/ is one object library, all of them make libdeepseek. A room without sources
# is no target, so rooms open and sources appear without a change here.

set(ds_rooms base ir grad passes runtime engine tensor nn optim data io text dist
             train quant onnx hub automl serve edge)

add_library(deepseek)
add_library(deepseek::deepseek ALIAS deepseek)

# ds_add_room(<target> <directory> [libraries...])
function(ds_add_room target directory)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${directory}/*.cpp")
  if(NOT sources)
    return()
  endif()
  add_library(${target} OBJECT ${sources})
  target_link_libraries(${target} PRIVATE ds_settings OpenMP::OpenMP_CXX Threads::Threads ${ARGN})
  ds_precompile(ds_base ${target})
  target_sources(deepseek PRIVATE $<TARGET_OBJECTS:${target}>)
endfunction()

set(ds_libraries_io JPEG::JPEG PNG::PNG ZLIB::ZLIB)
set(ds_libraries_data JPEG::JPEG PNG::PNG ZLIB::ZLIB)
set(ds_libraries_text ICU::uc ICU::i18n)
foreach(room IN LISTS ds_rooms)
  ds_add_room(ds_${room} ds/${room} ${ds_libraries_${room}})
endforeach()

set(ds_libraries_backend_ref Eigen3::Eigen)
set(ds_libraries_backend_cpu DNNL::dnnl ds_hwy Eigen3::Eigen)
# Plain loops per type: -O2 of GCC 12 vectorises only those of a known length.
set_source_files_properties(
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/copy.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/index.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/index_add.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/matmul_f64.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/sort.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/tile_io.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/typed.cpp"
  "${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/typed_reduce.cpp"
  PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O3>")
if(TARGET ds_xbyak)
  list(APPEND ds_libraries_backend_cpu ds_xbyak)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/ds/backends/cpu/kernels/tile_jit.cpp"
    PROPERTIES COMPILE_DEFINITIONS "DS_TILE_JIT=1")
endif()
foreach(backend IN LISTS DS_BACKENDS)
  ds_add_room(ds_backend_${backend} ds/backends/${backend} ${ds_libraries_backend_${backend}})
endforeach()

target_link_libraries(deepseek PRIVATE
  OpenMP::OpenMP_CXX Threads::Threads ${CMAKE_DL_LIBS} DNNL::dnnl ${HWY_LIBRARY}
  JPEG::JPEG PNG::PNG ZLIB::ZLIB ICU::uc ICU::i18n)
target_compile_features(deepseek PUBLIC cxx_std_20)
target_include_directories(deepseek PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

# Before 1.0 a minor version may break the ABI. One file name, major.minor, because a wheel cannot
# hold symbolic links.
set(ds_soversion "${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}")
set_target_properties(deepseek PROPERTIES
  LINKER_LANGUAGE CXX VERSION "${ds_soversion}" SOVERSION "${ds_soversion}")
