/* GET /queue: what of the caller's waits. */
#include "api/call.h"

enum { BODY_MAX = 1024 };

static void write_lanes(const struct queue_stats *stats, struct json_out *out)
{
    static const char *const LANES[LANE_COUNT] = {"verification", "alert",
                                                  "transactional", "bulk"};

    json_name(out, "lanes");
    json_open_list(out);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        json_open_map(out);
        json_add_cstr(out, "lane", LANES[i]);
        json_add_int(out, "queued", (int64_t)stats->lanes[i].queued);
        json_add_int(out, "oldest_ms", stats->lanes[i].oldest_ms);
        json_add_milli(out, "accepted_per_s", stats->lanes[i].accepted_rate);
        json_add_milli(out, "delivered_per_s", stats->lanes[i].delivered_rate);
        json_close_map(out);
    }
    json_close_list(out);
}

static void on_stats(void *ctx, const struct queue_stats *stats)
{
    struct call *call = ctx;
    struct queue_lane_stats all = queue_stats_all(stats);
    struct json_out out;
    struct buf body;

    if (stats->status != QUEUE_OK) {
        call_fail_queue(call, stats->status, &stats->why, NULL);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "queue");
    json_add_int(&out, "queued", (int64_t)all.queued);
    json_add_int(&out, "oldest_ms", all.oldest_ms);
    json_add_milli(&out, "accepted_per_s", all.accepted_rate);
    json_add_milli(&out, "delivered_per_s", all.delivered_rate);
    write_lanes(stats, &out);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void queue_show(struct call *call)
{
    queue_stats_of(call->api->queue, call_owner(call), on_stats, call);
}
