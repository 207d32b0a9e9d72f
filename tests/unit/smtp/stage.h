/* stage.h - the engine in front of one or two scripted upstreams. */
#ifndef TESTS_SMTP_STAGE_H
#define TESTS_SMTP_STAGE_H

#include "smtp/smtp.h"

#include "server/io/dns.h"
#include "smtp/upstream.h"

#include "play.h"

enum { TURNS_MAX = 500, TURN_MS = 20, START_MS = 1000000 };
enum { WALL_MS = 1700000000 };

enum mark_answer {
    MARKS_YES,
    MARKS_NO,
    MARKS_LATE_THEN_YES, /* the time of the first answer has run out */
    MARKS_LATE_THEN_NO,
    MARKS_BY_HAND,
};

struct stage {
    struct loop *loop;
    struct dns *dns;
    struct play plays[2];
    struct config_upstream upstreams[2];
    const char *names[2];
    struct config_route route;
    struct config config;
    struct smtp *smtp;
    unsigned rooms; /* calls of on_room */
    bool has_rates; /* asks are answered by hand */
    unsigned asks;  /* calls of on_quota */
    struct smtp_quota_ask ask;
    unsigned traces;  /* calls of on_trace */
    char trace[1024]; /* the last one's transcript */
};

struct mail {
    struct smtp_delivery delivery;
    enum mark_answer answer;
    struct loop *loop;
    struct task mark_task;
    unsigned marks;            /* calls of on_mark */
    unsigned dones;            /* of on_done */
    struct smtp_result result; /* its texts point below */
    char text[REPLY_TEXT_MAX + 1];
    char enhanced[16];
    char upstream[16];
    bool has_tls;
};

/* Of the whole program: certificates for those who speak TLS. */
int group_setup(void **state);
int group_teardown(void **state);
/* good, other (name), expired, or alone (of no CA that is known). */
void use_cert(struct play *play, const char *name);

/* count: of upstreams in the route. */
struct stage *stage_create(size_t count);
/* Once the configuration is as the test wants it. */
void stage_open(struct stage *stage);
void stage_destroy(struct stage *stage);

void stage_deliver(struct stage *stage, struct mail *mail);
/* What the queue would say; ctx: the mail. */
void answer_mark(void *ctx);
/* Delivers and waits for the result. */
void send_one(struct stage *stage, struct mail *mail);

/* Turns until *count is at least want. */
void stage_until(struct stage *stage, const unsigned *count, unsigned want);
/* Whatever is on its way arrives. */
void stage_settle(struct stage *stage);
struct smtp_upstream_view view_of(const struct stage *stage, size_t index);
/* Turns until so many connections of upstream one hold. */
void stage_until_held(struct stage *stage, size_t want);

/* --- what scripts are made of --- */

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HELLO       ">220 one", "<EHLO me.example", ">250 one"
#define HELLO_PIPE  ">220 one", "<EHLO me.example", ">250-one", ">250 PIPELINING"
#define MAIL        "<MAIL FROM:<a@me.example>"
#define RCPT        "<RCPT TO:<b@you.example>"
#define BODY        "<Subject: x", "<", "<Hi"
#define ACCEPTED                                                               \
    MAIL, ">250 a", RCPT, ">250 b", "<DATA", ">354 c", BODY, "<.",             \
        ">250 2.0.0 queued"

#endif
