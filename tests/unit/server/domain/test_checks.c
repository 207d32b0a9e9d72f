#include "server/domain/checks.h"

#include "server/base/codec.h"

#include "check_cmocka.h"
#include "zone.h"

#define RSA                                                                    \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1" \
    "fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR" \
    "+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static const struct domain_key KEYS[] = {
    {STR("r1"), DKIM_RSA, STR(RSA), DOMAIN_KEY_SIGNS},
    {STR("e1"), DKIM_ED25519, STR(ED25519), DOMAIN_KEY_SIGNS},
    {STR("r0"), DKIM_RSA, STR(RSA), DOMAIN_KEY_PAST},
    {STR("rx"), DKIM_RSA, STR(""), DOMAIN_KEY_PAST},
};
static const struct domain_setup SETUP = {
    .name = STR("mail.example.test"),
    .return_path = STR("send"),
    .keys = KEYS,
    .key_count = COUNT_OF(KEYS),
    .spf_include = STR("spf.relay.test"),
    .bounce_mx = STR("bounce.relay.test"),
};

#define R1     "r1._domainkey.mail.example.test"
#define E1     "e1._domainkey.mail.example.test"
#define R0     "r0._domainkey.mail.example.test"
#define RX     "rx._domainkey.mail.example.test"
#define SEND   "send.mail.example.test"
#define MAIL   "mail.example.test"
#define DMARC  "_dmarc.mail.example.test"
#define PROBE  "posthaste-asks-for-no-such-name.mail.example.test"
#define REPORT "mail.example.test._report._dmarc.reports.test"

#define STS_AT "mta-sts." MAIL " POLICY "
#define STS_POLICY(mode, mx)                                                   \
    "version: STSv1\r\nmode: " mode "\r\nmax_age: 604800\r\nmx: " mx "\r\n"

/* All is well. */
static const char *const GOOD[] = {
    R1 " TXT v=DKIM1; k=rsa; p=" RSA,
    E1 " TXT v=DKIM1; k=ed25519; p=" ED25519,
    R0 " TXT v=DKIM1; p=",
    RX " TXT v=DKIM1; p=",
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

enum { LINES_MAX = 8 };
/* The zone above, but for names and types that stand in lines, too ("name
 * TYPE" alone: nothing stands there). */
static const struct {
    const char *name;
    const char *lines[LINES_MAX];
    enum domain_check check;
    const char *at; /* its name; NULL: that of the check, whatever it is */
    enum domain_state state;
    bool warns;
    const char *reason; /* a part of it; NULL: none at all */
} CASES[] = {
    {"RSA is published",
     {NULL},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"Ed25519 is published",
     {NULL},
     DOMAIN_CHECK_DKIM,
     E1,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"a past key may be revoked",
     {NULL},
     DOMAIN_CHECK_DKIM,
     R0,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"a revoked key may be gone",
     {RX " TXT"},
     DOMAIN_CHECK_DKIM,
     RX,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"a revoked key stands there still",
     {RX " TXT", RX " TXT v=DKIM1; p=" RSA},
     DOMAIN_CHECK_DKIM,
     RX,
     DOMAIN_FAILED,
     false,
     "has had its time, but its record is there still"},
    {"whatever else is no key",
     {RX " TXT", RX " TXT v=spf1 -all"},
     DOMAIN_CHECK_DKIM,
     RX,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"no key",
     {R1 " TXT"},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "There is no TXT record at " R1},
    {"the panel doubled the domain",
     {R1 " TXT", R1 "." MAIL " TXT v=DKIM1; p=" RSA},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "Enter r1._domainkey as its name"},
    {"an alias to the key",
     {R1 " TXT", R1 " ALIAS k.test", "k.test TXT p=" RSA},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"an alias to nothing",
     {R1 " TXT", R1 " ALIAS k.test"},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "alias (CNAME)"},
    {"DNS fails",
     {R1 " TXT", R1 " FAIL"},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_TEMPORARY,
     false,
     "gave no answer for " R1},
    {"two keys",
     {R1 " TXT p=" RSA, R1 " TXT p="},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "There are 2 TXT records"},
    {"another key",
     {R1 " TXT p=" RSA "=="},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "p= is not a key"},
    {"a key that was cut",
     {R1 " TXT v=DKIM1; p=MIGf"},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "ends after 4 characters"},
    {"interchanged",
     {R1 " TXT v=DKIM1; k=ed25519; p=" ED25519},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "interchanged"},
    {"revoked",
     {R1 " TXT v=DKIM1; p="},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "revoked"},
    {"something else",
     {R1 " TXT v=spf1 -all"},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "wildcard"},
    {"quoted",
     {R1 " TXT \"p=" RSA "\""},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "one-line form"},
    {"malformed",
     {R1 " TXT v=DKIM1; oops"},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "\"oops\""},
    {"h=",
     {R1 " TXT v=DKIM1; h=sha1; p=" RSA},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "h=sha1"},
    {"s=",
     {R1 " TXT v=DKIM1; s=x; p=" RSA},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_FAILED,
     false,
     "s=x"},
    {"testing",
     {R1 " TXT v=DKIM1; t=y; p=" RSA},
     DOMAIN_CHECK_DKIM,
     R1,
     DOMAIN_VERIFIED,
     true,
     "t=y"},

    {"bounces come to us",
     {NULL},
     DOMAIN_CHECK_RETURN_PATH_MX,
     SEND,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"no MX",
     {SEND " MX"},
     DOMAIN_CHECK_RETURN_PATH_MX,
     SEND,
     DOMAIN_FAILED,
     false,
     "bounces cannot come back"},
    {"no MX but an address",
     {SEND " MX", SEND " A 192.0.2.1"},
     DOMAIN_CHECK_RETURN_PATH_MX,
     SEND,
     DOMAIN_FAILED,
     false,
     "own address"},
    {"another MX",
     {SEND " MX 10 mx.other.test"},
     DOMAIN_CHECK_RETURN_PATH_MX,
     SEND,
     DOMAIN_FAILED,
     false,
     "names another host"},
    {"another MX beside it",
     {SEND " MX 10 mx.other.test", SEND " MX 20 BOUNCE.relay.test"},
     DOMAIN_CHECK_RETURN_PATH_MX,
     SEND,
     DOMAIN_VERIFIED,
     true,
     "Delete them"},
    {"our host is away",
     {"bounce.relay.test A"},
     DOMAIN_CHECK_RETURN_PATH_MX,
     SEND,
     DOMAIN_VERIFIED,
     true,
     "has no address"},

    {"SPF includes us",
     {NULL},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"an alias brings both",
     {SEND " MX", SEND " TXT", SEND " ALIAS bounce.relay.test",
      "bounce.relay.test MX 10 bounce.relay.test",
      "bounce.relay.test TXT v=spf1 ip4:192.0.2.0/24 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"an alias to another",
     {SEND " MX", SEND " TXT", SEND " ALIAS other.test",
      "other.test TXT v=spf1 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "does not include:spf.relay.test"},
    {"no SPF",
     {SEND " TXT"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "There is no SPF record"},
    {"two SPF",
     {SEND " TXT v=spf1 include:spf.relay.test ~all", SEND " TXT v=spf1 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "several SPF records"},
    {"+all",
     {SEND " TXT v=spf1 include:spf.relay.test +all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "lets everybody"},
    {"?all",
     {SEND " TXT v=spf1 include:spf.relay.test ?all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_VERIFIED,
     true,
     "~all or -all"},
    {"ptr",
     {SEND " TXT v=spf1 include:spf.relay.test ptr -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_VERIFIED,
     true,
     "ptr"},
    {"without us",
     {SEND " TXT v=spf1 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "does not include:spf.relay.test"},
    {"malformed",
     {SEND " TXT v=spf1 ipv4:1 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "\"ipv4:1\""},
    {"eleven look-ups",
     {SEND " TXT v=spf1 a a a a a a a a a a include:spf.relay.test -all",
      SEND " A 192.0.2.1"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "takes 11 DNS look-ups and may take 10"},
    {"three void ones",
     {SEND " TXT v=spf1 a:a.test a:b.test a:c.test -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "3 names in the SPF record do not exist"},
    {"a bad include",
     {SEND " TXT v=spf1 include:gone.test -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "includes gone.test"},
    {"a circle",
     {SEND " TXT v=spf1 include:" SEND " -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_FAILED,
     false,
     "includes itself"},
    {"an include that fails",
     {SEND " TXT v=spf1 include:fail.test -all", "fail.test FAIL"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     SEND,
     DOMAIN_TEMPORARY,
     false,
     "gave no answer for fail.test"},
    {"the domain's own SPF is sound",
     {NULL},
     DOMAIN_CHECK_SPF,
     MAIL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"it needs none",
     {MAIL " TXT"},
     DOMAIN_CHECK_SPF,
     MAIL,
     DOMAIN_NOT_STARTED,
     false,
     "does not need one"},
    {"it is broken",
     {MAIL " TXT v=spf1 oops"},
     DOMAIN_CHECK_SPF,
     MAIL,
     DOMAIN_FAILED,
     false,
     "\"oops\""},

    {"DMARC", {NULL}, DOMAIN_CHECK_DMARC, DMARC, DOMAIN_VERIFIED, false, NULL},
    {"DMARC at the parent",
     {DMARC " TXT", "_dmarc.example.test TXT v=DMARC1; p=none"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"no DMARC",
     {DMARC " TXT"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_FAILED,
     false,
     "There is no DMARC record"},
    {"two DMARC",
     {DMARC " TXT v=DMARC1; p=none", DMARC " TXT v=DMARC1; p=reject"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_FAILED,
     false,
     "several DMARC"},
    {"a bad DMARC",
     {DMARC " TXT v=DMARC1; p=monitor"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_FAILED,
     false,
     "\"p=monitor\""},
    {"reports to nobody",
     {DMARC " TXT v=DMARC1; p=none; rua=mailto:a@reports.test"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_VERIFIED,
     true,
     REPORT},
    {"reports to one who takes them",
     {DMARC " TXT v=DMARC1; p=none; rua=mailto:a@reports.test",
      REPORT " TXT v=DMARC1"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"pct",
     {DMARC " TXT v=DMARC1; p=reject; pct=50"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_VERIFIED,
     true,
     "pct=50"},
    {"DMARC fails",
     {DMARC " TXT", DMARC " FAIL"},
     DOMAIN_CHECK_DMARC,
     DMARC,
     DOMAIN_TEMPORARY,
     false,
     "gave no answer"},

    {"replies arrive",
     {NULL},
     DOMAIN_CHECK_FROM_MX,
     MAIL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"null MX",
     {MAIL " MX 0 ."},
     DOMAIN_CHECK_FROM_MX,
     MAIL,
     DOMAIN_FAILED,
     false,
     "takes no mail (null MX"},
    {"no MX",
     {MAIL " MX"},
     DOMAIN_CHECK_FROM_MX,
     MAIL,
     DOMAIN_FAILED,
     false,
     "can receive no mail"},
    {"an address",
     {MAIL " MX", MAIL " AAAA 2001:db8::1"},
     DOMAIN_CHECK_FROM_MX,
     MAIL,
     DOMAIN_VERIFIED,
     true,
     "replies go to its own address"},

    {"no wildcard",
     {NULL},
     DOMAIN_CHECK_WILDCARD,
     PROBE,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"a wildcard",
     {PROBE " TXT v=spf1 -all"},
     DOMAIN_CHECK_WILDCARD,
     PROBE,
     DOMAIN_FAILED,
     false,
     "wildcard record (*)"},

    {"MTA-STS",
     {NULL},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"none",
     {"_mta-sts." MAIL " TXT"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_NOT_STARTED,
     false,
     "Not in use."},
    {"no id",
     {"_mta-sts." MAIL " TXT v=STSv1; id=2026-11"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "id="},
    {"two",
     {"_mta-sts." MAIL " TXT v=STSv1; id=1",
      "_mta-sts." MAIL " TXT v=STSv1; id=2"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "several records"},
    {"a policy that is not there",
     {STS_AT "0 no such host"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "(no such host)"},
    {"a policy that comes late",
     {STS_AT "0 late"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_TEMPORARY,
     false,
     "gave no answer for https://mta-sts.mail.example"},
    {"a policy elsewhere",
     {STS_AT "301 text/html gone"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "They follow no redirect"},
    {"no policy",
     {STS_AT "404 text/html gone"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "HTTP 404 where 200 is wanted"},
    {"a long policy",
     {STS_AT "long text/plain " STS_POLICY("enforce", "*.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "longer than 64 KiB"},
    {"a page for a policy",
     {STS_AT "200 text/html <html>"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "cannot be read at \"<html>\""},
    {"another version",
     {STS_AT "200 text/plain version: STSv2\n"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "no line"},
    {"no mode",
     {STS_AT "200 text/plain version: STSv1\nmax_age: 1\n"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "no mode of"},
    {"no age",
     {STS_AT "200 text/plain version: STSv1\nmode: none\n"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "no max_age of"},
    {"no host",
     {STS_AT "200 text/plain version: STSv1\nmode: enforce\nmax_age: 1\n"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "names no mx"},
    {"no name",
     {STS_AT "200 text/plain " STS_POLICY("enforce", "mx.*.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "mx: mx.*.test in the policy is not"},
    {"a host that is not allowed",
     {STS_AT "200 text/plain " STS_POLICY("enforce", "*.mail.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "mx.example.test takes mail for the domain"},
    {"a second host that is not",
     {MAIL " MX 10 mx.example.test", MAIL " MX 20 backup.test"},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_FAILED,
     false,
     "backup.test takes mail for the domain"},
    {"a star for one label",
     {STS_AT "200 text/plain " STS_POLICY("enforce", "*.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"without MX the domain is meant",
     {MAIL " MX",
      STS_AT "200 text/plain " STS_POLICY("enforce", "mail.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"a null MX",
     {MAIL " MX 0 ."},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"another type",
     {STS_AT "200 text/html " STS_POLICY("enforce", "mx.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     true,
     "comes as \"text/html\""},
    {"a type with a charset",
     {STS_AT
      "200 Text/Plain;charset=utf-8 " STS_POLICY("enforce", "mx.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"testing",
     {STS_AT "200 text/plain " STS_POLICY("testing", "mx.example.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     true,
     "mode is testing"},
    {"testing, not allowed",
     {STS_AT "200 text/plain " STS_POLICY("testing", "mx.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     true,
     "with the mode enforce"},
    {"mode none",
     {STS_AT "200 text/plain " STS_POLICY("none", "mx.test")},
     DOMAIN_CHECK_MTA_STS,
     NULL,
     DOMAIN_VERIFIED,
     true,
     "mode is none"},
    {"TLS-RPT",
     {NULL},
     DOMAIN_CHECK_TLS_RPT,
     NULL,
     DOMAIN_VERIFIED,
     false,
     NULL},
    {"no rua",
     {"_smtp._tls." MAIL " TXT v=TLSRPTv1; rua=me"},
     DOMAIN_CHECK_TLS_RPT,
     NULL,
     DOMAIN_FAILED,
     false,
     "rua="},
    {"malformed",
     {"_smtp._tls." MAIL " TXT v=TLSRPTv1; oops"},
     DOMAIN_CHECK_TLS_RPT,
     NULL,
     DOMAIN_FAILED,
     false,
     "\"oops\""},
    {"BIMI", {NULL}, DOMAIN_CHECK_BIMI, NULL, DOMAIN_VERIFIED, false, NULL},
    {"BIMI without DMARC",
     {DMARC " TXT v=DMARC1; p=none"},
     DOMAIN_CHECK_BIMI,
     NULL,
     DOMAIN_FAILED,
     false,
     "DMARC is not enforced"},
    {"BIMI without a logo",
     {"default._bimi." MAIL " TXT v=BIMI1; l=logo.svg"},
     DOMAIN_CHECK_BIMI,
     NULL,
     DOMAIN_FAILED,
     false,
     "l="},
    {"BIMI declined",
     {"default._bimi." MAIL " TXT v=BIMI1; l=; a=;"},
     DOMAIN_CHECK_BIMI,
     NULL,
     DOMAIN_NOT_STARTED,
     false,
     "no logo"},
};

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

static void make_zone(const char *const lines[LINES_MAX],
                      const char *zone[COUNT_OF(GOOD) + LINES_MAX + 1])
{
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        bool is_replaced = false;

        for (size_t k = 0; k < LINES_MAX && lines[k] != NULL; k++)
            is_replaced |= is_about(GOOD[i], lines[k]);
        if (!is_replaced)
            zone[count++] = GOOD[i];
    }
    for (size_t k = 0; k < LINES_MAX && lines[k] != NULL; k++)
        if (strstr(lines[k], " FAIL") != NULL ||
            strchr(strchr(lines[k], ' ') + 1, ' ') != NULL)
            zone[count++] = lines[k];
    zone[count] = NULL;
}

static size_t run(const struct domain_setup *setup, const char *const *zone,
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

static const struct domain_finding *find(const struct domain_report *report,
                                         enum domain_check check,
                                         const char *at)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].check == check &&
            (at == NULL || str_eq(report->findings[i].name, str_of(at))))
            return &report->findings[i];
    return NULL;
}

static void each_flaw_is_told_in_words(void **state)
{
    const char *zone[COUNT_OF(GOOD) + LINES_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct arena *arena = arena_create();
        struct domain_report *report = ARENA_NEW(arena, struct domain_report);
        const struct domain_finding *got;

        make_zone(CASES[i].lines, zone);
        assert_in_range(run(&SETUP, zone, arena, report), 1, ANSWERS_MAX);
        assert_int_equal(report->count, 13);
        got = find(report, CASES[i].check, CASES[i].at);
        assert_non_null(got);
        if (got->state != CASES[i].state || got->warns != CASES[i].warns ||
            (CASES[i].reason == NULL
                 ? got->reason.len > 0
                 : !str_contains(got->reason, str_of(CASES[i].reason))))
            fail_msg("%s: %s%s: %.*s", CASES[i].name,
                     domain_state_name(got->state),
                     got->warns ? " (warns)" : "", STR_ARG(got->reason));
        arena_destroy(&arena);
    }
}

/* Without a return path the domain itself is it. */
static void spf_is_wanted_where_return_paths_are(void **state)
{
    struct arena *arena = arena_create();
    struct domain_report *report = ARENA_NEW(arena, struct domain_report);
    struct domain_setup setup = SETUP;
    const char *zone[COUNT_OF(GOOD) + LINES_MAX + 1];
    const char *const none[LINES_MAX] = {NULL};
    const struct domain_finding *spf;

    (void)state;
    make_zone(none, zone);
    setup.bounce_mx = S("");
    run(&setup, zone, arena, report);
    assert_null(find(report, DOMAIN_CHECK_RETURN_PATH_MX, NULL));
    assert_null(find(report, DOMAIN_CHECK_RETURN_PATH_SPF, NULL));
    spf = find(report, DOMAIN_CHECK_SPF, MAIL);
    assert_int_equal(spf->weight, DOMAIN_REQUIRED);
    assert_int_equal(spf->state, DOMAIN_FAILED);
    assert_true(str_eq(spf->wanted, S("v=spf1 include:spf.relay.test ~all")));
    setup.bounce_domain = S("bounces.relay.test");
    run(&setup, zone, arena, report);
    spf = find(report, DOMAIN_CHECK_SPF, MAIL);
    assert_int_equal(spf->weight, DOMAIN_ADVICE);
    assert_int_equal(spf->state, DOMAIN_VERIFIED);
    arena_destroy(&arena);
}

/* Two hosts of ours, and two lists. */
#define ADDRESS_1 "192.0.2.1"
#define ADDRESS_6 "2001:db8::1"
#define PTR_1     "1.2.0.192.in-addr.arpa"
#define NIBBLES                                                                \
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
#define PTR_6 NIBBLES "ip6.arpa"

static const struct {
    const char *name;
    const char *lines[LINES_MAX];
    enum domain_check check;
    enum domain_state state;
    bool warns;
    const char *reason;
    const char *found; /* NULL: whatever it is */
} HOSTS[] = {
    {"names that lead back",
     {NULL},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_VERIFIED,
     false,
     NULL,
     ADDRESS_1 " out.relay.test | " ADDRESS_6 " out.relay.test"},
    {"no name",
     {PTR_1 " PTR"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_FAILED,
     true,
     ADDRESS_1 " has no name (PTR record)",
     NULL},
    {"a name that leads elsewhere",
     {"out.relay.test AAAA 2001:db8::2"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_FAILED,
     true,
     "The name of " ADDRESS_6 ", out.relay.test, does not lead back to it (no "
     "such AAAA record)",
     NULL},
    {"the second name leads back",
     {PTR_1 " PTR old.relay.test", PTR_1 " PTR out.relay.test"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
    {"an address written otherwise",
     {"out.relay.test AAAA 2001:DB8:0::0001"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
    {"no answer",
     {PTR_1 " PTR", PTR_1 " FAIL"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_TEMPORARY,
     true,
     "No answer for " PTR_1,
     NULL},
    {"no answer for the name is no flaw of it",
     {"out.relay.test A", "out.relay.test FAIL"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_TEMPORARY,
     true,
     "No answer for out.relay.test",
     NULL},
    {"a flaw weighs more",
     {PTR_1 " PTR", PTR_1 " FAIL", PTR_6 " PTR"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_FAILED,
     true,
     ADDRESS_6 " has no name",
     NULL},
    {"on no list",
     {NULL},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     false,
     NULL,
     ""},
    {"listed",
     {"1.2.0.192.bl.test A 127.0.0.2", "1.2.0.192.bl.test TXT sent spam"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_FAILED,
     true,
     ADDRESS_1 " is listed by bl.test (127.0.0.2): sent spam.",
     "1.2.0.192.bl.test 127.0.0.2"},
    {"listed without a reason, among others",
     {NIBBLES "bl6.test A 127.255.255.254", NIBBLES "bl6.test A 127.0.1.9"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_FAILED,
     true,
     ADDRESS_6 " is listed by bl6.test (127.0.1.9): no reason is given.",
     NULL},
    {"the list refuses",
     {"1.2.0.192.bl.test A 127.255.255.254"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     true,
     "bl.test cannot be asked about " ADDRESS_1 ": it answers 127.255.255.254",
     NULL},
    {"the list is no list",
     {"1.2.0.192.bl.test A 203.0.113.1"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     true,
     "it answers 203.0.113.1, which lists nothing",
     NULL},
    {"nor that, which no list may have",
     {"1.2.0.192.bl.test A 127.0.0.1"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     true,
     "which lists nothing",
     NULL},
    {"the list does not answer",
     {"1.2.0.192.bl.test FAIL"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_TEMPORARY,
     true,
     "No answer for 1.2.0.192.bl.test",
     NULL},
    {"SPF lets all pass",
     {NULL},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
    {"SPF refuses one",
     {"spf.relay.test TXT v=spf1 ip4:192.0.2.0/24 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     DOMAIN_VERIFIED,
     true,
     "as it is wanted, but " ADDRESS_6 ", from where",
     NULL},
    {"SPF of the domain itself is not asked for",
     {MAIL " TXT v=spf1 -all"},
     DOMAIN_CHECK_SPF,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
};

static void hosts_are_looked_at(void **state)
{
    static const struct str ADDRESSES[] = {STR(ADDRESS_1), STR(ADDRESS_6)};
    static const struct str ZONES[] = {STR("bl.test"), STR("bl6.test")};
    struct domain_setup setup = SETUP;
    const char *zone[COUNT_OF(GOOD) + LINES_MAX + 1];

    (void)state;
    setup.addresses = ADDRESSES;
    setup.address_count = COUNT_OF(ADDRESSES);
    setup.zones = ZONES;
    setup.zone_count = COUNT_OF(ZONES);
    for (size_t i = 0; i < COUNT_OF(HOSTS); i++) {
        struct arena *arena = arena_create();
        struct domain_report *report = ARENA_NEW(arena, struct domain_report);
        const struct domain_finding *got;

        make_zone(HOSTS[i].lines, zone);
        run(&setup, zone, arena, report);
        got = find(report, HOSTS[i].check, NULL);
        assert_non_null(got);
        if (got->state != HOSTS[i].state ||
            got->warns != (HOSTS[i].warns && got->state == DOMAIN_VERIFIED) ||
            (HOSTS[i].reason == NULL
                 ? got->reason.len > 0
                 : !str_contains(got->reason, str_of(HOSTS[i].reason))) ||
            (HOSTS[i].found != NULL &&
             !str_eq(got->found, str_of(HOSTS[i].found))))
            fail_msg("%s: %s: %.*s: %.*s", HOSTS[i].name,
                     domain_state_name(got->state), STR_ARG(got->found),
                     STR_ARG(got->reason));
        arena_destroy(&arena);
    }
}

/* The domain's addresses are the return paths, and its record lists hosts. */
static void our_hosts_pass_the_record_of_the_domain(void **state)
{
    static const struct str ADDRESSES[] = {STR(ADDRESS_1)};
    static const struct {
        const char *line;
        enum domain_state state;
        const char *reason;
    } CASES_OF_SPF[] = {
        {MAIL " TXT v=spf1 ip4:192.0.2.1 -all", DOMAIN_VERIFIED, ""},
        {MAIL " TXT v=spf1 mx -all", DOMAIN_FAILED, ADDRESS_1 ", which does"},
        {MAIL " TXT", DOMAIN_NOT_STARTED, "passes by DKIM alone"},
    };
    struct domain_setup setup = SETUP;
    const char *zone[COUNT_OF(GOOD) + LINES_MAX + 1];

    (void)state;
    setup.bounce_mx = setup.spf_include = S("");
    setup.addresses = ADDRESSES;
    setup.address_count = COUNT_OF(ADDRESSES);
    for (size_t i = 0; i < COUNT_OF(CASES_OF_SPF); i++) {
        const char *const lines[LINES_MAX] = {CASES_OF_SPF[i].line};
        struct arena *arena = arena_create();
        struct domain_report *report = ARENA_NEW(arena, struct domain_report);
        const struct domain_finding *spf;

        make_zone(lines, zone);
        run(&setup, zone, arena, report);
        spf = find(report, DOMAIN_CHECK_SPF, MAIL);
        assert_int_equal(spf->state, CASES_OF_SPF[i].state);
        assert_int_equal(spf->weight, DOMAIN_ADVICE);
        assert_true(str_contains(spf->reason, str_of(CASES_OF_SPF[i].reason)));
        assert_null(find(report, DOMAIN_CHECK_DNSBL, NULL));
        arena_destroy(&arena);
    }
}

/* Whatever strangers publish: bounded, printable, UTF-8. */
static void what_is_found_is_cleaned(void **state)
{
    struct arena *arena = arena_create();
    struct domain_report *report = ARENA_NEW(arena, struct domain_report);
    char line[3000] = R1 " TXT \x1b[31m\xff\n";
    size_t len = strlen(line);
    const char *const lines[LINES_MAX] = {line};
    const char *zone[COUNT_OF(GOOD) + LINES_MAX + 1];
    struct str found;

    (void)state;
    memset(line + len, 'x', sizeof line - len - 1);
    line[sizeof line - 1] = '\0';
    make_zone(lines, zone);
    run(&SETUP, zone, arena, report);
    found = find(report, DOMAIN_CHECK_DKIM, R1)->found;
    assert_int_equal(found.len, DOMAIN_TEXT_MAX);
    assert_true(str_starts(found, S("?[31m??xxx")));
    assert_true(str_ends(found, S("x...")));
    assert_true(utf8_is_valid(found));
    assert_false(str_has_control(found));
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flaw_is_told_in_words),
        cmocka_unit_test(spf_is_wanted_where_return_paths_are),
        cmocka_unit_test(hosts_are_looked_at),
        cmocka_unit_test(our_hosts_pass_the_record_of_the_domain),
        cmocka_unit_test(what_is_found_is_cleaned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
