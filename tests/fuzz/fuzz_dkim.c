/* DKIM: the body's hash is that of a plain reading of RFC 6376 section 3.4.4,
 * line by line; a signature's lines keep their length, whatever the header. */
#include "server/base/codec.h"
#include "smtp/message/dkim.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line without its end. */
static void relax_line(struct str line, struct buf *out)
{
    size_t start = out->len;

    for (size_t i = 0; i < line.len; i++) {
        if (!is_blank(line.ptr[i]))
            buf_add_char(out, line.ptr[i]);
        else if (out->len == start || out->data[out->len - 1] != ' ' ||
                 !is_blank(line.ptr[i - 1]))
            buf_add_char(out, ' ');
    }
    if (out->len > start && out->data[out->len - 1] == ' ')
        buf_truncate(out, out->len - 1);
}

static void relax_body(struct str body, struct buf *out)
{
    while (body.len > 0) {
        ptrdiff_t end = str_find(body, S("\r\n"), 0);
        size_t len = end < 0 ? body.len : (size_t)end;

        relax_line(str_slice(body, 0, len), out);
        buf_add(out, S("\r\n"));
        body = str_from(body, end < 0 ? len : len + 2);
    }
    while (str_ends(buf_str(out), S("\r\n\r\n")))
        buf_truncate(out, out->len - 2);
    if (str_eq(buf_str(out), S("\r\n")))
        buf_clear(out);
}

static void check_body(struct str body, unsigned char hash[SHA256_SIZE])
{
    unsigned char want[SHA256_SIZE];
    const struct octets message = {.frame = body};
    struct buf relaxed;

    buf_init(&relaxed, body.len + 2);
    relax_body(body, &relaxed);
    CHECK(!relaxed.full);
    secret_sha256(buf_str(&relaxed), want);
    dkim_body_hash(&message, 0, hash);
    CHECK(memcmp(hash, want, SHA256_SIZE) == 0);
    buf_finish(&relaxed);
}

static struct dkim_key *key_load(void)
{
    struct dkim_key *key;
    struct buf der;

    buf_init(&der, DKIM_PRIVATE_MAX);
    CHECK(codec_hex_decode(S("302e020100300506032b6570042204209d61b19deffd5a60"
                             "ba844af492ec2cc44449c5697b326919703bac031cae7f"
                             "60"),
                           &der));
    key = dkim_key_load(DKIM_ED25519, buf_str(&der));
    CHECK(key != NULL);
    buf_finish(&der);
    return key;
}

static void check_lines(struct str field)
{
    struct str line;

    CHECK(str_starts(field, S("DKIM-Signature: v=1; ")));
    CHECK(str_ends(field, S("\r\n")));
    while (str_cut(&field, '\n', &line)) {
        CHECK(line.len <= 78 + 1);
        CHECK(utf8_is_ascii(line));
        CHECK(field.len == 0 || field.ptr[0] == ' ');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dkim_key *key;
    struct str bytes = str_make(data, size);
    ptrdiff_t end = str_find(bytes, S("\r\n\r\n"), 0);
    struct str header = str_slice(bytes, 0, end < 0 ? 0 : (size_t)end + 2);
    struct str body = str_from(bytes, end < 0 ? 0 : (size_t)end + 4);
    unsigned char hash[SHA256_SIZE];
    struct dkim_signer signer = {.selector = S("ph1e1")};
    struct buf out;

    if (key == NULL)
        key = key_load();
    signer.key = key;
    buf_init(&out, DKIM_FIELD_MAX);
    check_body(body, hash);
    dkim_sign(header, hash, S("example.com"), 1795530247, &signer, 1, &out);
    CHECK(!out.full);
    check_lines(buf_str(&out));
    buf_finish(&out);
    return 0;
}
