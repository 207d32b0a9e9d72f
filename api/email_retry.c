#include "api/email_retry.h"

#include "server/base/json.h"
#include "smtp/smtp.h"

static bool routes_find(struct arena *arena, const struct config *config,
                        const struct queue_email *email,
                        struct queue_retry *out)
{
    const struct summary *summary = &email->record->summary;
    struct queue_recipient *recipients =
        ARENA_ARRAY(arena, struct queue_recipient, email->delivery_count);

    for (size_t i = 0; i < email->delivery_count; i++) {
        unsigned number = email->deliveries[i].number;
        const struct config_route *route = NULL;
        struct str mailbox;
        const char *kind;

        if (summary_recipient(summary, number, &mailbox, &kind))
            route =
                smtp_route_for(config, &(struct smtp_route_mail){
                                           .mail_class = summary->mail_class,
                                           .from = summary->from,
                                           .to = mailbox,
                                           .tags_json = summary->tags_json,
                                       });
        if (route == NULL)
            return false;
        recipients[i] = (struct queue_recipient){.number = number,
                                                 .route = str_of(route->name)};
    }
    out->recipients = recipients;
    out->recipient_count = email->delivery_count;
    return true;
}

static void set_end(const struct config *config, const struct summary *summary,
                    int64_t now_ms, struct queue_retry *out)
{
    int64_t deadline_ms = smtp_retry_plan(summary->mail_class)->deadline_ms;

    if (summary->expires_ms > now_ms)
        out->ends_ms = summary->expires_ms;
    else if (deadline_ms > 0)
        out->ends_ms = now_ms + deadline_ms;
    else
        out->ends_ms =
            smtp_expires_ms(summary->mail_class, &config->worker, now_ms, 0);
    out->is_deadline = summary->expires_ms > now_ms || deadline_ms > 0;
}

bool email_retry_plan(struct arena *arena, const struct config *config,
                      const struct queue_email *email, int64_t now_ms,
                      struct queue_retry *out)
{
    const struct record *record = email->record;

    set_end(config, &record->summary, now_ms, out);
    out->on_unknown =
        on_unknown_named(json_get_str(record->job.mail, "on_unknown"));
    return routes_find(arena, config, email, out);
}
