# room(NAME DIR [BELOW room...] [LIBS target...])
#
# One folder of the house as a static library. Lua scripts in DIR/scripts are
# embedded as C strings.
function(room name dir)
    cmake_parse_arguments(ROOM "" "" "BELOW;LIBS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c)
    file(GLOB scripts CONFIGURE_DEPENDS ${dir}/scripts/*.lua)
    if(NOT sources)
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${ROOM_BELOW} ${ROOM_LIBS})
        return()
    endif()
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ${ROOM_BELOW} PRIVATE ${ROOM_LIBS})
    if(scripts)
        set(embedded ${CMAKE_BINARY_DIR}/generated/${name}_scripts.inc)
        add_custom_command(OUTPUT ${embedded}
            COMMAND ${CMAKE_COMMAND} -DOUT=${embedded} "-DFILES=${scripts}"
                    -P ${CMAKE_SOURCE_DIR}/cmake/EmbedScripts.cmake
            DEPENDS ${scripts} ${CMAKE_SOURCE_DIR}/cmake/EmbedScripts.cmake
            VERBATIM)
        add_custom_target(${name}_scripts DEPENDS ${embedded})
        add_dependencies(${name} ${name}_scripts)
        target_include_directories(${name} PUBLIC
            ${CMAKE_BINARY_DIR}/generated)
    endif()
endfunction()
