# Compiler and linker flags of every target.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(POSTHASTE_SANITIZE "Build with ASan and UBSan" OFF)
option(POSTHASTE_FUZZ "Build the libFuzzer targets (clang)" OFF)
option(FAULT_POINTS "Compile in named crash points" OFF)

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
    -Wall -Wextra -Wpedantic -Werror -Wconversion -Wsign-conversion -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wwrite-strings
    -Wformat=2 -Wvla -Wundef -Wnull-dereference -Wswitch-enum
    -Wimplicit-fallthrough -fno-common -fno-omit-frame-pointer
    -include ${CMAKE_SOURCE_DIR}/server/base/banned.h)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-Wno-string-conversion) # CHECK(!"it may be here")
endif()
include_directories(${CMAKE_SOURCE_DIR})

# Hundreds of programs are linked for the tests, and gold is quicker at it.
find_program(GOLD ld.gold)
if(GOLD AND NOT CMAKE_BUILD_TYPE STREQUAL "Release")
    add_link_options(-fuse-ld=gold)
endif()

if(POSTHASTE_SANITIZE OR POSTHASTE_FUZZ)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
    if(POSTHASTE_FUZZ)
        # Without coverage libFuzzer finds no input interesting and gives up.
        add_compile_options(-fsanitize=fuzzer-no-link)
    endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)
    add_compile_options(-D_FORTIFY_SOURCE=3 -fstack-protector-strong
                        -fstack-clash-protection)
    add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
    include(CheckIPOSupported)
    check_ipo_supported(RESULT has_ipo OUTPUT ignored LANGUAGES C)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ${has_ipo})
endif()

if(FAULT_POINTS)
    add_compile_definitions(FAULT_POINTS)
endif()
