# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts in a prefix: headers, libdeepseek, find_package(deepseek). In a wheel
# the prefix is the package's own folder, which also gets the module and its stubs.
include(CMakePackageConfigHelpers)

set(ds_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/deepseek")

if(SKBUILD)
  # From <env>/lib/python3.x/site-packages/deepseek/lib to <env>/lib, where oneDNN's wheel is.
  set(ds_namelink NAMELINK_SKIP)
  set_target_properties(deepseek PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/../../../..")
else()
  set_target_properties(deepseek PROPERTIES INSTALL_RPATH "$ORIGIN;${DS_DNNL_LIBRARY_DIR}")
endif()

install(TARGETS deepseek EXPORT deepseek-targets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" ${ds_namelink}
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY ds DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "backends" EXCLUDE)
install(EXPORT deepseek-targets NAMESPACE deepseek:: DESTINATION "${ds_cmake_dir}")
configure_package_config_file(cmake/deepseek-config.cmake.in deepseek-config.cmake
  INSTALL_DESTINATION "${ds_cmake_dir}")
write_basic_package_version_file(deepseek-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/deepseek-config.cmake"
  "${PROJECT_BINARY_DIR}/deepseek-config-version.cmake"
  DESTINATION "${ds_cmake_dir}")

if(SKBUILD AND TARGET ds_python)
  install(TARGETS ds_python LIBRARY DESTINATION .)
  if(TARGET ds_python_stubs)
    install(DIRECTORY "${PROJECT_BINARY_DIR}/stubs/" DESTINATION . FILES_MATCHING PATTERN "*.pyi")
  endif()
endif()
