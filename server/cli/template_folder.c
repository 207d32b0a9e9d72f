#include "server/cli/template_folder.h"

#include "server/base/codec.h"
#include "server/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, FILE_MODE = 0644, FOLDER_MODE = 0755 };

/* Of template.json, in this order. */
static const char *const MEMBERS[] = {"name",           "from",   "reply_to",
                                      "default_locale", "strict", "variables"};

static const struct {
    const char *member;
    const char *file;
    bool is_line;
} PARTS[] = {
    {"subject", "subject.txt", true},
    {"html", "body.html", false},
    {"text", "body.txt", false},
};

bool template_folder_is_name(struct str name)
{
    if (name.len == 0 || name.len > 64 || !ascii_is_alnum(name.ptr[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '.' &&
            name.ptr[i] != '-' && name.ptr[i] != '_')
            return false;
    return true;
}

static bool join(char out[PATH_SIZE], const char *folder, struct str name,
                 struct error *err)
{
    int len = snprintf(out, PATH_SIZE, "%s/%.*s", folder, STR_ARG(name));

    if (len > 0 && len < PATH_SIZE)
        return true;
    error_set(err, ERR_INPUT, "%s: the path is too long", folder);
    return false;
}

/* --- writing --- */

static bool make_folder(const char *path, struct error *err)
{
    if (mkdir(path, FOLDER_MODE) == 0 || errno == EEXIST)
        return true;
    error_set(err, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    return false;
}

static bool remove_file(const char *path, struct error *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    error_set(err, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    return false;
}

static bool write_file(const char *path, struct str bytes, struct error *err)
{
    return remove_file(path, err) && file_create(path, bytes, FILE_MODE, err);
}

/* Of a value that is none, no file. */
static bool write_part(const char *folder, size_t part,
                       const struct json *value, struct error *err)
{
    char path[PATH_SIZE];
    struct buf bytes;
    bool ok;

    if (!join(path, folder, str_of(PARTS[part].file), err))
        return false;
    if (json_type_of(value) != JSON_TEXT)
        return remove_file(path, err);
    buf_init(&bytes, TEMPLATE_FOLDER_MAX);
    buf_add(&bytes, json_str(value));
    if (PARTS[part].is_line)
        buf_add_char(&bytes, '\n');
    ok = write_file(path, buf_str(&bytes), err);
    buf_finish(&bytes);
    return ok;
}

static bool write_parts(const char *folder, const struct json *from,
                        struct error *err)
{
    if (!make_folder(folder, err))
        return false;
    for (size_t i = 0; i < COUNT_OF(PARTS); i++)
        if (!write_part(folder, i, json_get(from, PARTS[i].member), err))
            return false;
    return true;
}

/* A member a line, a variable a line. */
static void put_settings(const struct json *shown, struct buf *out)
{
    const struct json *list = json_get(shown, "variables");
    bool is_first = true;

    buf_add_cstr(out, "{");
    for (size_t i = 0; i + 1 < COUNT_OF(MEMBERS); i++) {
        const struct json *value = json_get(shown, MEMBERS[i]);

        if (value == NULL || json_type_of(value) == JSON_NULL_VALUE)
            continue;
        buf_addf(out, "%s\n  \"%s\": ", is_first ? "" : ",", MEMBERS[i]);
        json_dump(value, out);
        is_first = false;
    }
    buf_addf(out, "%s\n  \"variables\": [", is_first ? "" : ",");
    for (size_t i = 0; i < json_count(list); i++) {
        buf_add_cstr(out, i == 0 ? "\n    " : ",\n    ");
        json_dump(json_at(list, i), out);
    }
    buf_add_cstr(out, json_count(list) > 0 ? "\n  ]\n}\n" : "]\n}\n");
}

static bool write_settings(const char *folder, const struct json *shown,
                           struct error *err)
{
    char path[PATH_SIZE];
    struct buf bytes;
    bool ok;

    if (!join(path, folder, S("template.json"), err))
        return false;
    buf_init(&bytes, TEMPLATE_FOLDER_MAX);
    put_settings(shown, &bytes);
    ok = write_file(path, buf_str(&bytes), err);
    buf_finish(&bytes);
    return ok;
}

/* Languages that it has not any more. */
static bool drop_locales(const char *folder, const struct json *locales,
                         struct error *err)
{
    struct arena *arena = arena_create();
    const char **names;
    char path[PATH_SIZE];
    size_t count;
    bool ok = file_folders(folder, arena, &names, &count, err);

    for (size_t i = 0; ok && i < count; i++) {
        ok = join(path, folder, str_of(names[i]), err);
        if (!ok || json_get(locales, names[i]) != NULL)
            continue;
        for (size_t part = 0; ok && part < COUNT_OF(PARTS); part++)
            ok = write_part(path, part, NULL, err);
        (void)rmdir(path); /* what else is in there is not ours */
    }
    arena_destroy(&arena);
    return ok;
}

static bool write_locales(const char *folder, const struct json *locales,
                          struct error *err)
{
    const struct json *variant;
    char path[PATH_SIZE];
    struct str locale;
    void *at = NULL;

    while (json_next(locales, &at, &locale, &variant)) {
        if (!template_folder_is_name(locale)) {
            error_set(err, ERR_REMOTE, "a locale that is no name of a folder");
            return false;
        }
        if (!join(path, folder, locale, err) ||
            !write_parts(path, variant, err))
            return false;
    }
    return drop_locales(folder, locales, err);
}

bool template_folder_write(const char *folder, const struct json *shown,
                           struct error *err)
{
    char path[PATH_SIZE];

    if (!template_folder_is_name(json_get_str(shown, "alias"))) {
        error_set(err, ERR_REMOTE, "an alias that is no name of a folder");
        return false;
    }
    return make_folder(folder, err) &&
           join(path, folder, json_get_str(shown, "alias"), err) &&
           write_parts(path, shown, err) && write_settings(path, shown, err) &&
           write_locales(path, json_get(shown, "locales"), err);
}

/* --- reading --- */

/* True and empty-handed when there is none. */
static bool read_file(const char *path, struct buf *bytes, bool *is_there,
                      struct error *err)
{
    buf_clear(bytes);
    *is_there = access(path, F_OK) == 0;
    if (!*is_there)
        return true;
    if (!file_read(path, bytes, err))
        return false;
    if (utf8_is_valid(buf_str(bytes)))
        return true;
    error_set(err, ERR_INPUT, "%s: is not UTF-8", path);
    return false;
}

static bool read_part(const char *folder, size_t part, struct json_out *out,
                      bool says_null, struct error *err)
{
    char path[PATH_SIZE];
    struct buf bytes;
    bool is_there;
    bool ok;

    if (!join(path, folder, str_of(PARTS[part].file), err))
        return false;
    buf_init(&bytes, TEMPLATE_FOLDER_MAX);
    ok = read_file(path, &bytes, &is_there, err);
    if (PARTS[part].is_line && str_ends(buf_str(&bytes), S("\n")))
        buf_truncate(&bytes, bytes.len - 1);
    if (ok && is_there)
        json_add_str(out, PARTS[part].member, buf_str(&bytes));
    else if (ok && says_null)
        json_add_null(out, PARTS[part].member);
    buf_finish(&bytes);
    return ok;
}

static bool read_parts(const char *folder, struct json_out *out, bool says_null,
                       struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(PARTS); i++)
        if (!read_part(folder, i, out, says_null, err))
            return false;
    return true;
}

static bool read_locales(const char *folder, struct json_out *out,
                         struct error *err)
{
    struct arena *arena = arena_create();
    const char **names;
    char path[PATH_SIZE];
    size_t count;
    bool ok = file_folders(folder, arena, &names, &count, err);

    json_name(out, "locales");
    json_open_map(out);
    for (size_t i = 0; ok && i < count; i++) {
        ok = join(path, folder, str_of(names[i]), err);
        if (!ok)
            break;
        json_name(out, names[i]);
        json_open_map(out);
        ok = read_parts(path, out, false, err);
        json_close_map(out);
    }
    json_close_map(out);
    arena_destroy(&arena);
    return ok;
}

/* Every member, and what it has beside them, which the server will refuse. */
static bool read_settings(const char *path, struct json_out *out,
                          struct error *err)
{
    const struct json *value;
    struct json *settings = NULL;
    struct buf bytes;
    struct str name;
    void *at = NULL;

    buf_init(&bytes, TEMPLATE_FOLDER_MAX);
    if (file_read(path, &bytes, err)) {
        settings = json_parse(buf_str(&bytes), err);
        if (settings == NULL)
            error_prefix(err, "%s", path);
    }
    buf_finish(&bytes);
    if (settings == NULL)
        return false;
    while (json_next(settings, &at, &name, &value)) {
        json_name_str(out, name);
        json_put_value(out, value);
    }
    for (size_t i = 1; i < COUNT_OF(MEMBERS); i++) /* the first is needed */
        if (json_get(settings, MEMBERS[i]) == NULL)
            json_add_null(out, MEMBERS[i]);
    json_destroy(&settings);
    return true;
}

bool template_folder_read(const char *folder, const char *alias,
                          struct buf *body, struct error *err)
{
    struct json_out out;
    char path[PATH_SIZE];
    char settings[PATH_SIZE];

    if (!template_folder_is_name(str_of(alias))) {
        error_set(err, ERR_INPUT,
                  "%s/%s: is no alias: want at most 64 letters, digits, dots, "
                  "dashes and underscores, a letter or digit first",
                  folder, alias);
        return false;
    }
    json_out_init(&out, body);
    json_open_map(&out);
    json_add_cstr(&out, "alias", alias);
    if (!join(path, folder, str_of(alias), err) ||
        !join(settings, path, S("template.json"), err) ||
        !read_settings(settings, &out, err) ||
        !read_parts(path, &out, true, err) || !read_locales(path, &out, err))
        return false;
    json_close_map(&out);
    if (!body->full)
        return true;
    error_set(err, ERR_INPUT, "%s: is too large", path);
    return false;
}

/* --- what stands where --- */

void template_folder_file(struct str pointer, struct buf *out)
{
    static const struct str locales = STR("/locales/");
    struct str part = str_from(pointer, 1);
    struct str locale = {0};

    if (str_starts(pointer, locales)) {
        part = str_from(pointer, locales.len);
        str_cut(&part, '/', &locale);
    }
    for (size_t i = 0; i < COUNT_OF(PARTS); i++) {
        if (!str_eq(part, str_of(PARTS[i].member)))
            continue;
        buf_addf(out, "%.*s%s%s", STR_ARG(locale), locale.len > 0 ? "/" : "",
                 PARTS[i].file);
        return;
    }
    buf_add_cstr(out, "template.json");
}
