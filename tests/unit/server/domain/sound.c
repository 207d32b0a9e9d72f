#include "sound.h"

#include "check_cmocka.h"
#include "zone.h"

#include <string.h>

static const struct domain_key KEYS[] = {
    {STR("r1"), DKIM_RSA, STR(RSA), DOMAIN_KEY_SIGNS},
    {STR("e1"), DKIM_ED25519, STR(ED25519), DOMAIN_KEY_SIGNS},
    {STR("r0"), DKIM_RSA, STR(RSA), DOMAIN_KEY_PAST},
    {STR("rx"), DKIM_RSA, STR(""), DOMAIN_KEY_PAST},
    {STR("rc"), DKIM_RSA, STR(""), DOMAIN_KEY_COMPROMISED},
};
const struct domain_setup SOUND_SETUP = {
    .name = STR("mail.example.test"),
    .return_path = STR("send"),
    .keys = KEYS,
    .key_count = COUNT_OF(KEYS),
    .spf_include = STR("spf.relay.test"),
    .bounce_mx = STR("bounce.relay.test"),
};

static const char *const GOOD[] = {
    R1 " TXT v=DKIM1; k=rsa; p=" RSA,
    E1 " TXT v=DKIM1; k=ed25519; p=" ED25519,
    R0 " TXT v=DKIM1; p=",
    RX " TXT v=DKIM1; p=",
    RC " TXT v=DKIM1; p=",
    SEND " MX 10 bounce.relay.test",
    SEND " TXT v=spf1 include:spf.relay.test ~all",
    "spf.relay.test TXT v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
    "1.2.0.192.in-addr.arpa PTR out.relay.test",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa "
    "PTR out.relay.test",
    "out.relay.test A 192.0.2.1",
    "out.relay.test AAAA 2001:db8::1",
    "bounce.relay.test A 192.0.2.7",
    "relay.test TXT v=spf1 -all",
    MAIL " MX 10 mx.example.test",
    MAIL " TXT v=spf1 mx -all",
    DMARC " TXT v=DMARC1; p=reject; rua=mailto:a@mail.example.test",
    "_mta-sts." MAIL " TXT v=STSv1; id=20261129",
    STS_AT "200 text/plain " STS_POLICY("enforce", "mx.example.test"),
    "_smtp._tls." MAIL " TXT v=TLSRPTv1; rua=mailto:tls@mail.example.test",
    "default._bimi." MAIL " TXT v=BIMI1; l=https://example.test/logo.svg",
};

_Static_assert(COUNT_OF(GOOD) + SOUND_CHANGES_MAX < SOUND_LINES_MAX,
               "a zone has room for all of them and its end");

/* Lines of one name and type. */
static bool is_about(const char *line, const char *other)
{
    struct str a = str_of(line);
    struct str b = str_of(other);
    ptrdiff_t blank = str_index(b, ' ', 0);
    ptrdiff_t end = str_index(b, ' ', (size_t)blank + 1);

    if (end >= 0)
        b.len = (size_t)end;
    return str_starts(a, b) && (a.len == b.len || a.ptr[b.len] == ' ');
}

void sound_zone(const char *const lines[SOUND_CHANGES_MAX],
                const char *zone[SOUND_LINES_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        bool is_replaced = false;

        for (size_t k = 0; k < SOUND_CHANGES_MAX && lines[k] != NULL; k++)
            is_replaced |= is_about(GOOD[i], lines[k]);
        if (!is_replaced)
            zone[count++] = GOOD[i];
    }
    for (size_t k = 0; k < SOUND_CHANGES_MAX && lines[k] != NULL; k++)
        if (strstr(lines[k], " FAIL") != NULL ||
            strchr(strchr(lines[k], ' ') + 1, ' ') != NULL)
            zone[count++] = lines[k];
    zone[count] = NULL;
}

size_t sound_run(const struct domain_setup *setup, const char *const *zone,
                 struct arena *arena, struct domain_report *report)
{
    struct answers *answers = answers_create();
    size_t asked = 0;
    size_t more;
    bool is_missing;

    do {
        checks_run(setup, answers, arena, report);
        is_missing = answers_are_missing(answers);
        more = zone_answer_all(zone, answers);
        assert_int_equal(is_missing, more > 0);
        asked += more;
    } while (more > 0);
    answers_destroy(&answers);
    return asked;
}

const struct domain_finding *sound_find(const struct domain_report *report,
                                        enum domain_check check, const char *at)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].check == check &&
            (at == NULL || str_eq(report->findings[i].name, str_of(at))))
            return &report->findings[i];
    return NULL;
}
