/* What a server may say to SCRAM: its first message up to the first line end,
 * its last one behind that. */
#include "server/base/codec.h"
#include "smtp/scram.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 64 * 1024 };

static const struct scram_keys KEYS = {"client key", "server key"};

/* Nobody proves anything but by the one signature. */
static void check_end(const struct scram *scram, struct str message)
{
    size_t size = secret_hash_size(scram->recipe.hash);
    enum scram_end end = scram_read_last(scram, message);
    struct buf proof;

    buf_init(&proof, OUT_MAX);
    buf_add_cstr(&proof, "v=");
    codec_base64_add(&proof, str_make(scram->server_signature, size));
    CHECK(scram_read_last(scram, buf_str(&proof)) == SCRAM_PROVED);
    if (end == SCRAM_PROVED)
        CHECK(str_starts(message, buf_str(&proof)));
    buf_finish(&proof);
}

static void run(const struct scram_client *client, struct str first,
                struct str last)
{
    struct scram scram;
    struct buf out;

    buf_init(&out, OUT_MAX);
    scram_init(&scram, client);
    scram_add_first(&scram, &out);
    if (scram_read_first(&scram, first) == NULL) {
        CHECK(scram.recipe.iterations >= SCRAM_ITERATIONS_MIN &&
              scram.recipe.iterations <= SCRAM_ITERATIONS_MAX);
        CHECK(scram.recipe.salt_len > 0 &&
              scram.recipe.salt_len <= SCRAM_SALT_MAX);
        scram_add_proof(&scram, &KEYS, &out);
        CHECK(!str_has_control(buf_str(&out)));
        check_end(&scram, last);
    }
    CHECK(!out.full);
    scram_finish(&scram);
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tls_binding BINDING = {
        .name = "tls-exporter", .len = 4, .bytes = "bind"};
    struct str last = str_make(data, size);
    struct scram_client client = {
        .username = STR("jo,e"),
        .binding = &BINDING,
        .nonce = "AAAABBBBCCCCDDDDEEEEFFFF",
    };
    struct str first;

    if (!str_cut(&last, '\n', &first))
        return 0;
    for (enum scram_bound bound = SCRAM_UNABLE; bound <= SCRAM_BOUND; bound++) {
        client.hash = bound == SCRAM_UNABLE ? SECRET_SHA1 : SECRET_SHA256;
        client.bound = bound;
        run(&client, first, last);
    }
    return 0;
}
