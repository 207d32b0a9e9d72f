# A binary without the option FAULT_POINTS has nothing of server/base/fault.h:
# no symbol, no section, no name. -DBINARY=... -DNM=...
execute_process(COMMAND ${NM} ${BINARY} OUTPUT_VARIABLE symbols
    COMMAND_ERROR_IS_FATAL ANY)
file(STRINGS ${BINARY} names
    REGEX "fault_points|POSTHASTE_FAULT_|^smtp\\.dot_sent|^enqueue\\.sent")
if(symbols MATCHES " [A-Za-z] fault_(pass|list|point)" OR names)
    file(REMOVE ${BINARY})
    message(FATAL_ERROR "${BINARY} has fault points: ${CMAKE_MATCH_0} ${names}")
endif()
