/* Answers of name servers: the first byte chooses the type that is wanted;
 * what is read keeps its limits. */
#include "server/io/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum dns_type TYPES[] = {DNS_TXT,   DNS_MX,  DNS_A,
                                      DNS_CNAME, DNS_PTR, DNS_AAAA};

static void check_records(const struct dns_records *records, enum dns_type type)
{
    size_t bytes = 0;

    CHECK(records->count <= DNS_RECORDS_MAX);
    for (size_t i = 0; i < records->count; i++) {
        struct str data = records->records[i].data;

        bytes += data.len;
        CHECK(type == DNS_TXT || (data.len > 0 && data.len <= 255));
        CHECK(type == DNS_TXT || !str_has_control(data));
    }
    CHECK(bytes <= DNS_RECORDS_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena;
    struct dns_records records;
    enum dns_type type;

    if (size == 0)
        return 0;
    arena = arena_create();
    type = TYPES[data[0] % COUNT_OF(TYPES)];
    if (dns_message_read(str_make(data + 1, size - 1), type, arena, &records))
        check_records(&records, type);
    arena_destroy(&arena);
    return 0;
}
