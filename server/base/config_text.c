#include "server/base/config_text.h"

#include "server/base/buf.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/file.h"
#include "server/base/log.h"
#include "server/base/mail_class.h"
#include "server/base/nearest.h"
#include "server/base/seal.h"
#include "server/base/secret.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX = 4096, NAME_LEN_MAX = 64, HOST_LEN_MAX = 253 };

bool config_refuse(struct config_reading *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    return false;
}

/* Behind a refusal: the nearest of the words, if there is one. */
static bool suggest(struct config_reading *r, struct str text,
                    const char *const *words, size_t count)
{
    const char *nearest = nearest_name(text, words, count);
    size_t len = strlen(r->why);

    if (nearest != NULL)
        snprintf(r->why + len, sizeof r->why - len, "; did you mean \"%s\"?",
                 nearest);
    return false;
}

/* --- numbers with units --- */

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest unit comes last. */
static const struct unit TIMES[] = {{"ms", 1},           {"s", 1000},
                                    {"m", 60 * 1000},    {"h", 3600 * 1000},
                                    {"d", 86400 * 1000}, {NULL, 0}};
static const struct unit SIZES[] = {{"B", 1},
                                    {"KiB", 1024},
                                    {"MiB", 1024 * 1024},
                                    {"GiB", 1024 * 1024 * 1024},
                                    {NULL, 0}};

/* Digits and a unit. */
static bool parse_units(struct str text, const struct unit *units,
                        int64_t *number)
{
    size_t digits = 0;
    uint64_t count;

    while (digits < text.len && ascii_is_digit(text.ptr[digits]))
        digits++;
    if (!str_to_u64(str_slice(text, 0, digits), &count) || count > INT64_MAX)
        return false;
    for (; units->name != NULL; units++)
        if (str_eq(str_from(text, digits), str_of(units->name)))
            return !__builtin_mul_overflow((int64_t)count, units->factor,
                                           number);
    return false;
}

/* In the largest unit that goes into it. */
static const char *units_text(int64_t number, const struct unit *units,
                              char out[32])
{
    const struct unit *best = units;

    for (; units->name != NULL; units++)
        if (number != 0 && number % units->factor == 0)
            best = units;
    snprintf(out, 32, "%" PRId64 "%s", number / best->factor, best->name);
    return out;
}

static bool read_units(struct config_reading *r, struct str text,
                       const struct unit *units, const char *example, void *to)
{
    char least[32];
    char most[32];
    int64_t number;

    if (!parse_units(text, units, &number))
        return config_refuse(r, "write it like %s", example);
    if (number < r->key->min || number > r->key->max)
        return config_refuse(r, "must be from %s to %s",
                             units_text(r->key->min, units, least),
                             units_text(r->key->max, units, most));
    *(int64_t *)to = number;
    return true;
}

bool config_read_duration(struct config_reading *r, struct str text, void *to)
{
    return read_units(r, text, TIMES,
                      "\"500ms\", \"10s\", \"5m\", \"72h\" or "
                      "\"30d\"",
                      to);
}

bool config_read_optional_duration(struct config_reading *r, struct str text,
                                   void *to)
{
    if (text.len > 0)
        return config_read_duration(r, text, to);
    *(int64_t *)to = 0;
    return true;
}

bool config_read_size(struct config_reading *r, struct str text, void *to)
{
    return read_units(r, text, SIZES, "\"512KiB\" or \"40MiB\"", to);
}

static bool read_percent(struct config_reading *r, struct str number,
                         struct config_part *part)
{
    uint64_t percent;

    if (!str_to_u64(number, &percent) || percent < 1 || percent > 100)
        return config_refuse(r, "must be from 1%% to 100%%");
    part->percent = (int64_t)percent;
    return true;
}

bool config_read_part(struct config_reading *r, struct str text, void *to)
{
    struct config_part part = {0};
    bool good = true;

    if (text.len > 0 && text.ptr[text.len - 1] == '%')
        good = read_percent(r, str_slice(text, 0, text.len - 1), &part);
    else if (text.len > 0)
        good = read_units(r, text, SIZES, "\"25%\" or \"512MiB\"", &part.bytes);
    if (good)
        *(struct config_part *)to = part;
    return good;
}

bool config_read_int(struct config_reading *r, int64_t number, int64_t *to)
{
    if (number < r->key->min || number > r->key->max)
        return config_refuse(r, "must be from %" PRId64 " to %" PRId64,
                             r->key->min, r->key->max);
    *to = number;
    return true;
}

bool config_read_rate(struct config_reading *r, struct str text, void *to)
{
    static const char example[] = "write it like \"100/s\" (or /m, /h, /d)";
    struct str count;
    uint64_t number;
    int64_t window_ms;
    int64_t *rate = to; /* the number, the window in ms */
    char one[8];

    if (text.len == 0) {
        rate[0] = 0;
        rate[1] = 1000;
        return true;
    }
    if (!str_cut(&text, '/', &count) || !str_to_u64(count, &number) ||
        text.len != 1)
        return config_refuse(r, "%s", example);
    snprintf(one, sizeof one, "1%c", text.ptr[0]);
    if (!parse_units(str_of(one), TIMES, &window_ms))
        return config_refuse(r, "%s", example);
    if (number > INT64_MAX || !config_read_int(r, (int64_t)number, &rate[0]))
        return config_refuse(r,
                             "the number must be from %" PRId64 " to %" PRId64,
                             r->key->min, r->key->max);
    rate[1] = window_ms;
    return true;
}

/* --- text --- */

static bool keep(struct config_reading *r, struct str text, void *to)
{
    *(const char **)to = arena_cstr(r->arena, text);
    return true;
}

bool config_read_text(struct config_reading *r, struct str text, void *to)
{
    if (str_has_control(text))
        return config_refuse(r, "must not hold control characters");
    return keep(r, text, to);
}

/* Whether it is of letters, digits and others alone. */
static bool is_of(struct str text, const char *others)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\0' || (!ascii_is_alnum(text.ptr[i]) &&
                                    strchr(others, text.ptr[i]) == NULL))
            return false;
    return true;
}

/* Two underscores would part it in the name of a variable. */
bool config_read_name(struct config_reading *r, struct str text, void *to)
{
    if (text.len > NAME_LEN_MAX || !is_of(text, "-_") ||
        str_contains(text, S("__")))
        return config_refuse(
            r,
            "must be of letters, digits, - and single _, at most "
            "%d of them",
            NAME_LEN_MAX);
    return keep(r, text, to);
}

bool config_read_host(struct config_reading *r, struct str text, void *to)
{
    if (text.len > HOST_LEN_MAX || !is_of(text, "-._:"))
        return config_refuse(
            r, "must be a host name or an IP address; the port is "
               "a key of its own");
    return keep(r, text, to);
}

bool config_read_domain(struct config_reading *r, struct str text, void *to)
{
    struct str plain = text;
    char *copy;

    if (str_starts(text, S("*.")))
        plain = str_from(text, 2);
    if (text.len > HOST_LEN_MAX || !is_of(plain, "-._") ||
        (text.len > 0 && plain.len == 0) || str_starts(plain, S(".")) ||
        str_ends(plain, S(".")) || str_contains(plain, S("..")))
        return config_refuse(
            r, "must be a domain in ASCII (xn--...), or \"*.\" and "
               "a domain");
    copy = arena_cstr(r->arena, text);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(copy[i]);
    *(const char **)to = copy;
    return true;
}

bool config_read_prefix(struct config_reading *r, struct str text, void *to)
{
    if (text.len > NAME_LEN_MAX || !is_of(text, ":._-"))
        return config_refuse(
            r,
            "must be of letters, digits and : . _ -, at most %d "
            "of them",
            NAME_LEN_MAX);
    return keep(r, text, to);
}

static bool is_port(struct str text, uint64_t least)
{
    uint64_t port;

    return text.len <= 5 && str_to_u64(text, &port) && port >= least &&
           port <= 65535;
}

/* host:port, [ipv6]:port or *:port. */
static bool is_host_and_port(struct str text, uint64_t least_port)
{
    struct str host = text;

    while (host.len > 0 && host.ptr[host.len - 1] != ':')
        host.len--;
    if (host.len < 2 || !is_port(str_from(text, host.len), least_port))
        return false;
    host.len--;
    if (str_starts(host, S("[")) && str_ends(host, S("]")))
        return host.len > 2 && is_of(str_slice(host, 1, host.len - 2), ":.");
    return str_eq(host, S("*")) ||
           (host.len <= HOST_LEN_MAX && is_of(host, "-._"));
}

bool config_read_endpoint(struct config_reading *r, struct str text, void *to)
{
    bool is_path = str_starts(text, S("unix:/")) && !str_has_control(text);

    if (!is_path && !is_host_and_port(text, 0))
        return config_refuse(
            r, "must be \"host:port\", \"[ipv6]:port\", \"*:port\" "
               "or \"unix:/path\"");
    return keep(r, text, to);
}

static bool is_network(struct str text)
{
    char address[64];
    unsigned char bytes[16];
    struct str rest = text;
    struct str host;
    uint64_t bits = 0;
    bool is_v4;

    if (!str_cut(&rest, '/', &host) || host.len >= sizeof address)
        return false;
    snprintf(address, sizeof address, "%.*s", STR_ARG(host));
    is_v4 = inet_pton(AF_INET, address, bytes) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, bytes) != 1)
        return false;
    return host.len == text.len ||
           (str_to_u64(rest, &bits) && bits <= (is_v4 ? 32 : 128));
}

bool config_read_address(struct config_reading *r, struct str text, void *to)
{
    if (text.len > 0 && (!is_network(text) || str_contains(text, S("/"))))
        return config_refuse(r, "must be an IP address, as \"192.0.2.1\"");
    return keep(r, text, to);
}

bool config_read_network(struct config_reading *r, struct str text, void *to)
{
    if (!is_network(text))
        return config_refuse(r, "must be an IP address, or a network as "
                                "\"10.0.0.0/8\"");
    return keep(r, text, to);
}

static bool is_hex_digit(char c)
{
    return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* As `openssl x509 -fingerprint -sha256` prints it, or without its colons. */
bool config_read_fingerprint(struct config_reading *r, struct str text,
                             void *to)
{
    char digits[SHA256_HEX_SIZE];
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);

        if (c == ':')
            continue;
        if (!is_hex_digit(c) || len == sizeof digits - 1)
            return config_refuse(r, "must be a SHA-256: 64 hex digits");
        digits[len++] = c;
    }
    if (len != sizeof digits - 1)
        return config_refuse(r, "must be a SHA-256: 64 hex digits");
    return keep(r, str_make(digits, len), to);
}

/* "db" behind the slash, or behind ?db=; empty is 0. */
static bool is_database(struct str text)
{
    uint64_t number;

    return text.len == 0 || (str_to_u64(text, &number) && number <= 65535);
}

static bool is_redis_unix(struct str path)
{
    struct str rest = path;
    struct str file;

    if (str_has_control(path) || !str_cut(&rest, '?', &file))
        return false;
    return file.len > 1 &&
           (file.len == path.len ||
            (str_starts(rest, S("db=")) && is_database(str_from(rest, 3))));
}

static bool is_node(struct str host)
{
    return is_host_and_port(host, 1) ||
           (host.len > 0 && host.len <= HOST_LEN_MAX && is_of(host, "-._"));
}

static bool is_redis_host(struct str rest)
{
    struct str host;

    if (!str_cut(&rest, '/', &host))
        return false;
    return is_database(rest) && is_node(host);
}

/* As Sentinel itself takes the name of a master. */
static bool is_master_name(struct str name)
{
    return name.len > 0 && name.len < 64 && is_of(name, "-._");
}

/* "host:port,host/": some of a cluster's nodes, which tell of the others. */
static bool read_cluster(struct config_reading *r, struct str text, void *to)
{
    struct str rest = str_from(text, sizeof "cluster://" - 1);
    struct str hosts;
    struct str host;
    size_t count = 0;
    bool good = str_cut(&rest, '/', &hosts) && hosts.len > 0;

    while (good && str_cut(&hosts, ',', &host))
        good = is_node(host) && ++count <= 16;
    if (!good)
        return config_refuse(r, "must be \"cluster://host:port,host/\", with "
                                "at most 16 nodes");
    if (rest.len > 0 && !str_eq(rest, S("0")))
        return config_refuse(r, "a cluster has no other database than 0");
    return keep(r, text, to);
}

/* "host:port,host,host/name/db" */
static const char *sentinels_fault(struct str rest)
{
    struct str hosts;
    struct str host;
    struct str name;
    size_t count = 0;

    if (!str_cut(&rest, '/', &hosts) || hosts.len == 0)
        return "lacks the Sentinels' addresses";
    while (str_cut(&hosts, ',', &host)) {
        if (!is_node(host))
            return "each Sentinel must be \"host\" or \"host:port\"";
        count++;
    }
    if (count > 16)
        return "names more than 16 Sentinels";
    if (!str_cut(&rest, '/', &name) || !is_master_name(name))
        return "lacks the master's name, which the Sentinels know it by: "
               "letters, digits and - . _";
    return is_database(rest) ? NULL : "the database must be a number";
}

static bool read_sentinels(struct config_reading *r, struct str text, void *to)
{
    const char *fault =
        sentinels_fault(str_from(text, sizeof "sentinel://" - 1));

    if (fault != NULL)
        return config_refuse(
            r, "%s; must be \"sentinel://host:port,host,host/name/db\"", fault);
    return keep(r, text, to);
}

bool config_read_redis_url(struct config_reading *r, struct str text, void *to)
{
    static const char *const later[] = {"rediss://"};

    for (size_t i = 0; i < COUNT_OF(later); i++)
        if (str_starts(text, str_of(later[i])))
            return config_refuse(r, "%s is not supported yet", later[i]);
    if (str_contains(text, S("@")))
        return config_refuse(
            r, "user and password have keys of their own: username "
               "and password_file");
    if (str_starts(text, S("sentinel://")))
        return read_sentinels(r, text, to);
    if (str_starts(text, S("cluster://")))
        return read_cluster(r, text, to);
    if (str_starts(text, S("redis://")) ? !is_redis_host(str_from(text, 8))
                                        : !str_starts(text, S("unix:/")) ||
                                              !is_redis_unix(str_from(text, 5)))
        return config_refuse(
            r, "must be \"redis://host:port/db\", \"unix:/path?db=N\", "
               "\"sentinel://host:port,host,host/name/db\" or "
               "\"cluster://host:port,host/\"");
    return keep(r, text, to);
}

bool config_read_class(struct config_reading *r, struct str text, void *to)
{
    enum mail_class found;
    const char *names[CLASS_COUNT];

    if (text.len == 0 || mail_class_parse(text, &found))
        return keep(r, text, to);
    for (enum mail_class c = 0; c < CLASS_COUNT; c++)
        names[c] = mail_class_name(c);
    config_refuse(r,
                  "must be verification, reset, alert, transactional or bulk");
    return suggest(r, text, names, CLASS_COUNT);
}

/* --- secrets --- */

bool config_read_secret(struct config_reading *r, struct str secret, void *to)
{
    if (str_ends(secret, S("\n")))
        secret.len -= str_ends(secret, S("\r\n")) ? 2 : 1;
    if (secret.len == 0)
        return config_refuse(r, "the secret is empty");
    if (str_index(secret, '\0', 0) >= 0)
        return config_refuse(r, "the secret holds a NUL");
    return keep(r, secret, to);
}

bool config_read_secret_file(struct config_reading *r, struct str path,
                             void *to)
{
    struct error err = {0};
    struct buf content;
    bool ok;

    if (path.len == 0)
        return keep(r, path, to);
    buf_init(&content, SECRET_MAX);
    ok = file_read(arena_cstr(r->arena, path), &content, &err)
             ? config_read_secret(r, buf_str(&content), to)
             : config_refuse(r, "%s", err.text);
    if (content.data != NULL)
        secret_wipe(content.data, content.cap);
    buf_finish(&content);
    return ok;
}

bool config_read_readable_file(struct config_reading *r, struct str path,
                               void *to)
{
    const char *name = arena_cstr(r->arena, path);

    if (path.len == 0)
        return keep(r, path, to);
    if (access(name, R_OK) != 0)
        return config_refuse(r, "%s: %s", name, strerror(errno));
    return config_read_text(r, path, to);
}

bool config_read_public_key(struct config_reading *r, struct str text, void *to)
{
    struct seal_public key;

    if (text.len > 0 && !seal_public_read(text, &key))
        return config_refuse(r, "must be what `posthaste keyring create-worker "
                                "FILE` printed, all of it");
    return keep(r, text, to);
}

bool config_check_program(struct config_reading *r, const char *path)
{
    struct stat facts;

    if (path[0] != '/')
        return config_refuse(r,
                             "\"%s\" must be a path from / on: no shell and "
                             "no PATH is asked",
                             path);
    if (stat(path, &facts) != 0)
        return config_refuse(r, "%s: %s", path, strerror(errno));
    if (!S_ISREG(facts.st_mode) || access(path, X_OK) != 0)
        return config_refuse(r, "%s: not a program that may be run", path);
    return true;
}

/* --- words --- */

struct word {
    const char *name;
    int number;
};

enum { WORDS_MAX = 12 };

static const struct word TLS_WORDS[] = {
    {"implicit", TLS_IMPLICIT},
    {"starttls", TLS_STARTTLS},
    {"opportunistic", TLS_OPPORTUNISTIC},
    {"off", TLS_OFF},
    {NULL, 0},
};
static const struct word CHUNKING_WORDS[] = {
    {"large", CHUNKING_LARGE},
    {"always", CHUNKING_ALWAYS},
    {"never", CHUNKING_NEVER},
    {NULL, 0},
};
static const struct word TRANSCRIPTS_WORDS[] = {
    {"failed", TRANSCRIPTS_FAILED},
    {"all", TRANSCRIPTS_ALL},
    {"none", TRANSCRIPTS_NONE},
    {NULL, 0},
};
static const struct word AUTH_WORDS[] = {
    {"auto", AUTH_AUTO},
    {"none", AUTH_NONE},
    {"plain", AUTH_PLAIN},
    {"login", AUTH_LOGIN},
    {"cram-md5", AUTH_CRAM_MD5},
    {"scram-sha-1", AUTH_SCRAM_SHA_1},
    {"scram-sha-256", AUTH_SCRAM_SHA_256},
    {"oauthbearer", AUTH_OAUTHBEARER},
    {"xoauth2", AUTH_XOAUTH2},
    {NULL, 0},
};
static const struct word LEVEL_WORDS[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN},
    {"error", LOG_ERROR}, {NULL, 0},
};
static const struct word FORMAT_WORDS[] = {
    {"auto", LOG_AUTO},
    {"text", LOG_TEXT},
    {"json", LOG_JSON},
    {NULL, 0},
};

static bool refuse_word(struct config_reading *r, struct str text,
                        const struct word *words)
{
    const char *names[WORDS_MAX];
    size_t count = 0;

    config_refuse(r, "must be");
    for (size_t i = 0; words[i].name != NULL; i++) {
        size_t len = strlen(r->why);

        CHECK(count < WORDS_MAX);
        snprintf(r->why + len, sizeof r->why - len, "%s \"%s\"",
                 count > 0 ? "," : " one of", words[i].name);
        names[count++] = words[i].name;
    }
    return suggest(r, text, names, count);
}

/* The enums of config.h are stored as the ints that they are. */
_Static_assert(sizeof(enum config_tls) == sizeof(int), "an int");
_Static_assert(sizeof(enum config_auth) == sizeof(int), "an int");
_Static_assert(sizeof(enum config_chunking) == sizeof(int), "an int");
_Static_assert(sizeof(enum config_transcripts) == sizeof(int), "an int");

static bool read_word(struct config_reading *r, struct str text,
                      const struct word *words, void *to)
{
    for (const struct word *word = words; word->name != NULL; word++) {
        if (!str_eq(text, str_of(word->name)))
            continue;
        *(int *)to = word->number;
        return true;
    }
    return refuse_word(r, text, words);
}

bool config_read_tls(struct config_reading *r, struct str text, void *to)
{
    return read_word(r, text, TLS_WORDS, to);
}

bool config_read_auth(struct config_reading *r, struct str text, void *to)
{
    return read_word(r, text, AUTH_WORDS, to);
}

bool config_read_chunking(struct config_reading *r, struct str text, void *to)
{
    return read_word(r, text, CHUNKING_WORDS, to);
}

bool config_read_transcripts(struct config_reading *r, struct str text,
                             void *to)
{
    return read_word(r, text, TRANSCRIPTS_WORDS, to);
}

bool config_read_log_level(struct config_reading *r, struct str text, void *to)
{
    return read_word(r, text, LEVEL_WORDS, to);
}

bool config_read_log_format(struct config_reading *r, struct str text, void *to)
{
    return read_word(r, text, FORMAT_WORDS, to);
}
