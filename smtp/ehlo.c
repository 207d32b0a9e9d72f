#include "smtp/ehlo.h"

static void read_pipelining(struct smtp_offers *offers, struct str args)
{
    (void)args;
    offers->pipelining = true;
}

static void read_starttls(struct smtp_offers *offers, struct str args)
{
    (void)args;
    offers->starttls = true;
}

static void read_eightbitmime(struct smtp_offers *offers, struct str args)
{
    (void)args;
    offers->eightbitmime = true;
}

static void read_smtputf8(struct smtp_offers *offers, struct str args)
{
    (void)args;
    offers->smtputf8 = true;
}

static void read_dsn(struct smtp_offers *offers, struct str args)
{
    (void)args;
    offers->dsn = true;
}

static void read_chunking(struct smtp_offers *offers, struct str args)
{
    (void)args;
    offers->chunking = true;
}

/* "SIZE" alone and "SIZE 0" state no limit; a number beyond 64 bits is none
 * either. */
static void read_size(struct smtp_offers *offers, struct str args)
{
    offers->size = true;
    if (!str_to_u64(str_trim(args), &offers->size_max))
        offers->size_max = 0;
}

static void read_auth(struct smtp_offers *offers, struct str args)
{
    static const struct {
        struct str name;
        unsigned bit;
    } MECHANISMS[] = {
        {STR("PLAIN"), OFFERS_PLAIN},
        {STR("LOGIN"), OFFERS_LOGIN},
        {STR("CRAM-MD5"), OFFERS_CRAM_MD5},
        {STR("SCRAM-SHA-1"), OFFERS_SCRAM_SHA_1},
        {STR("SCRAM-SHA-1-PLUS"), OFFERS_SCRAM_SHA_1_PLUS},
        {STR("SCRAM-SHA-256"), OFFERS_SCRAM_SHA_256},
        {STR("SCRAM-SHA-256-PLUS"), OFFERS_SCRAM_SHA_256_PLUS},
        {STR("OAUTHBEARER"), OFFERS_OAUTHBEARER},
        {STR("XOAUTH2"), OFFERS_XOAUTH2},
    };
    struct str word;

    while (str_cut(&args, ' ', &word))
        for (size_t i = 0; i < COUNT_OF(MECHANISMS); i++)
            if (str_eq_nocase(word, MECHANISMS[i].name))
                offers->auth |= MECHANISMS[i].bit;
}

/* RFC 2852 section 3: extensions may stand behind a comma. */
static void read_deliverby(struct smtp_offers *offers, struct str args)
{
    struct str least = S("");

    offers->deliverby = true;
    (void)str_cut(&args, ',', &least);
    if (!str_to_u64(str_trim(least), &offers->by_min_s))
        offers->by_min_s = 0;
}

static void read_limits(struct smtp_offers *offers, struct str args)
{
    struct str limit;
    struct str name;

    while (str_cut(&args, ' ', &limit))
        if (str_cut(&limit, '=', &name) && str_eq_nocase(name, S("MAILMAX")) &&
            !str_to_u64(str_trim(limit), &offers->mail_max))
            offers->mail_max = 0;
}

static const struct keyword {
    struct str name;
    void (*read)(struct smtp_offers *offers, struct str args);
} KEYWORDS[] = {
    {STR("PIPELINING"), read_pipelining},
    {STR("STARTTLS"), read_starttls},
    {STR("8BITMIME"), read_eightbitmime},
    {STR("SMTPUTF8"), read_smtputf8},
    {STR("DSN"), read_dsn},
    {STR("CHUNKING"), read_chunking},
    {STR("DELIVERBY"), read_deliverby},
    {STR("LIMITS"), read_limits},
    {STR("SIZE"), read_size},
    {STR("AUTH"), read_auth},
};

/* "AUTH=LOGIN PLAIN" is what servers of the last century say. */
static struct str cut_keyword(struct str *line)
{
    struct str rest = str_trim(*line);
    size_t len = 0;

    while (len < rest.len && rest.ptr[len] != ' ' && rest.ptr[len] != '=')
        len++;
    *line = str_from(rest, len + 1);
    return str_slice(rest, 0, len);
}

void ehlo_read(const struct smtp_reply *reply, struct smtp_offers *offers)
{
    struct str rest = reply->lines;
    struct str line;

    *offers = (struct smtp_offers){0};
    if (!str_cut(&rest, '\n', &line))
        return;
    while (str_cut(&rest, '\n', &line)) {
        struct str keyword = cut_keyword(&line);

        for (size_t i = 0; i < COUNT_OF(KEYWORDS); i++)
            if (str_eq_nocase(keyword, KEYWORDS[i].name))
                KEYWORDS[i].read(offers, line);
    }
}
