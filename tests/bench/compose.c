/* compose - what composing a mail costs.
 *
 *   bench_compose [--rounds 20000]
 *
 * A verification mail of 1 KiB of text and html; the same with a text made
 * from the html; one in Chinese; a 2 MB attachment; html of 5 MB to text. The
 * copy of as many bytes is the yardstick.
 *
 * Then the first one and one of 8 KiB with signatures: by Ed25519, and by RSA
 * besides. Their yardstick is what `openssl speed` measures, the signatures
 * alone, taken in turn with them: of five turns, the medians.
 */
#include "server/worker/compose.h"
#include "smtp/message/html_text.h"
#include "smtp/message/message.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/signer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUT_MAX = 64 << 20,
    KIB = 1024,
    FILE_BYTES = 2 << 20,
    PAGE_BYTES = 5 << 20,
};

static const struct str HTML = STR(
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>"
    "Your code</title></head><body style=\"margin:0\"><div style=\"max-height:"
    "0;overflow:hidden\">Use this code to sign in.</div><table role="
    "\"presentation\"><tr><td><h1>Sign in to ACME</h1><p>Your verification "
    "code is</p><p style=\"font:32px monospace\">483920</p><p>It is good for "
    "ten minutes. If you did not ask for it, <a href=\"https://acme.example/"
    "help\">tell us</a>.</p></td></tr></table></body></html>");
static const struct str TEXT = STR(
    "Sign in to ACME\n\nYour verification code is\n\n483920\n\nIt is good for "
    "ten minutes. If you did not ask for it, tell us "
    "(https://acme.example/help).\n");

struct work {
    struct message message;
    struct arena *arena;
    struct buf out;
};

static void work_init(struct work *work)
{
    struct message *message = &work->message;
    static struct mailbox to;

    *work = (struct work){.arena = arena_create()};
    buf_init(&work->out, OUT_MAX);
    CHECK(mailbox_parse(work->arena, S("ACME <no-reply@acme.example>"),
                        &message->from) == FLAW_NONE);
    CHECK(mailbox_parse(work->arena, S("Jane Doe <jane@example.com>"), &to) ==
          FLAW_NONE);
    message->to = &to;
    message->to_count = 1;
    message->subject = S("483920 is your ACME verification code");
    message->message_id =
        S("<019a0000-0000-7000-8000-000000000000@acme.example>");
    message->date_ms = 1795530247000;
    message->seed = S("019a0000-0000-7000-8000-000000000000");
    message->has_text = true;
    message->text = TEXT;
    message->html = HTML;
}

static void work_finish(struct work *work)
{
    buf_finish(&work->out);
    arena_destroy(&work->arena);
}

/* Mean time of a composition, in ns, with an arena of its own each. */
static double measure(struct work *work, size_t rounds)
{
    uint64_t start = now_ns();

    for (size_t i = 0; i < rounds; i++) {
        struct arena *arena = arena_create();

        buf_clear(&work->out);
        message_compose(&work->message, arena, &work->out, NULL);
        CHECK(!work->out.full);
        arena_destroy(&arena);
    }
    return (double)(now_ns() - start) / (double)rounds;
}

static double measure_copy(size_t bytes, size_t rounds)
{
    char *from = calloc(1, bytes);
    struct buf out;
    uint64_t start;

    CHECK(from != NULL);
    buf_init(&out, bytes);
    start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        buf_clear(&out);
        buf_add(&out, str_make(from, bytes));
    }
    start = now_ns() - start;
    buf_finish(&out);
    free(from);
    return (double)start / (double)rounds;
}

static void bench_mails(size_t rounds)
{
    struct work work;

    work_init(&work);
    report("compose", "text_html", measure(&work, rounds) / 1000, "us");
    report("compose", "text_html_bytes", (double)work.out.len, "bytes");
    work.message.has_text = false;
    report("compose", "html_only", measure(&work, rounds) / 1000, "us");
    work.message.has_text = true;
    work.message.subject = S("您的验证码是 483920");
    work.message.text = S("您好，您的验证码是 483920，十分钟内有效。\n");
    work.message.html = S("<p>您好，您的验证码是 <b>483920</b>。</p>");
    report("compose", "chinese", measure(&work, rounds) / 1000, "us");
    report("compose", "copy_1KiB", measure_copy(KIB, rounds) / 1000, "us");
    work_finish(&work);
}

static void bench_attachment(size_t rounds)
{
    char *content = calloc(1, FILE_BYTES);
    struct attachment file = {.name = S("a.bin")};
    struct work work;
    double ns;

    CHECK(content != NULL);
    work_init(&work);
    file.content = str_make(content, FILE_BYTES);
    work.message.attachments = &file;
    work.message.attachment_count = 1;
    ns = measure(&work, rounds);
    report("compose", "attachment", FILE_BYTES / ns * 1000, "MB/s");
    report("compose", "copy_2MiB",
           FILE_BYTES / measure_copy(FILE_BYTES, rounds) * 1000, "MB/s");
    work_finish(&work);
    free(content);
}

static void bench_html_text(size_t rounds)
{
    struct buf page;
    struct buf out;
    uint64_t start;

    buf_init(&page, PAGE_BYTES + HTML.len);
    while (page.len < PAGE_BYTES)
        buf_add(&page, HTML);
    buf_init(&out, HTML_TEXT_GROWTH_MAX * page.len);
    start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        buf_clear(&out);
        html_text_add(&out, buf_str(&page));
    }
    report("compose", "html_text",
           (double)(page.len * rounds) * 1000 / (double)(now_ns() - start),
           "MB/s");
    buf_finish(&out);
    buf_finish(&page);
}

/* --- signed --- */

enum { TURNS = 5 };

static double measure_signed(struct work *work,
                             const struct compose_signing *signing,
                             size_t rounds)
{
    uint64_t start = now_ns();

    for (size_t i = 0; i < rounds; i++) {
        struct arena *arena = arena_create();
        struct composed composed = {0};

        buf_clear(&work->out);
        composed.body =
            message_compose(&work->message, arena, &work->out, NULL);
        compose_sign(signing, work->message.date_ms, &composed, &work->out);
        CHECK(!work->out.full);
        arena_destroy(&arena);
    }
    return (double)(now_ns() - start) / (double)rounds;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *turns)
{
    qsort(turns, TURNS, sizeof *turns, by_size);
    return turns[TURNS / 2];
}

/* name: "1KiB", "8KiB"; what: "ed25519", "both". */
static void bench_signing(struct work *work, const char *name, const char *what,
                          const struct signer *signers, size_t count,
                          size_t rounds)
{
    struct dkim_signer list[DKIM_ALGORITHMS];
    const struct compose_signing signing = {S("acme.example"), list, count};
    double composed[TURNS];
    double bare[TURNS];
    double ratio[TURNS];
    char key[64];

    for (size_t i = 0; i < count; i++)
        list[i] = (struct dkim_signer){signers[i].key, S("ph1r1")};
    for (size_t turn = 0; turn < TURNS; turn++) {
        bare[turn] = signers_bare_ns(signers, count, rounds);
        composed[turn] = measure_signed(work, &signing, rounds);
        ratio[turn] = composed[turn] / bare[turn];
    }
    snprintf(key, sizeof key, "signed_%s_%s", what, name);
    report("compose", key, median(composed) / 1000, "us");
    snprintf(key, sizeof key, "bare_%s_%s", what, name);
    report("compose", key, median(bare) / 1000, "us");
    snprintf(key, sizeof key, "ratio_%s_%s", what, name);
    report("compose", key, median(ratio), "x");
}

static void bench_signed(size_t rounds)
{
    struct signer both[DKIM_ALGORITHMS];
    struct work work;
    struct buf text;

    signer_init(&both[0], DKIM_RSA);
    signer_init(&both[1], DKIM_ED25519);
    work_init(&work);
    bench_signing(&work, "1KiB", "ed25519", &both[1], 1, rounds);
    bench_signing(&work, "1KiB", "both", both, 2, rounds);
    buf_init(&text, 64 * KIB);
    while (text.len < 7 * KIB)
        buf_add(&text, TEXT);
    work.message.text = buf_str(&text);
    report("compose", "text_html_8KiB", measure(&work, rounds) / 1000, "us");
    bench_signing(&work, "8KiB", "ed25519", &both[1], 1, rounds);
    bench_signing(&work, "8KiB", "both", both, 2, rounds);
    buf_finish(&text);
    work_finish(&work);
    signer_finish(&both[0]);
    signer_finish(&both[1]);
}

int main(int argc, char **argv)
{
    size_t rounds = (size_t)arg_number(argc, argv, "--rounds", 20000);

    bench_mails(rounds);
    bench_signed(rounds / 20 + 1);
    bench_attachment(rounds / 1000 + 1);
    bench_html_text(rounds / 5000 + 1);
    return 0;
}
