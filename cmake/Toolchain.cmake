# Warnings, sanitizers and the third-party packages, in one place.
find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(simdjson REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)

# The binary alone builds without the test packages; presets that exist for tests refuse to go without.
option(TIDEGATE_REQUIRE_TESTS "Fail where the test packages are missing" OFF)
if(TIDEGATE_REQUIRE_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
else()
  find_package(GTest QUIET)
  find_package(benchmark QUIET)
endif()

set(TIDEGATE_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")
option(TIDEGATE_FUZZ "Build the libFuzzer targets" OFF)

add_library(tidegate_options INTERFACE)
target_compile_options(tidegate_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Wimplicit-fallthrough -Werror -fno-omit-frame-pointer)
target_include_directories(tidegate_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
if(TIDEGATE_SANITIZE)
  target_compile_options(tidegate_options INTERFACE -fsanitize=${TIDEGATE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(tidegate_options INTERFACE -fsanitize=${TIDEGATE_SANITIZE})
endif()
# What the fuzz targets steer by is counted in the modules; tests and their headers go without.
set(TIDEGATE_COVERAGE "$<$<BOOL:${TIDEGATE_FUZZ}>:-fsanitize=fuzzer-no-link>")
