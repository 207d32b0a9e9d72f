#include "server/base/config.h"

#include "server/base/json.h"
#include "server/base/log.h"

#include "config_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEN "0123456789"
#define LONG                                                                   \
    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN    \
        TEN TEN TEN TEN TEN TEN TEN TEN
#define SHA256                                                                 \
    "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

#define LETTERS_50  "abcdefghijklmnopqrstuvwxyabcdefghijklmnopqrstuvwxy"
#define LETTERS_200 LETTERS_50 LETTERS_50 LETTERS_50 LETTERS_50
#define LETTERS_400 LETTERS_200 LETTERS_200

/* The configuration of a text that has no problem. */
static struct config *good(const char *text)
{
    struct config *config = config_parse(str_of(text), "posthaste.toml", &out);

    if (config == NULL)
        fail_msg("%s", out.data);
    return config;
}

static void nothing_set_gives_the_defaults(void **state)
{
    struct config *c = good("");

    (void)state;
    assert_int_equal(c->api.listen.count, 1);
    assert_string_equal(c->api.listen.items[0], "127.0.0.1:8080");
    assert_string_equal(c->api.admin_listen, "127.0.0.1:8081");
    assert_int_equal(c->api.max_body_bytes, 40 << 20);
    assert_int_equal(c->api.header_timeout_ms, 10000);
    assert_int_equal(c->api.body_timeout_ms, 30000);
    assert_int_equal(c->api.connections_per_ip, 512);
    assert_int_equal(c->api.trusted_proxies.count, 0);
    assert_string_equal(c->redis.url, "redis://127.0.0.1:6379/0");
    assert_string_equal(c->redis.password, "");
    assert_string_equal(c->redis.prefix, "ph:");
    assert_false(c->redis.allow_volatile);
    assert_int_equal(c->redis.history_max.percent, 25);
    assert_int_equal(c->redis.history_max.bytes, 0);
    assert_string_equal(c->secrets.keyring_file, "");
    assert_int_equal(c->worker.message_ttl_ms, 72 * 3600 * 1000);
    assert_int_equal(c->worker.stop_timeout_ms, 0);
    assert_int_equal(c->worker.lease_ms, 10000);
    assert_int_equal(c->worker.retry.count, 0);
    assert_int_equal(c->upstream_count, 0);
    assert_int_equal(c->route_count, 0);
    assert_int_equal(c->webhook.timeout_ms, 15000);
    assert_int_equal(c->webhook.ports.count, 2);
    assert_string_equal(c->webhook.ports.items[0], "443");
    assert_int_equal(c->webhook.retry.count, 8);
    assert_int_equal(c->webhook.retry.items_ms[2], 300000);
    assert_int_equal(c->limits.rate, 100);
    assert_int_equal(c->limits.rate_per_ms, 1000);
    assert_int_equal(c->privacy.keep_bodies_ms, 24 * 3600 * 1000);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_int_equal(c->log.format, LOG_AUTO);
    config_destroy(&c);
    assert_null(c);
    config_destroy(&c);
}

/* It stands in the names of keys in Redis. */
static void a_route_s_name_has_its_length(void **state)
{
    struct config *c;
    struct buf text;

    (void)state;
    buf_init(&text, 64 * 1024);
    for (int i = 0; i < CONFIG_UPSTREAMS_MAX; i++)
        buf_addf(&text,
                 "[[upstream]]\nname = \"upstream-%02d\"\nhost = \"x\"\n", i);
    c = good(text.data);
    assert_int_equal(strlen(c->routes[0].name), CONFIG_ROUTE_NAME_MAX);
    assert_memory_equal(c->routes[0].name, "upstream-00+upstream-01+", 24);
    config_destroy(&c);
    c = good(UPSTREAM "[[route]]\nname = \"" LETTERS_400
                      "\"\nupstreams = [\"main\"]\n");
    assert_string_equal(c->routes[0].name, LETTERS_400);
    config_destroy(&c);
    buf_finish(&text);
}

/* The timeouts are those of the catalogue, RFC 5321 section 4.5.3.2. */
static void an_upstream_has_defaults_and_a_route(void **state)
{
    struct config *c = good(UPSTREAM "[[upstream]]\nname = \"spare\"\n"
                                     "host = \"::1\"\nport = 25\n");
    const struct config_upstream *u = &c->upstreams[0];

    (void)state;
    assert_int_equal(c->upstream_count, 2);
    assert_string_equal(u->name, "main");
    assert_string_equal(u->host, "smtp.test");
    assert_int_equal(u->port, 587);
    assert_int_equal(u->tls, TLS_STARTTLS);
    assert_int_equal(u->auth, AUTH_AUTO);
    assert_int_equal(u->max_sessions, 8);
    assert_int_equal(u->messages_per_session, 100);
    assert_int_equal(u->weight, 10);
    assert_int_equal(u->priority, 0);
    assert_int_equal(u->connect_timeout_ms, 30000);
    assert_int_equal(u->banner_timeout_ms, 60000);
    assert_int_equal(u->command_timeout_ms, 300000);
    assert_int_equal(u->data_timeout_ms, 120000);
    assert_int_equal(u->block_timeout_ms, 180000);
    assert_int_equal(u->dot_timeout_ms, 600000);
    assert_int_equal(u->session_timeout_ms, 1800000);
    assert_int_equal(u->idle_timeout_ms, 60000);
    assert_int_equal(c->upstreams[1].port, 25);
    assert_int_equal(c->route_count, 1);
    assert_string_equal(c->routes[0].name, "main+spare");
    assert_string_equal(c->routes[0].class, "");
    assert_int_equal(c->routes[0].upstreams.count, 2);
    assert_false(c->routes[0].final);
    assert_int_equal(c->routes[0].hedge_percent, 5);
    config_destroy(&c);
}

static void every_kind_of_value_is_read(void **state)
{
    struct config *c = good(
        "[api]\n"
        "listen = [\"*:80\", \"[::1]:8080\", \"unix:/run/x\", "
        "\"localhost:0\"]\n"
        "max_body = \"512KiB\"\nheader_timeout = \"500ms\"\n"
        "trusted_proxies = [\"10.0.0.0/8\", \"::1\", \"192.0.2.1\"]\n"
        "[redis]\nurl = \"unix:/run/redis.sock?db=3\"\nprefix = \"a.b-c_1:\"\n"
        "allow_volatile = true\nwait_replicas = 0\n"
        "[worker]\nstate_dir = \"/var/lib/x\"\nstop_timeout = \"0s\"\nretry = "
        "[\"1s\", \"2s\", \"5m\"]\n"
        "message_ttl = \"30d\"\n" UPSTREAM
        "tls = \"implicit\"\nauth = \"none\"\nrate = []\n"
        "pipeline_next = false\n"
        "[[route]]\nname = \"codes\"\nclass = \"verification\"\n"
        "from_domain = \"*.Example.COM\"\nupstreams = [\"main\"]\nfinal = "
        "true\nhedge_percent = 0\n"
        "[[route]]\nupstreams = [\"main\"]\n"
        "[webhook]\nports = []\n[limits]\nrate = \"600/m\"\n"
        "[log]\nlevel = \"debug\"\nformat = \"json\"\n"
        "[sending]\ndefault_from = \"\"\n[domains]\nrequire_verified = "
        "false\n");

    (void)state;
    assert_int_equal(c->api.listen.count, 4);
    assert_string_equal(c->api.listen.items[2], "unix:/run/x");
    assert_int_equal(c->api.max_body_bytes, 512 * 1024);
    assert_int_equal(c->api.header_timeout_ms, 500);
    assert_int_equal(c->api.trusted_proxies.count, 3);
    assert_string_equal(c->redis.url, "unix:/run/redis.sock?db=3");
    assert_true(c->redis.allow_volatile);
    assert_string_equal(c->worker.state_dir, "/var/lib/x");
    assert_int_equal(c->worker.retry.count, 3);
    assert_int_equal(c->worker.retry.items_ms[2], 300000);
    assert_int_equal(c->worker.message_ttl_ms, 30LL * 86400 * 1000);
    assert_int_equal(c->upstreams[0].tls, TLS_IMPLICIT);
    assert_int_equal(c->upstreams[0].auth, AUTH_NONE);
    assert_int_equal(c->route_count, 2);
    assert_string_equal(c->routes[0].name, "codes");
    assert_string_equal(c->routes[0].class, "verification");
    assert_string_equal(c->routes[0].from_domain, "*.example.com");
    assert_true(c->routes[0].final);
    assert_int_equal(c->routes[0].hedge_percent, 0);
    assert_string_equal(c->routes[1].name, "main");
    assert_int_equal(c->webhook.ports.count, 0);
    assert_int_equal(c->limits.rate, 600);
    assert_int_equal(c->limits.rate_per_ms, 60000);
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->log.format, LOG_JSON);
    config_destroy(&c);
    c = good("[limits]\nrate = \"\"\n");
    assert_int_equal(c->limits.rate, 0);
    config_destroy(&c);
}

/* --- broken files --- */

static const struct broken_case {
    const char *text;
    const char *problems; /* without the lines and carets */
} BROKEN[] = {
    {"[upstream]\n", "1:2: write it as [[upstream]]"},
    {"[[api]]\n", "1:3: write it as [api]"},
    {"[aip]\n", "1:2: unknown table [aip]; did you mean [api]?"},
    {"[[upstraem]]\n",
     "1:3: unknown table [upstraem]; did you mean [[upstream]]?"},
    {"[something_else]\n", "1:2: unknown table [something_else]"},
    {"listen = []\n",
     "1:1: \"listen\" stands outside of a table; it belongs below [api]"},
    {"xyz = 1\n", "1:1: unknown key \"xyz\", outside of a table"},
    {"[worker]\nconcurrency = 64\n",
     "2:1: unknown key \"concurrency\" in [worker]"},
    {UPSTREAM "max_session = 8\n",
     "4:1: unknown key \"max_session\" in [[upstream]]; did you mean "
     "\"max_sessions\"?"},
    {"[redis]\npassword = \"hush\"\n",
     "2:1: unknown key \"password\" in [redis]; did you mean "
     "\"password_file\"?"},
    {"[api]\nMax_Body = \"1MiB\"\n",
     "2:1: unknown key \"Max_Body\" in [api]; did you mean \"max_body\"?"},

    {"[api]\nlisten = \"127.0.0.1:8080\"\n",
     "2:10: listen: must be an array, not text in quotes"},
    {"[api]\nlisten = [\"127.0.0.1:80\", 8080]\n",
     "2:27: listen: must be text in quotes, not an integer"},
    {"[api]\nlisten = []\n", "2:1: [api] needs an address to listen on"},
    {"[webhook]\nretry = [\"5s\", \"5m\"]\n",
     "2:1: the first attempt is made at once: retry begins with \"0s\""},
    {"[api]\nlisten = [\"\"]\n",
     "2:11: listen: must be \"host:port\", \"[ipv6]:port\", \"*:port\" or "
     "\"unix:/path\""},
    {"[api]\nlisten = [\n  \"a:1\",\n  \"8080\",\n]\n",
     "4:3: listen: must be \"host:port\", \"[ipv6]:port\", \"*:port\" or "
     "\"unix:/path\""},
    {"[api]\nadmin_listen = \"localhost:65536\"\n",
     "2:16: admin_listen: must be \"host:port\", \"[ipv6]:port\", \"*:port\" "
     "or "
     "\"unix:/path\""},
    {"[api]\nadmin_listen = \"unix:path\"\n",
     "2:16: admin_listen: must be \"host:port\", \"[ipv6]:port\", \"*:port\" "
     "or "
     "\"unix:/path\""},
    {"[api]\nadmin_listen = \"::1:80\"\n",
     "2:16: admin_listen: must be \"host:port\", \"[ipv6]:port\", \"*:port\" "
     "or "
     "\"unix:/path\""},
    {"[api]\nmax_body = 1048576\n",
     "2:12: max_body: must be text in quotes, not an integer"},
    {"[api]\nmax_body = \"40MB\"\n",
     "2:12: max_body: write it like \"512KiB\" or \"40MiB\""},
    {"[api]\nmax_body = \"2GiB\"\n",
     "2:12: max_body: must be from 1KiB to 1GiB"},
    {"[api]\nmax_body = \"9999999999999GiB\"\n",
     "2:12: max_body: write it like \"512KiB\" or \"40MiB\""},
    {"[api]\nheader_timeout = \"10\"\n",
     "2:18: header_timeout: write it like \"500ms\", \"10s\", \"5m\", \"72h\" "
     "or \"30d\""},
    {"[api]\nheader_timeout = \"-1s\"\n",
     "2:18: header_timeout: write it like \"500ms\", \"10s\", \"5m\", \"72h\" "
     "or \"30d\""},
    {"[api]\nheader_timeout = \"1.5s\"\n",
     "2:18: header_timeout: write it like \"500ms\", \"10s\", \"5m\", \"72h\" "
     "or \"30d\""},
    {"[api]\nheader_timeout = \"2h\"\n",
     "2:18: header_timeout: must be from 100ms to 10m"},
    {"[api]\nheader_timeout = \"\"\n",
     "2:18: header_timeout: write it like \"500ms\", \"10s\", \"5m\", \"72h\" "
     "or \"30d\""},
    {"[api]\nconnections_per_ip = 0\n",
     "2:22: connections_per_ip: must be from 1 to 1000000"},
    {"[api]\nconnections_per_ip = \"512\"\n",
     "2:22: connections_per_ip: must be an integer, not text in quotes"},
    {"[api]\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
     "2:20: trusted_proxies: must be an IP address, or a network as "
     "\"10.0.0.0/8\""},
    {"[sending]\naddresses = [\"out.test\"]\n",
     "2:14: addresses: must be an IP address, as \"192.0.2.1\""},
    {"[sending]\naddresses = [\"192.0.2.0/24\"]\n",
     "2:14: addresses: must be an IP address, as \"192.0.2.1\""},
    {"[sending]\naddresses = [\"\"]\n", "2:14: addresses: must not be empty"},
    {"[sending]\ndnsbl = [\"a.test\", \"b.test\", \"c.test\", \"d.test\", "
     "\"e.test\"]\n",
     "2:9: dnsbl: must have at most 4 items"},
    {"[sending]\ndnsbl = [\"a b\"]\n",
     "2:10: dnsbl: must be a host name or an IP address; the port is a key of "
     "its own"},
    {"[api]\ntrusted_proxies = [\"proxy.test\"]\n",
     "2:20: trusted_proxies: must be an IP address, or a network as "
     "\"10.0.0.0/8\""},

    {"[redis]\nurl = \"http://x\"\n",
     "2:7: url: must be \"redis://host:port/db\", \"unix:/path?db=N\", "
     "\"sentinel://host:port,host,host/name/db\" or "
     "\"cluster://host:port,host/\""},
    {"[redis]\nurl = \"redis://\"\n",
     "2:7: url: must be \"redis://host:port/db\", \"unix:/path?db=N\", "
     "\"sentinel://host:port,host,host/name/db\" or "
     "\"cluster://host:port,host/\""},
    {"[redis]\nurl = \"redis://h:6379/x\"\n",
     "2:7: url: must be \"redis://host:port/db\", \"unix:/path?db=N\", "
     "\"sentinel://host:port,host,host/name/db\" or "
     "\"cluster://host:port,host/\""},
    {"[redis]\nurl = \"redis://h:0/\"\n",
     "2:7: url: must be \"redis://host:port/db\", \"unix:/path?db=N\", "
     "\"sentinel://host:port,host,host/name/db\" or "
     "\"cluster://host:port,host/\""},
    {"[redis]\nurl = \"unix:/x?base=1\"\n",
     "2:7: url: must be \"redis://host:port/db\", \"unix:/path?db=N\", "
     "\"sentinel://host:port,host,host/name/db\" or "
     "\"cluster://host:port,host/\""},
    {"[redis]\nurl = \"sentinel://h\"\n",
     "2:7: url: lacks the master's name, which the Sentinels know it by: "
     "letters, digits and - . _; must be "
     "\"sentinel://host:port,host,host/name/db\""},
    {"[redis]\nurl = \"sentinel:///m\"\n",
     "2:7: url: lacks the Sentinels' addresses; must be "
     "\"sentinel://host:port,host,host/name/db\""},
    {"[redis]\nurl = \"sentinel://a,b:0/m\"\n",
     "2:7: url: each Sentinel must be \"host\" or \"host:port\"; must be "
     "\"sentinel://host:port,host,host/name/db\""},
    {"[redis]\nurl = \"sentinel://a/m/x\"\n",
     "2:7: url: the database must be a number; must be "
     "\"sentinel://host:port,host,host/name/db\""},
    {"[redis]\nurl = \"cluster://\"\n",
     "2:7: url: must be \"cluster://host:port,host/\", with at most 16 "
     "nodes"},
    {"[redis]\nurl = \"cluster://a,b:0/\"\n",
     "2:7: url: must be \"cluster://host:port,host/\", with at most 16 "
     "nodes"},
    {"[redis]\nurl = \"cluster://a:1,b/1\"\n",
     "2:7: url: a cluster has no other database than 0"},
    {"[redis]\nurl = \"rediss://h\"\n",
     "2:7: url: rediss:// is not supported yet"},
    {"[redis]\nprefix = \"{x}\"\n",
     "2:10: prefix: must be of letters, digits and : . _ -, at most 64 of "
     "them"},
    {"[redis]\nallow_volatile = \"yes\"\n",
     "2:18: allow_volatile: must be true or false, not text in quotes"},
    {"[redis]\nwait_replicas = 17\n",
     "2:17: wait_replicas: must be from 0 to 16"},
    {"[redis]\nhistory_max = \"101%\"\n",
     "2:15: history_max: must be from 1% to 100%"},
    {"[redis]\nhistory_max = \"much\"\n",
     "2:15: history_max: write it like \"25%\" or \"512MiB\""},
    {"[redis]\nprefix = 25\n",
     "2:10: prefix: must be text in quotes, not an integer"},
    {"[redis]\nusername = \"a\\tb\"\n",
     "2:12: username: must not hold control characters"},
    {"[redis]\npassword_file = \"/nonexistent/pass\"\n",
     "2:17: password_file: /nonexistent/pass: No such file or directory"},
    {"[redis]\npassword_file = \"/\"\n",
     "2:17: password_file: /: Is a directory"},

    {"[secrets]\nworker_public_key = \"w00000000.AAAA\"\n",
     "2:21: worker_public_key: must be what `posthaste keyring create-worker "
     "FILE` printed, all of it"},
    {"[worker]\nretry = [\"1s\", 2]\n",
     "2:16: retry: must be text in quotes, not an integer"},
    {"[worker]\nretry = [\"1s\", \"8d\"]\n",
     "2:16: retry: must be from 0ms to 7d"},
    {"[worker]\nlease = \"100ms\"\n", "2:9: lease: must be from 500ms to 10m"},

    {"[[upstream]]\n", "1:3: [[upstream]] needs a name\n"
                       "1:3: [[upstream]] needs a host"},
    {"[[upstream]]\nname = \"\"\nhost = \"\"\n",
     "2:1: [[upstream]] needs a name\n3:1: [[upstream]] needs a host"},
    {"[[upstream]]\nname = \"a b\"\nhost = \"h\"\n",
     "2:8: name: must be of letters, digits, - and single _, at most 64 of "
     "them"},
    {UPSTREAM UPSTREAM, "5:1: there is an [[upstream]] \"main\" already"},
    {"[[upstream]]\nname = \"m\"\nhost = \"smtp.test:25\"\nport = 0\n",
     "4:8: port: must be from 1 to 65535"},
    {"[[upstream]]\nname = \"m\"\nhost = \"smtp://x\"\n",
     "3:8: host: must be a host name or an IP address; the port is a key of "
     "its own"},
    {UPSTREAM "tls = \"starttsl\"\n",
     "4:7: tls: must be one of \"implicit\", \"starttls\", \"opportunistic\", "
     "\"off\"; did you mean \"starttls\"?"},
    {UPSTREAM "auth = \"scram-sha-256\"\nusername = \"zo\xc3\xab\"\n",
     "4:1: auth needs a username and a password_file\n"
     "4:1: SCRAM is for a username and a password of printable ASCII: take "
     "another auth, or another password\n"
     "5:1: username needs a password_file, or a token_file or token_command"},
    {UPSTREAM "auth = \"oauthbearer\"\n",
     "4:1: auth needs a token_file or a token_command"},
    {UPSTREAM "auth = \"xoauth2\"\ntoken_command = [\"/bin/sh\"]\n",
     "4:1: XOAUTH2 needs a username: the mailbox that the token is for"},
    {UPSTREAM "tls = \"off\"\ntoken_command = [\"/bin/sh\"]\n",
     "4:1: the token would go in the clear: use TLS, or set auth_in_clear = "
     "true"},
    {UPSTREAM "username = \"" LONG "\"\ntoken_command = [\"/bin/sh\"]\n",
     "4:1: with a token, a username has at most 255 bytes"},
    {UPSTREAM "auth = \"none\"\ntoken_file = \"/dev/null\"\n"
              "token_command = [\"/bin/sh\"]\n",
     "5:1: a token is of use with auth = \"auto\", \"oauthbearer\" or "
     "\"xoauth2\"\n6:1: there is a token_file, too: set one of the two"},
    {UPSTREAM "username = \"u\"\ntoken_file = \"/nowhere/x\"\n",
     "5:14: token_file: /nowhere/x: No such file or directory"},
    {UPSTREAM "auth = \"plain\"\nusername = \"u\"\n"
              "password_file = \"/nowhere/x\"\n",
     "6:17: password_file: /nowhere/x: No such file or directory"},
    {UPSTREAM "token_file = \"/nowhere/x\"\n",
     "4:14: token_file: /nowhere/x: No such file or directory"},
    {UPSTREAM "token_command = \"/bin/sh\"\n",
     "4:17: token_command: must be an array, not text in quotes"},
    {UPSTREAM "token_command = [\"sh\", \"-c\"]\n",
     "4:18: token_command: \"sh\" must be a path from / on: no shell and no "
     "PATH is asked"},
    {UPSTREAM "token_command = [\"/nowhere/x\"]\n",
     "4:18: token_command: /nowhere/x: No such file or directory"},
    {UPSTREAM "token_command = [\"/\"]\n",
     "4:18: token_command: /: not a program that may be run"},
    {UPSTREAM "auth = \"digest\"\n",
     "4:8: auth: must be one of \"auto\", \"none\", \"plain\", \"login\", "
     "\"cram-md5\", \"scram-sha-1\", \"scram-sha-256\", \"oauthbearer\", "
     "\"xoauth2\""},
    {UPSTREAM "auth = \"plain\"\n",
     "4:1: auth needs a username and a password_file"},
    {UPSTREAM "username = \"u\"\n",
     "4:1: username needs a password_file, or a token_file or token_command"},
    {UPSTREAM "rate = [\"50/s\", \"9/s\"]\n",
     "4:17: rate: has two rates of one unit"},
    {UPSTREAM "rate = [\"50/s\", \"\"]\n", "4:17: rate: must not be empty"},
    {UPSTREAM "rate = [\"0/h\"]\n",
     "4:9: rate: the number must be from 1 to 1000000000"},
    {UPSTREAM "rate = [\"5/w\"]\n",
     "4:9: rate: write it like \"100/s\" (or /m, /h, /d)"},
    {UPSTREAM "rate = [7]\n",
     "4:9: rate: must be text in quotes, not an integer"},
    {UPSTREAM "dsn_notify = [\"failure\", \"maybe\"]\n",
     "4:1: dsn_notify is \"never\", or any of \"success\", \"failure\", "
     "\"delay\""},
    {UPSTREAM "dsn_notify = [\"delay\", \"delay\"]\n",
     "4:1: dsn_notify has \"delay\" twice"},
    {UPSTREAM "dsn_notify = [\"never\", \"delay\"]\n",
     "4:1: \"never\" stands alone in dsn_notify"},
    {UPSTREAM "source_address = \"192.0.2.0/24\"\n",
     "4:18: source_address: must be an IP address, as \"192.0.2.1\""},
    {UPSTREAM "tls_fingerprint = [\"ab\"]\n",
     "4:20: tls_fingerprint: must be a SHA-256: 64 hex digits"},
    {UPSTREAM "tls = \"opportunistic\"\ntls_fingerprint = [\"" SHA256 "\"]\n",
     "5:1: tls_fingerprint needs tls = \"starttls\" or \"implicit\""},
    {UPSTREAM "tls_fingerprint = [\"" SHA256 ":0\"]\n",
     "4:20: tls_fingerprint: must be a SHA-256: 64 hex digits"},
    {UPSTREAM "tls_key_file = \"/k\"\n",
     "4:1: tls_key_file needs a tls_cert_file"},
    {UPSTREAM "tls = \"off\"\ntls_cert_file = \"/c\"\n",
     "5:1: tls_cert_file is of no use with tls = \"off\""},
    {UPSTREAM "weight = 0\n", "4:10: weight: must be from 1 to 1000"},
    {UPSTREAM "priority = -1\n", "4:12: priority: must be from 0 to 1000"},
    {UPSTREAM "max_sessions = true\n",
     "4:16: max_sessions: must be an integer, not true or false"},

    {UPSTREAM "[[route]]\n", "4:3: [[route]] needs upstreams"},
    {UPSTREAM "[[route]]\nupstreams = [\"mian\"]\n",
     "5:1: there is no [[upstream]] \"mian\"; did you mean \"main\"?"},
    {UPSTREAM "[[route]]\nupstreams = [\"main\", \"main\"]\n",
     "5:1: \"main\" stands here twice"},
    {UPSTREAM "[[route]]\nupstreams = [\"\"]\n",
     "5:14: upstreams: must not be empty"},
    {UPSTREAM "[[route]]\nupstreams = [\"main\"]\n[[route]]\n"
              "name = \"x\"\nupstreams = [\"main\"]\n",
     "6:3: never used: the [[route]] before it takes all mail"},
    {UPSTREAM "[[route]]\nclass = \"bulk\"\nupstreams = [\"main\"]\n[[route]]\n"
              "upstreams = [\"main\"]\n",
     "7:3: there is a [[route]] \"main\" already"},
    {UPSTREAM "[[route]]\nname = \"" LETTERS_400 "a\"\n"
              "upstreams = [\"main\"]\n",
     "5:1: the name of a [[route]] has at most 400 bytes"},
    {UPSTREAM "[[route]]\nclass = \"reste\"\nupstreams = [\"main\"]\n",
     "5:9: class: must be verification, reset, alert, transactional or bulk; "
     "did you mean \"reset\"?"},
    {UPSTREAM "[[route]]\nto_domain = \"*\"\nupstreams = [\"main\"]\n",
     "5:13: to_domain: must be a domain in ASCII (xn--...), or \"*.\" and a "
     "domain"},
    {UPSTREAM "[[route]]\nto_domain = \"a..b\"\nupstreams = [\"main\"]\n",
     "5:13: to_domain: must be a domain in ASCII (xn--...), or \"*.\" and a "
     "domain"},

    {"[sending]\nbounce_domain = \"b.test\"\n",
     "2:1: bounce_domain needs secrets.keyring_file, which signs the return "
     "paths"},
    {"[secrets]\nkeyring_file = \"k\"\n[sending]\nbounce_domain = "
     "\"*.b.test\"\n",
     "4:1: bounce_domain must be one domain"},
    {"[sending]\nspf_include = \"*.b.test\"\n",
     "2:1: spf_include must be one domain"},
    {"[sending]\nbounce_mx = \"*.b.test\"\n",
     "2:1: bounce_mx must be one domain"},
    {"[sending]\ndefault_from = \"a@b.test\"\n",
     "2:16: default_from: not supported yet; leave it out"},
    {"[webhook]\nports = [443, 0]\n", "2:15: ports: must be from 1 to 65535"},
    {"[webhook]\nports = [\"443\"]\n",
     "2:10: ports: must be an integer, not text in quotes"},
    {"[limits]\nrate = \"100\"\n",
     "2:8: rate: write it like \"100/s\" (or /m, /h, /d)"},
    {"[limits]\nrate = \"100/w\"\n",
     "2:8: rate: write it like \"100/s\" (or /m, /h, /d)"},
    {"[limits]\nrate = \"0/s\"\n",
     "2:8: rate: the number must be from 1 to 1000000"},
    {"[log]\nlevel = \"trace\"\n",
     "2:9: level: must be one of \"debug\", \"info\", \"warn\", \"error\""},
    {"[log]\nformat = \"jsno\"\n",
     "2:10: format: must be one of \"auto\", \"text\", \"json\"; did you mean "
     "\"json\"?"},

    {"[api]\nlisten = [\n[redis]\nurl = 3\n",
     "3:2: text is written in quotes\n4:7: url: must be text in quotes, not an "
     "integer"},
    {"[log]\nlevel = info\n[api]\nmax_body = \"1\"\nx = 1\n",
     "2:9: text is written in quotes\n"
     "4:12: max_body: write it like \"512KiB\" or \"40MiB\"\n"
     "5:1: unknown key \"x\" in [api]"},
};

/* Only the lines that begin with the file's name, that name left out. */
static const char *places_and_texts(void)
{
    static char text[OUT_MAX];
    struct str rest = buf_str(&out);
    struct str line;
    size_t len = 0;

    while (str_cut(&rest, '\n', &line))
        if (str_starts(line, S("posthaste.toml:")))
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s",
                                    len == 0 ? "" : "\n",
                                    STR_ARG(str_from(line, 15)));
    text[len] = '\0';
    return text;
}

static void broken_files_are_told_where_and_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BROKEN); i++) {
        buf_clear(&out);
        assert_null(
            config_parse(str_of(BROKEN[i].text), "posthaste.toml", &out));
        assert_string_equal(places_and_texts(), BROKEN[i].problems);
    }
}

/* As many as the engine knows, and one more. */
static void upstreams_have_an_end(void **state)
{
    struct config *full;
    struct buf text;

    (void)state;
    buf_init(&text, OUT_MAX);
    for (unsigned i = 0; i < CONFIG_UPSTREAMS_MAX; i++)
        buf_addf(&text, "[[upstream]]\nname = \"u%u\"\nhost = \"h\"\n", i);
    buf_clear(&out);
    full = config_parse(buf_str(&text), "posthaste.toml", &out);
    assert_non_null(full);
    config_destroy(&full);
    buf_add_cstr(&text, "[[upstream]]\nname = \"more\"\nhost = \"h\"\n");
    buf_clear(&out);
    assert_null(config_parse(buf_str(&text), "posthaste.toml", &out));
    assert_string_equal(places_and_texts(),
                        "194:1: there are more than 64 [[upstream]]");
    buf_finish(&text);
}

static void a_problem_shows_its_line_and_a_caret(void **state)
{
    (void)state;
    assert_null(config_parse(S("[api]\n\tmax_bdoy = \"1MiB\" # \xc3\xa9\n"),
                             "a.toml", &out));
    assert_string_equal(
        out.data, "a.toml:2:2: unknown key \"max_bdoy\" in [api]; did you mean "
                  "\"max_body\"?\n max_bdoy = \"1MiB\" # \xc3\xa9\n ^\n");
    buf_clear(&out);
    assert_null(config_parse(S("[log]\nlevel = \"x\" \x1b"), "a.toml", &out));
    assert_string_equal(out.data, "a.toml:2:13: expected the end of the line\n"
                                  "level = \"x\" ?\n            ^\n");
}

static void a_password_in_a_url_is_not_shown(void **state)
{
    (void)state;
    assert_null(config_parse(S("[redis]\nurl = \"redis://:hunter2@h/0\"\n"),
                             "a.toml", &out));
    assert_string_equal(out.data,
                        "a.toml:2:7: url: user and password have keys of their "
                        "own: username and password_file\n");
}

static void many_problems_are_cut_and_counted(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, OUT_MAX);
    buf_add_cstr(&text, "[api]\n");
    for (int i = 0; i < 150; i++)
        buf_addf(&text, "x%d = 1\n", i);
    assert_null(config_parse(buf_str(&text), "a.toml", &out));
    assert_non_null(strstr(out.data, "a.toml: 50 more problems\n"));
    buf_finish(&text);
}

/* --- secrets --- */

static void secrets_come_from_files(void **state)
{
    char path[] = "/tmp/posthaste-config-XXXXXX";
    char text[512];
    int fd = mkstemp(path);
    struct config *c;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "pass word\n\n", 11), 11);
    snprintf(text, sizeof text,
             UPSTREAM "username = \"u\"\npassword_file = \"%s\"\n", path);
    c = good(text);
    assert_string_equal(c->upstreams[0].password, "pass word\n");
    config_show(c, false, &out);
    assert_null(strstr(out.data, "pass word"));
    assert_non_null(strstr(out.data, path));
    config_destroy(&c);

    snprintf(text, sizeof text,
             UPSTREAM "tls = \"off\"\nusername = \"u\"\npassword_file = "
                      "\"%s\"\n",
             path);
    buf_clear(&out);
    assert_null(config_parse(str_of(text), "posthaste.toml", &out));
    assert_string_equal(places_and_texts(),
                        "4:1: the password would go in the clear: use TLS, or "
                        "set auth_in_clear = true");

    assert_int_equal(ftruncate(fd, 0), 0);
    buf_clear(&out);
    assert_null(config_parse(str_of(text), "posthaste.toml", &out));
    assert_non_null(strstr(out.data, "6:17: password_file: the secret is "
                                     "empty\n"));
    close(fd);
    unlink(path);
}

/* --- the environment --- */

static void variables_win_over_the_file(void **state)
{
    struct config *c;

    (void)state;
    setenv("POSTHASTE_API__LISTEN", "127.0.0.1:1, unix:/x", 1);
    setenv("POSTHASTE_WEBHOOK__PORTS", "443,8443", 1);
    setenv("POSTHASTE_API__CONNECTIONS_PER_IP", "7", 1);
    setenv("POSTHASTE_REDIS__ALLOW_VOLATILE", "true", 1);
    setenv("POSTHASTE_REDIS__PASSWORD", "hunter2", 1);
    setenv("POSTHASTE_WORKER__RETRY", "[\"1s\", \"2s\"]", 1);
    setenv("POSTHASTE_UPSTREAM__main__PORT", "2525", 1);
    setenv("POSTHASTE_UPSTREAM__other__HOST", "other.test", 1);
    setenv("POSTHASTE_API__MAX_BODY", "1MiB", 1);
    c = good("[api]\nmax_body = \"2MiB\"\nconnections_per_ip = 9\n" UPSTREAM);
    assert_int_equal(c->api.listen.count, 2);
    assert_string_equal(c->api.listen.items[1], "unix:/x");
    assert_int_equal(c->webhook.ports.count, 2);
    assert_string_equal(c->webhook.ports.items[1], "8443");
    assert_int_equal(c->api.connections_per_ip, 7);
    assert_int_equal(c->api.max_body_bytes, 1 << 20);
    assert_true(c->redis.allow_volatile);
    assert_string_equal(c->redis.password, "hunter2");
    assert_int_equal(c->worker.retry.count, 2);
    assert_int_equal(c->upstream_count, 2);
    assert_int_equal(c->upstreams[0].port, 2525);
    assert_string_equal(c->upstreams[1].name, "other");
    assert_string_equal(c->upstreams[1].host, "other.test");
    config_show(c, false, &out);
    assert_non_null(strstr(out.data, "max_body = \"1MiB\"  # "
                                     "POSTHASTE_API__MAX_BODY\n"));
    assert_non_null(strstr(out.data, "password_file = \"***\"  # "
                                     "POSTHASTE_REDIS__PASSWORD\n"));
    assert_null(strstr(out.data, "hunter2"));
    config_destroy(&c);
    unsetenv("POSTHASTE_API__LISTEN");
    unsetenv("POSTHASTE_WEBHOOK__PORTS");
    unsetenv("POSTHASTE_API__CONNECTIONS_PER_IP");
    unsetenv("POSTHASTE_REDIS__ALLOW_VOLATILE");
    unsetenv("POSTHASTE_REDIS__PASSWORD");
    unsetenv("POSTHASTE_WORKER__RETRY");
    unsetenv("POSTHASTE_UPSTREAM__main__PORT");
    unsetenv("POSTHASTE_UPSTREAM__other__HOST");
    unsetenv("POSTHASTE_API__MAX_BODY");
}

static const struct variable_case {
    const char *name;
    const char *value;
    const char *problem;
} BAD_VARIABLES[] = {
    {"POSTHASTE_API__LISTN", "x",
     "unknown key \"listn\" in [api]; did you mean \"listen\"?"},
    {"POSTHASTE_APPI__LISTEN", "x", "there is no such table"},
    {"POSTHASTE_UPSTREAM__HOST", "x",
     "[[upstream]] comes more than once: write POSTHASTE_TABLE__name__KEY"},
    {"POSTHASTE_API__main__LISTEN", "x",
     "[api] comes once: write POSTHASTE_TABLE__KEY"},
    {"POSTHASTE_API__CONNECTIONS_PER_IP", "many", "must be an integer"},
    {"POSTHASTE_API__CONNECTIONS_PER_IP", "\"7\"", "must be an integer"},
    {"POSTHASTE_API__CONNECTIONS_PER_IP", "", "must be an integer"},
    {"POSTHASTE_REDIS__ALLOW_VOLATILE", "True", "must be true or false"},
    {"POSTHASTE_WEBHOOK__PORTS", "443,https", "must be an integer"},
    {"POSTHASTE_API__CONNECTIONS_PER_IP", "0", "must be from 1 to 1000000"},
    {"POSTHASTE_API__LISTEN", "", "[api] needs an address to listen on"},
    {"POSTHASTE_API__LISTEN", "a:1,,b:1",
     "must be \"host:port\", \"[ipv6]:port\", \"*:port\" or \"unix:/path\""},
    {"POSTHASTE_REDIS__USERNAME", "\xff", "not UTF-8 text"},
    {"POSTHASTE_REDIS__PASSWORD", "", "the secret is empty"},
    {"POSTHASTE_SENDING__DEFAULT_FROM", "2", "not supported yet; leave it out"},
};

static void bad_variables_are_told_by_name(void **state)
{
    char want[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD_VARIABLES); i++) {
        const struct variable_case *c = &BAD_VARIABLES[i];

        buf_clear(&out);
        setenv(c->name, c->value, 1);
        assert_null(config_parse(S(""), "posthaste.toml", &out));
        unsetenv(c->name);
        snprintf(want, sizeof want, "%s: %s\n", c->name, c->problem);
        assert_string_equal(out.data, want);
    }
}

static void other_variables_are_not_ours(void **state)
{
    struct config *c;

    (void)state;
    setenv("POSTHASTE_URL", "http://127.0.0.1:1", 1);
    setenv("POSTHASTE_API_PORT_8080_TCP_ADDR", "10.0.0.1", 1);
    c = good("");
    config_destroy(&c);
    unsetenv("POSTHASTE_URL");
    unsetenv("POSTHASTE_API_PORT_8080_TCP_ADDR");
}

/* --- show, template --- */

static void what_is_shown_says_who_set_it(void **state)
{
    struct config *c = good("[api]\nmax_body = \"1MiB\"\n" UPSTREAM);
    struct json *root;
    const struct json *api;

    (void)state;
    config_show(c, false, &out);
    assert_non_null(strstr(out.data, "[api]\n"
                                     "listen = [\"127.0.0.1:8080\"]  # default"
                                     "\n"));
    assert_non_null(
        strstr(out.data, "max_body = \"1MiB\"  # posthaste.toml:2\n"));
    assert_non_null(strstr(out.data, "[[upstream]]\n"
                                     "name = \"main\"  # posthaste.toml:4\n"));
    assert_null(strstr(out.data, "default_from"));
    buf_clear(&out);
    config_show(c, true, &out);
    root = json_parse(buf_str(&out), NULL);
    assert_non_null(root);
    assert_true(str_eq(json_get_str(root, "object"), S("config")));
    api = json_get(json_at(json_get(root, "tables"), 0), "keys");
    assert_true(str_eq(json_get_str(json_get(api, "max_body"), "source"),
                       S("posthaste.toml:2")));
    assert_int_equal(json_get_int(json_get(api, "connections_per_ip"), "value"),
                     512);
    json_destroy(&root);
    config_destroy(&c);
}

static void an_upstream_has_rates(void **state)
{
    struct config *c = good(UPSTREAM "rate = [\"50/s\", \"2000/d\"]\n");
    const struct config_rate_list *rate = &c->upstreams[0].rate;

    (void)state;
    assert_int_equal(rate->count, 2);
    assert_int_equal(rate->items[0].count, 50);
    assert_int_equal(rate->items[0].per_ms, 1000);
    assert_int_equal(rate->items[1].count, 2000);
    assert_int_equal(rate->items[1].per_ms, 86400000);
    config_destroy(&c);
}

static void the_template_is_a_valid_file(void **state)
{
    static const struct config_preset presets[] = {
        {"upstream", "name", "\"main\""},
        {"upstream", "host", "\"smtp.test\""},
        {"limits", "rate", "\"7/s\""},
    };
    struct buf text;
    struct config *c;

    (void)state;
    buf_init(&text, OUT_MAX);
    config_template(NULL, 0, &text);
    c = good(text.data);
    assert_int_equal(c->upstream_count, 0);
    config_destroy(&c);
    buf_clear(&text);
    config_template(presets, COUNT_OF(presets), &text);
    c = good(text.data);
    assert_int_equal(c->upstream_count, 1);
    assert_string_equal(c->upstreams[0].host, "smtp.test");
    assert_int_equal(c->limits.rate, 7);
    config_destroy(&c);
    buf_finish(&text);
}

/* The defaults themselves, uncommented, are valid. */
static void the_template_uncommented_is_valid_too(void **state)
{
    struct buf text;
    struct buf all;
    struct str rest;
    struct str line;

    (void)state;
    buf_init(&text, OUT_MAX);
    buf_init(&all, OUT_MAX);
    config_template(NULL, 0, &text);
    rest = buf_str(&text);
    while (str_cut(&rest, '\n', &line)) {
        if (str_starts(line, S("#")) && !str_starts(line, S("# ")))
            line = str_from(line, 1);
        buf_add(&all, line);
        buf_add_char(&all, '\n');
    }
    assert_null(config_parse(buf_str(&all), "posthaste.toml", &out));
    assert_non_null(strstr(places_and_texts(), "[[upstream]] needs a name"));
    assert_non_null(strstr(places_and_texts(), "[[route]] needs upstreams"));
    assert_null(strstr(places_and_texts(), "must be"));
    assert_null(strstr(places_and_texts(), "unknown"));
    buf_finish(&text);
    buf_finish(&all);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(nothing_set_gives_the_defaults),
        TEST(an_upstream_has_defaults_and_a_route),
        TEST(a_route_s_name_has_its_length),
        TEST(every_kind_of_value_is_read),
        TEST(broken_files_are_told_where_and_why),
        TEST(upstreams_have_an_end),
        TEST(a_problem_shows_its_line_and_a_caret),
        TEST(a_password_in_a_url_is_not_shown),
        TEST(many_problems_are_cut_and_counted),
        TEST(secrets_come_from_files),
        TEST(variables_win_over_the_file),
        TEST(bad_variables_are_told_by_name),
        TEST(other_variables_are_not_ours),
        TEST(what_is_shown_says_who_set_it),
        TEST(an_upstream_has_rates),
        TEST(the_template_is_a_valid_file),
        TEST(the_template_uncommented_is_valid_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
