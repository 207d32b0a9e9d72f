# The commit that is built, as POSTHASTE_COMMIT in the generated header
# commit.inc; "unknown" where the source is no git checkout, as in a tarball. A
# new commit configures again, and the one file that includes it is compiled.
set(commit unknown)
find_package(Git QUIET)
if(GIT_FOUND)
    foreach(question "show-toplevel" "short=12;HEAD" "git-path;logs/HEAD")
        execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --${question}
            WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE answer
            OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        list(APPEND answers "${answer}")
    endforeach()
    # A tarball may lie in the checkout of something else.
    list(GET answers 0 top)
    file(REAL_PATH ${CMAKE_SOURCE_DIR} here)
    if(top STREQUAL here)
        list(GET answers 1 commit)
        list(GET answers 2 moves)
        file(REAL_PATH "${moves}" moves BASE_DIRECTORY ${CMAKE_SOURCE_DIR})
        if(EXISTS ${moves})
            set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
                ${moves})
        endif()
    endif()
endif()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/commit.inc
    CONTENT "#define POSTHASTE_COMMIT \"@commit@\"\n" @ONLY)
