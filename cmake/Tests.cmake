# SPDX-License-Identifier: Apache-2.0
# C++ tests: one doctest binary per folder, test_<folder>, found by glob and run by ctest under
# the label of its family (unit, ops, passes, numerics, errors, fuzz, integration).

add_library(ds_test_main OBJECT tests/unit/main.cpp)
target_link_libraries(ds_test_main PRIVATE ds_settings deepseek doctest::doctest)
# Tests compute little themselves, so a shorter build is worth more than their own speed.
add_library(ds_test_settings INTERFACE)
target_compile_options(ds_test_settings INTERFACE $<$<CONFIG:Release>:-O1>)

# ds_add_test(<name> <directory> <label>)
function(ds_add_test name directory label)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${directory}/*.cpp")
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources} $<TARGET_OBJECTS:ds_test_main>)
  target_link_libraries(test_${name} PRIVATE
    ds_settings ds_test_settings deepseek doctest::doctest OpenMP::OpenMP_CXX Threads::Threads)
  ds_precompile(test_base test_${name} <doctest/doctest.h>)
  add_test(NAME ${label}.${name} COMMAND test_${name}
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${label}.${name} PROPERTIES LABELS ${label} TIMEOUT 900)
endfunction()

file(GLOB rooms LIST_DIRECTORIES true CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/unit/*")
foreach(room IN LISTS rooms)
  if(IS_DIRECTORY "${room}")
    get_filename_component(name "${room}" NAME)
    ds_add_test(${name} "${room}" unit)
  endif()
endforeach()
# The families carry a suffix where a unit room has the same name.
foreach(family ops passes numerics errors fuzz integration)
  set(name ${family})
  if(TARGET test_${family})
    set(name ${family}_golden)
  endif()
  ds_add_test(${name} "${PROJECT_SOURCE_DIR}/tests/${family}" ${family})
endforeach()

# The lessons are programs that end with an error when what they show is not true.
file(GLOB lessons CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/lessons/*.cpp")
# So are the C++ programs of the README and the guide.
file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/README.md"
  "${PROJECT_SOURCE_DIR}/docs/guide/*.md")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${pages})
if(Python_Interpreter_FOUND)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/cpp_snippets.py"
            "${PROJECT_BINARY_DIR}/snippets" ${pages}
    OUTPUT_VARIABLE snippets OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" snippets "${snippets}")
endif()
foreach(lesson IN LISTS lessons snippets)
  get_filename_component(name "${lesson}" NAME_WE)
  add_executable(lesson_${name} "${lesson}")
  target_link_libraries(lesson_${name} PRIVATE ds_settings deepseek)
  add_test(NAME examples.${name} COMMAND lesson_${name})
  set_tests_properties(examples.${name} PROPERTIES LABELS examples TIMEOUT 300
    ENVIRONMENT "GOMP_SPINCOUNT=10000")
endforeach()
# The samples of every op feed other families too, and so does the interpreter of graphs.
foreach(family fuzz ops)
  if(TARGET test_${family})
    target_sources(test_${family} PRIVATE "${PROJECT_SOURCE_DIR}/tests/unit/ir/samples.cpp")
  endif()
endforeach()
if(TARGET test_numerics)
  target_sources(test_numerics PRIVATE "${PROJECT_SOURCE_DIR}/tests/ops/interpreter.cpp")
endif()

# The shape of the tree itself: includes only downwards, no file too long.
if(Python_Interpreter_FOUND)
  foreach(check check_layers check_sizes)
    add_test(NAME tree.${check}
      COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/${check}.py")
    set_tests_properties(tree.${check} PROPERTIES LABELS tree)
  endforeach()
endif()
