#include "server/http/peer.h"

#include "check_cmocka.h"

static struct peer_ip ip_of(const char *text)
{
    struct address address;
    struct peer_ip ip;

    assert_true(address_parse(str_of(text), 0, &address));
    assert_true(peer_ip_of(&address, &ip));
    return ip;
}

static const struct {
    const char *net;
    const char *ip;
    bool holds;
} NETS[] = {
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.8", false},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.129", true},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"::ffff:192.0.2.0/120", "192.0.2.9", true},
};

static void nets_hold_their_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NETS); i++) {
        struct peer_nets nets;
        struct peer_ip ip = ip_of(NETS[i].ip);
        struct error err;

        assert_true(peer_nets_init(&nets, &NETS[i].net, 1, &err));
        if (peer_nets_hold(&nets, &ip) != NETS[i].holds)
            fail_msg("%s %s", NETS[i].net, NETS[i].ip);
        peer_nets_finish(&nets);
    }
}

static void malformed_nets_are_refused(void **state)
{
    static const char *const BAD[] = {"",           "proxy.example",
                                      "192.0.2.1/", "192.0.2.1/33",
                                      "::1/129",    "192.0.2/24"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        struct peer_nets nets;
        struct error err;

        if (peer_nets_init(&nets, &BAD[i], 1, &err))
            fail_msg("%s", BAD[i]);
        assert_int_equal(err.kind, ERR_CONFIG);
    }
}

static const struct {
    const char *field;
    const char *client;
} FORWARDED[] = {
    {"203.0.113.9", "203.0.113.9"},
    {"203.0.113.9, 10.0.0.7", "203.0.113.9"},
    {"1.2.3.4, 203.0.113.9 , 10.0.0.7", "203.0.113.9"},
    {"10.0.0.8, 10.0.0.7", "10.0.0.8"},
    {"unknown, 10.0.0.7", "10.0.0.7"},
    {"<script>", ""},
    {"", ""},
};

static void the_last_untrusted_address_is_the_client(void **state)
{
    const char *const trusted = "10.0.0.0/8";
    struct peer_nets nets;
    struct error err;

    (void)state;
    assert_true(peer_nets_init(&nets, &trusted, 1, &err));
    for (size_t i = 0; i < COUNT_OF(FORWARDED); i++)
        assert_true(str_eq(peer_forwarded(&nets, str_of(FORWARDED[i].field)),
                           str_of(FORWARDED[i].client)));
    peer_nets_finish(&nets);
}

static void connections_are_counted_per_address(void **state)
{
    struct peer_table *table = peer_table_create(2);
    struct peer_ip a = ip_of("192.0.2.1");
    struct peer_ip b = ip_of("192.0.2.2");
    struct peer_ip six = ip_of("2001:db8::1");
    struct peer_ip same_net = ip_of("2001:db8::ffff");

    (void)state;
    assert_true(peer_table_enter(table, &a));
    assert_true(peer_table_enter(table, &a));
    assert_false(peer_table_enter(table, &a));
    assert_true(peer_table_enter(table, &b));
    peer_table_leave(table, &a);
    assert_true(peer_table_enter(table, &a));
    assert_true(peer_table_enter(table, &six));
    assert_true(peer_table_enter(table, &same_net));
    assert_false(peer_table_enter(table, &six));
    peer_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nets_hold_their_addresses),
        cmocka_unit_test(malformed_nets_are_refused),
        cmocka_unit_test(the_last_untrusted_address_is_the_client),
        cmocka_unit_test(connections_are_counted_per_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
