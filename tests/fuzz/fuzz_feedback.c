/* fuzz_feedback.c - any message against the reader of reports, and what it
 * reads against what it promises. The message comes to a return path that is
 * in order, so all that it says is taken for true. */
#include "server/base/check.h"
#include "server/base/codec.h"
#include "server/base/file.h"
#include "smtp/report.h"
#include "smtp/smtp.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keyring *keyring_make(void)
{
    char path[64];
    struct keyring *keyring;

    snprintf(path, sizeof path, "/tmp/posthaste-fuzz-feedback-%d", getpid());
    CHECK(keyring_create(path, NULL));
    keyring = keyring_load(path, NULL);
    CHECK(keyring != NULL);
    unlink(path);
    return keyring;
}

static void check_text(struct str text)
{
    CHECK(utf8_is_valid(text) && !str_has_control(text));
}

static void check_report(struct str message, struct arena *arena)
{
    struct report report;

    report_read(&report, message, arena);
    CHECK(report.recipient_count <= REPORT_RECIPIENTS_MAX);
    CHECK(report.address_count <= REPORT_ADDRESSES_MAX);
    for (size_t i = 0; i < report.recipient_count; i++) {
        check_text(report.recipients[i].status);
        check_text(report.recipients[i].diagnostic);
    }
    check_text(report.feedback_type);
}

static void check_feedback(const struct smtp_feedback *feedback)
{
    CHECK(feedback->kind != SMTP_FEEDBACK_UNSIGNED);
    CHECK(feedback->code == 0 ||
          (feedback->code >= 400 && feedback->code <= 599));
    CHECK((feedback->bounce != NULL) ==
          (feedback->kind == SMTP_FEEDBACK_BOUNCED));
    check_text(feedback->enhanced);
    check_text(feedback->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct keyring *keyring;
    struct arena *arena = arena_create();
    struct str message = str_make(data, size);
    struct id id = id_new(0);
    struct smtp_feedback feedback;
    struct return_path path;
    struct str recipient;

    if (keyring == NULL)
        keyring = keyring_make();
    return_path_init(&path, keyring);
    recipient = return_path_make(&path, S("b.example"), &id, 7, arena);
    check_report(message, arena);
    smtp_feedback_read(&feedback, keyring, recipient, message, arena);
    check_feedback(&feedback);
    if (feedback.kind != SMTP_FEEDBACK_NO_REPORT)
        CHECK(str_eq(id_str(&feedback.email), id_str(&id)) &&
              feedback.number == 7);
    arena_destroy(&arena);
    return 0;
}
