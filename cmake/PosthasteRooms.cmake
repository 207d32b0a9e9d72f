# embed(ROOM ROOT ROW SUFFIX FILE...)
#
# Files below ROOT as C strings, in the generated header ROOM_<folder>.inc.
function(embed room root row suffix)
    get_filename_component(folder ${root} NAME)
    set(embedded ${CMAKE_BINARY_DIR}/generated/${room}_${folder}.inc)
    set(way ${CMAKE_SOURCE_DIR}/cmake/EmbedTexts.cmake)
    add_custom_command(OUTPUT ${embedded}
        COMMAND ${CMAKE_COMMAND} -DOUT=${embedded} "-DFILES=${ARGN}"
                -DROOT=${CMAKE_SOURCE_DIR}/${root} -DROW=${row}
                -DSUFFIX=${suffix} -P ${way}
        DEPENDS ${ARGN} ${way}
        VERBATIM)
    add_custom_target(${room}_${folder} DEPENDS ${embedded})
    add_dependencies(${room} ${room}_${folder})
    target_include_directories(${room} PUBLIC ${CMAKE_BINARY_DIR}/generated)
endfunction()

# room(NAME DIR [BELOW room...] [LIBS target...])
#
# One folder of the house as a static library. Lua scripts in DIR/scripts and
# templates in DIR/builtin are embedded.
function(room name dir)
    cmake_parse_arguments(ROOM "" "" "BELOW;LIBS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c)
    file(GLOB scripts CONFIGURE_DEPENDS ${dir}/scripts/*.lua)
    file(GLOB templates CONFIGURE_DEPENDS ${dir}/builtin/*.*
         ${dir}/builtin/*/*.*)
    if(NOT sources)
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${ROOM_BELOW} ${ROOM_LIBS})
        return()
    endif()
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ${ROOM_BELOW} PRIVATE ${ROOM_LIBS})
    if(scripts)
        embed(${name} ${dir}/scripts SCRIPT ".lua" ${scripts})
    endif()
    if(templates)
        embed(${name} ${dir}/builtin TEMPLATE "" ${templates})
    endif()
endfunction()
