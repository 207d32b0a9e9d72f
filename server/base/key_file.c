#include "server/base/key_file.h"

#include "server/base/buf.h"
#include "server/base/codec.h"
#include "server/base/file.h"
#include "server/base/secret.h"

enum { FILE_MAX = 16 * 1024 };

bool is_key_id(struct str id)
{
    if (id.len == 0 || id.len >= KEY_ID_SIZE)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!ascii_is_alnum(id.ptr[i]) && id.ptr[i] != '-' && id.ptr[i] != '_')
            return false;
    return true;
}

static void wipe(struct buf *buf)
{
    if (buf->data != NULL)
        secret_wipe(buf->data, buf->cap);
    buf_finish(buf);
}

/* NULL, or what is wrong with the line. */
static const char *take_key(struct str line, size_t *count,
                            key_file_take_fn *take, void *ctx)
{
    const char *wrong = NULL;
    struct buf bytes;
    struct str id;

    if (!str_cut(&line, ' ', &id) || !is_key_id(id))
        return "does not begin with a key id of letters, digits, - and _";
    if (*count == KEY_FILE_KEYS_MAX)
        return "is one key too many";
    buf_init(&bytes, KEY_SIZE);
    if (!codec_base64_decode(str_trim(line), &bytes) || bytes.len != KEY_SIZE)
        wrong = "is not an id, a blank and 32 bytes in base64";
    else
        wrong = take(ctx, id, (const unsigned char *)bytes.data);
    wipe(&bytes);
    *count += wrong == NULL;
    return wrong;
}

static bool take_keys(struct str text, const char *path, key_file_take_fn *take,
                      void *ctx, struct error *err)
{
    size_t count = 0;
    struct str line;

    for (unsigned number = 1; str_cut(&text, '\n', &line); number++) {
        const char *wrong = NULL;

        line = str_trim(line);
        if (line.len > 0 && line.ptr[0] != '#')
            wrong = take_key(line, &count, take, ctx);
        if (wrong != NULL) {
            error_set(err, ERR_CONFIG, "%s:%u: the line %s", path, number,
                      wrong);
            return false;
        }
    }
    if (count == 0)
        error_set(err, ERR_CONFIG, "%s: holds no key", path);
    return count > 0;
}

bool key_file_read(const char *path, key_file_take_fn *take, void *ctx,
                   struct error *err)
{
    struct buf text;
    bool ok;

    buf_init(&text, FILE_MAX);
    ok = file_read(path, &text, err) &&
         take_keys(buf_str(&text), path, take, ctx, err);
    wipe(&text);
    return ok;
}

bool key_file_create(const char *path, const char *comment, const char *id,
                     const unsigned char bytes[KEY_SIZE], struct error *err)
{
    struct buf text;
    bool ok;

    CHECK(is_key_id(str_of(id)));
    buf_init(&text, FILE_MAX);
    buf_addf(&text, "%s%s ", comment, id);
    codec_base64_add(&text, str_make(bytes, KEY_SIZE));
    buf_add_char(&text, '\n');
    ok = file_create(path, buf_str(&text), 0600, err);
    wipe(&text);
    return ok;
}
