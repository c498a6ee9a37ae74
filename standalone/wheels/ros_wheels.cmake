# SPDX-License-Identifier: Apache-2.0
# Read by CMake right after project() of each interface package (CMAKE_PROJECT_INCLUDE), so the packages themselves
# stay ordinary ROS packages. Points them at the ROS 2 wheels from PyPI.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
# <prefix>/lib/pythonX.Y/site-packages/rosidl_cmake/__init__.py -> <prefix>
execute_process(
  COMMAND ${Python3_EXECUTABLE} -c
    "import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec('rosidl_cmake').origin).parents[4])"
  OUTPUT_VARIABLE ros_prefix OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "ROS 2 wheels: ${ros_prefix}")
list(PREPEND CMAKE_PREFIX_PATH "${ros_prefix}")
set(ENV{AMENT_PREFIX_PATH} "${ros_prefix}")
# libraries land in <prefix>/lib, python extensions in <prefix>/lib/pythonX.Y/site-packages/<package>
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/../../..")

# The wheels' imported targets still name the Python headers of the machine that built the wheels
# (/opt/python/cp3XX-cp3XX/include/...), a path CMake refuses. Drop it once the project's CMakeLists has run.
function(ros_wheels_fix_targets)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(t IN LISTS targets)
    get_target_property(dirs ${t} INTERFACE_INCLUDE_DIRECTORIES)
    if(dirs MATCHES "/opt/python/")
      list(FILTER dirs EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${t} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${dirs}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL ros_wheels_fix_targets)
