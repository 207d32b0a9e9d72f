#include "server/io/guard.h"

#include "check_cmocka.h"

#include <arpa/inet.h>

static const char *PORTS[] = {"443", "80"};
static const struct config_webhook STRICT = {
    .ports = {PORTS, COUNT_OF(PORTS)},
};
static const struct config_webhook LENIENT = {.allow_private = true};

static const char *const GOOD[] = {
    "https://example.com",
    "https://example.com/",
    "HTTPS://Example.COM/Hook?a=b&c=%20d",
    "http://hooks.example.co.uk:80/x",
    "https://xn--bcher-kva.example/",
    "https://a_b.example.com/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://[2606:4700::1111]:443/",
    "https://example.com:/",
    "https://example.com?q",
    "https://1.example.com/",
    "https://0x.example.com/",
    "https://example.com/a@b:c[d]",
};

/* Loopback in its spellings, and what else a stranger may try. */
static const char *const BAD[] = {
    "",
    "https://",
    "https:///x",
    "https://?x",
    "example.com",
    "//example.com",
    "ftp://example.com/",
    "gopher://example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https:example.com",
    "https:/example.com",
    "https:\\\\example.com",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1/",
    "https://127.0.0.1:443/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0X7F.0.0.1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.01/",
    "https://0/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[64:ff9b:1::808:808]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:808:808::]/",
    "https://[2001::1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fec0::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[100::1]/",
    "https://[2001:db8::1]/",
    "https://[127.0.0.1]/",
    "https://[example.com]/",
    "https://[::1/",
    "https://[2606:4700::1111]x/",
    "https://[2606:4700::1111]443/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://a.localhost/",
    "https://localhost.localdomain/",
    "https://printer.local/",
    "https://intranet/",
    "https://redis.default.svc/",
    "https://kubernetes.default.svc.cluster.local/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.1.1/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.19.255.255/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.255/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://256.1.1.1/",
    "https://1.1.1.1.1/",
    "https://metadata.google.internal/",
    "https://metadata/",
    "https://instance-data/",
    "https://user@example.com/",
    "https://user:pass@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://127.0.0.1%2f@example.com/",
    "https://example.com%00.evil.example/",
    "https://%6c%6f%63%61%6c%68%6f%73%74/",
    "https://127.0.0.1#@example.com/",
    "https://example.com/#x",
    "https://ex\xc3\xa4mple.com/",
    "https://\xe2\x91\xa0.\xe2\x91\xa0.1.1/",
    ("https://127\xe3\x80\x82"
     "0.0.1/"),
    "https://example.com/\r\nX: y",
    "https://example.com/\nx",
    "https://example.com/\tx",
    "https://example.com/ x",
    " https://example.com/",
    "https://example.com/%",
    "https://example.com/%0",
    "https://example.com/%zz",
    "https://example.com:0/",
    "https://example.com:25/",
    "https://example.com:8443/",
    "https://example.com:99999/",
    "https://example.com:65536/",
    "https://example.com:+443/",
    "https://example.com:-1/",
    "https://example.com:443:443/",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://example-.com/",
    "https://exa mple.com/",
    "https://exa+mple.com/",
};

static void good_urls_are_taken(void **state)
{
    struct guard_target target;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        if (!guard_url(&STRICT, str_of(GOOD[i]), &target, &err))
            fail_msg("%s: %s", GOOD[i], err.text);
    }
}

static void bad_urls_are_refused_with_a_reason(void **state)
{
    struct guard_target target;
    struct error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        err = (struct error){0};
        if (guard_url(&STRICT, str_of(BAD[i]), &target, &err))
            fail_msg("%s was taken", BAD[i]);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_true(err.text[0] != '\0');
    }
}

static void nul_and_length_are_refused(void **state)
{
    static char text[GUARD_URL_MAX + 2] = "https://example.com/";
    struct guard_target target;

    (void)state;
    assert_false(
        guard_url(&STRICT, S("https://example.com/\0x"), &target, NULL));
    assert_false(guard_url(&STRICT, S("https://127.0.0.1\0.example.com/"),
                           &target, NULL));
    memset(text + 20, 'x', GUARD_URL_MAX + 1 - 20);
    assert_true(
        guard_url(&STRICT, str_make(text, GUARD_URL_MAX), &target, NULL));
    assert_false(
        guard_url(&STRICT, str_make(text, GUARD_URL_MAX + 1), &target, NULL));
}

static void a_target_is_told(void **state)
{
    struct guard_target target;

    (void)state;
    assert_true(guard_url(&LENIENT, S("http://[::1]:8081/x"), &target, NULL));
    assert_false(target.https);
    assert_true(str_eq(target.host, S("::1")));
    assert_int_equal(target.port, 8081);
    assert_true(guard_url(&STRICT, S("https://example.com/x"), &target, NULL));
    assert_true(target.https);
    assert_true(str_eq(target.host, S("example.com")));
    assert_int_equal(target.port, 443);
    assert_true(guard_url(&STRICT, S("http://example.com"), &target, NULL));
    assert_int_equal(target.port, 80);
}

static void private_ones_open_by_config_and_some_never(void **state)
{
    static const char *const OPENED[] = {
        "http://localhost:3000/", "http://127.0.0.1:8080/", "http://receiver/",
        "https://10.1.2.3/",      "https://[fd12::1]/",     "https://hook.svc/",
        "https://192.168.0.1:1/", "https://198.18.0.1/",
    };
    static const char *const STAY_SHUT[] = {
        "http://169.254.169.254/",    "http://metadata.google.internal/",
        "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/",
        "http://224.0.0.1/",          "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",    "http://127.1/",
    };
    struct guard_target target;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(OPENED); i++)
        assert_true(guard_url(&LENIENT, str_of(OPENED[i]), &target, NULL));
    for (size_t i = 0; i < COUNT_OF(STAY_SHUT); i++)
        assert_false(guard_url(&LENIENT, str_of(STAY_SHUT[i]), &target, NULL));
}

static const char *vet(int family, const char *text)
{
    struct address address = {0};

    address.at.any.sa_family = (sa_family_t)family;
    assert_int_equal(inet_pton(family, text,
                               family == AF_INET
                                   ? (void *)&address.at.v4.sin_addr
                                   : (void *)&address.at.v6.sin6_addr),
                     1);
    return guard_address(&STRICT, &address);
}

static void addresses_are_vetted_by_range(void **state)
{
    struct address path = {0};

    (void)state;
    assert_null(vet(AF_INET, "1.1.1.1"));
    assert_null(vet(AF_INET, "172.15.255.255"));
    assert_null(vet(AF_INET, "172.32.0.0"));
    assert_null(vet(AF_INET, "100.63.255.255"));
    assert_null(vet(AF_INET, "100.128.0.0"));
    assert_null(vet(AF_INET, "223.255.255.255"));
    assert_string_equal(vet(AF_INET, "127.0.0.1"), "a loopback address");
    assert_string_equal(vet(AF_INET, "10.255.255.255"), "a private address");
    assert_string_equal(vet(AF_INET, "169.254.169.254"),
                        "a link-local address");
    assert_null(vet(AF_INET6, "2606:4700::1111"));
    assert_null(vet(AF_INET6, "2001:200::1"));
    assert_null(vet(AF_INET6, "64:ff9b::808:808")); /* DNS64 */
    assert_string_equal(vet(AF_INET6, "64:ff9b::a00:1"), "a private address");
    assert_string_equal(vet(AF_INET6, "::ffff:a00:1"),
                        "an IPv4 address inside IPv6");
    assert_string_equal(vet(AF_INET6, "::1"), "a loopback address");
    assert_string_equal(vet(AF_INET6, "4000::1"), "a reserved address");
    path.at.any.sa_family = AF_UNIX;
    assert_non_null(guard_address(&STRICT, &path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_are_taken),
        cmocka_unit_test(bad_urls_are_refused_with_a_reason),
        cmocka_unit_test(nul_and_length_are_refused),
        cmocka_unit_test(a_target_is_told),
        cmocka_unit_test(private_ones_open_by_config_and_some_never),
        cmocka_unit_test(addresses_are_vetted_by_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
