#include "smtp/keys.h"

#include "server/base/mem.h"

#include <stdlib.h>

struct keys_job {
    struct list link; /* of keys->jobs */
    struct work_job work;
    struct keys *keys;
    struct scram_recipe recipe;
    struct scram_keys derived;
    /* NULL: nobody waits for it any more. */
    void (*done)(void *ctx, const struct scram_keys *derived);
    void *ctx;
};

void keys_init(struct keys *keys, struct helper *helper, struct str password)
{
    *keys = (struct keys){.helper = helper, .password = password};
    list_init(&keys->jobs);
}

static void job_destroy(struct keys_job *job)
{
    list_remove(&job->link);
    secret_wipe(&job->derived, sizeof job->derived);
    free(job);
}

void keys_finish(struct keys *keys)
{
    CHECK(list_is_empty(&keys->jobs) || keys->helper->work == NULL);
    list_each_safe (link, &keys->jobs)
        job_destroy(LIST_MEMBER(link, struct keys_job, link));
    secret_wipe(keys->kept, sizeof keys->kept);
}

const struct scram_keys *keys_find(const struct keys *keys,
                                   const struct scram_recipe *recipe)
{
    for (size_t i = 0; i < keys->count; i++)
        if (scram_recipe_eq(&keys->kept[i].recipe, recipe))
            return &keys->kept[i].keys;
    return NULL;
}

/* Sessions that log in together derive the same: it is kept once. */
static void keep(struct keys *keys, const struct keys_job *job)
{
    if (keys_find(keys, &job->recipe) != NULL)
        return;
    keys->kept[keys->next].recipe = job->recipe;
    keys->kept[keys->next].keys = job->derived;
    keys->next = (keys->next + 1) % KEYS_KEPT;
    if (keys->count < KEYS_KEPT)
        keys->count++;
}

/* On the helper thread. */
static void run(void *ctx)
{
    struct keys_job *job = ctx;

    scram_derive(&job->recipe, job->keys->password, &job->derived);
}

static void on_done(void *ctx)
{
    struct keys_job *job = ctx;

    keep(job->keys, job);
    if (job->done != NULL)
        job->done(job->ctx, &job->derived);
    job_destroy(job);
}

struct keys_job *
keys_derive(struct keys *keys, const struct scram_recipe *recipe,
            void (*done)(void *ctx, const struct scram_keys *derived),
            void *ctx)
{
    struct keys_job *job = xcalloc(1, sizeof *job);

    job->keys = keys;
    job->recipe = *recipe;
    job->done = done;
    job->ctx = ctx;
    list_init(&job->link);
    work_job_init(&job->work, run, on_done, job);
    if (!helper_submit(keys->helper, &job->work)) {
        free(job);
        return NULL;
    }
    list_add_last(&keys->jobs, &job->link);
    return job;
}

void keys_cancel(struct keys_job **job)
{
    if (*job == NULL)
        return;
    (*job)->done = NULL;
    *job = NULL;
}
