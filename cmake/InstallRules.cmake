# SPDX-License-Identifier: Apache-2.0
# Three components. library: headers, libdeepseek, find_package(deepseek). standalone: what a prefix
# needs that is not a Python environment, oneDNN's library and the linker's name of ours. python:
# the module and its stubs, only in wheels, whose prefix is the package's own folder.
include(CMakePackageConfigHelpers)

set(ds_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/deepseek")

if(SKBUILD)
  # From <env>/lib/python3.x/site-packages/deepseek/lib to <env>/lib, where oneDNN's wheel is.
  set_target_properties(deepseek PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/../../../..")
else()
  set_target_properties(deepseek PROPERTIES INSTALL_RPATH "$ORIGIN")
endif()

install(TARGETS deepseek EXPORT deepseek-targets COMPONENT library
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library NAMELINK_COMPONENT standalone
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library)
install(DIRECTORY ds DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT library
  FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "backends" EXCLUDE)
install(EXPORT deepseek-targets NAMESPACE deepseek:: DESTINATION "${ds_cmake_dir}"
  COMPONENT library)
configure_package_config_file(cmake/deepseek-config.cmake.in deepseek-config.cmake
  INSTALL_DESTINATION "${ds_cmake_dir}")
write_basic_package_version_file(deepseek-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/deepseek-config.cmake"
  "${PROJECT_BINARY_DIR}/deepseek-config-version.cmake"
  DESTINATION "${ds_cmake_dir}" COMPONENT library)

install(FILES "${ds_dnnl_library}" DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  RENAME "${ds_dnnl_soname}" COMPONENT standalone)

if(TARGET ds_python)
  install(TARGETS ds_python LIBRARY DESTINATION . COMPONENT python EXCLUDE_FROM_ALL)
endif()
if(TARGET ds_python_stubs)
  install(DIRECTORY "${PROJECT_BINARY_DIR}/stubs/" DESTINATION . COMPONENT python
    EXCLUDE_FROM_ALL)
endif()
