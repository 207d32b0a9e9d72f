/* What an operator wants to see of an upstream: whether a session can be
 * opened, by one that is none of the pool's and changes nothing; and what is
 * said on those of the pool. */
#include "smtp/engine.h"

#include "server/base/mem.h"
#include "smtp/outcome.h"

#include <stdio.h>
#include <stdlib.h>

struct probe {
    struct list link; /* of smtp->probes */
    struct smtp_session *session;
    struct timer timer;
    smtp_test_fn done;
    void *ctx;
};

static const struct session_events EVENTS;

static struct probe *probe_of(const struct smtp_session *session)
{
    list_each (link, &session->upstream->smtp->probes) {
        struct probe *probe = LIST_MEMBER(link, struct probe, link);

        if (probe->session == session)
            return probe;
    }
    CHECK(false); /* only those in the list are opened here */
    return NULL;
}

static void probe_close(struct probe *probe)
{
    struct loop *loop = probe->session->loop;

    list_remove(&probe->link);
    timer_clear(loop, &probe->timer);
    session_close(&probe->session);
    loop_free_later(loop, free, probe);
}

static void tell(struct probe *probe, const struct smtp_finding *finding,
                 const struct smtp_ruling *ruling)
{
    struct smtp_outcome *outcome =
        outcome_create(probe->session, NULL, finding, ruling, NULL);

    outcome_write_transcript(outcome, probe->session, NULL, S(""));
    probe->done(probe->ctx, &outcome->result);
    outcome_destroy(&outcome);
    probe_close(probe);
}

static void on_opened(struct smtp_session *session)
{
    static const struct smtp_ruling GOOD = {.verdict = SMTP_SENT};
    const struct smtp_finding finding = {.stage = session_stage(session)};

    tell(probe_of(session), &finding, &GOOD);
}

static void on_failed(struct smtp_session *session,
                      const struct smtp_finding *finding)
{
    struct smtp_ruling ruling = smtp_judge(finding);

    tell(probe_of(session), finding, &ruling);
}

static void on_time(void *ctx)
{
    struct probe *probe = ctx;
    enum smtp_stage stage = session_stage(probe->session);
    struct smtp_finding finding;
    char words[60];

    snprintf(words, sizeof words, "not done within %d s",
             SMTP_TEST_MAX_MS / 1000);
    finding_of_trouble(
        &finding, stage,
        stage == SMTP_STAGE_DNS ? TROUBLE_NO_DNS : TROUBLE_TIMEOUT, words);
    on_failed(probe->session, &finding);
}

/* It carries nothing, so nothing else can happen to it. */
static const struct session_events EVENTS = {
    .opened = on_opened,
    .failed = on_failed,
};

void inspect_upstream(struct smtp_upstream *upstream, smtp_test_fn done,
                      void *ctx)
{
    struct smtp *smtp = upstream->smtp;
    struct probe *probe = xcalloc(1, sizeof *probe);

    probe->done = done;
    probe->ctx = ctx;
    probe->session = session_open(smtp->loop, smtp->dns, upstream, &EVENTS);
    list_add_last(&smtp->probes, &probe->link);
    timer_init(&probe->timer, on_time, probe);
    timer_set(smtp->loop, &probe->timer, SMTP_TEST_MAX_MS);
}

void inspect_close(struct smtp *smtp)
{
    list_each_safe (link, &smtp->probes)
        probe_close(LIST_MEMBER(link, struct probe, link));
}

void inspect_failed_session(const struct smtp_session *session,
                            const struct smtp_finding *finding)
{
    struct smtp *smtp = session->upstream->smtp;
    struct smtp_ruling ruling = smtp_judge(finding);
    struct smtp_outcome *outcome;

    if (!session->upstream->is_traced)
        return;
    outcome = outcome_create(session, NULL, finding, &ruling, NULL);
    outcome_write_transcript(outcome, session, NULL, S(""));
    smtp->on_trace(smtp->ctx, session->upstream->index, S(""),
                   &outcome->result);
    outcome_destroy(&outcome);
}
