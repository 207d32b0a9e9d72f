/* What Redis holds is read as if a stranger had written it. */
#include "queue/record.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    struct id email;
    enum record_result result;
    struct record *record;
    struct str mailbox;
    const char *kind;
    size_t end = record_summary_end(bytes);

    CHECK(end <= size);
    CHECK(id_parse(S("0189c000-0000-7000-8000-000000000001"), &email));
    record = record_read(bytes, &email, NULL, &result);
    CHECK((record != NULL) == (result == RECORD_OK));
    if (record == NULL)
        return 0;
    for (unsigned i = 0; i < summary_recipient_count(&record->summary); i++)
        CHECK(summary_recipient(&record->summary, i, &mailbox, &kind));
    if (record->job.mail != NULL)
        CHECK(end < size);
    record_destroy(&record);
    return 0;
}
