/* Webhook URLs: libcurl reads the same host and port out of what the guard
 * takes, and neither finds a user, another scheme or a bad address in it. */
#include "server/io/guard.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *part_of(CURLU *url, CURLUPart part)
{
    char *text = NULL;

    return curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK
               ? text
               : NULL;
}

static void check_part(CURLU *url, CURLUPart part, struct str expected)
{
    char *text = part_of(url, part);

    CHECK(text != NULL && str_eq_nocase(str_of(text), expected));
    curl_free(text);
}

/* Numeric hosts are vetted as the addresses that curl would connect to. */
static void check_address(const struct config_webhook *policy, const char *host)
{
    struct address address = {0};

    if (inet_pton(AF_INET, host, &address.at.v4.sin_addr) != 1)
        return;
    address.at.v4.sin_family = AF_INET;
    CHECK(guard_address(policy, &address) == NULL);
}

static void check_same(const struct config_webhook *policy, const char *text,
                       const struct guard_target *target)
{
    CURLU *url = curl_url();
    char port[8];
    char *host;

    CHECK(url != NULL);
    CHECK(curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) ==
          CURLUE_OK);
    check_part(url, CURLUPART_SCHEME, target->https ? S("https") : S("http"));
    snprintf(port, sizeof port, "%u", (unsigned)target->port);
    check_part(url, CURLUPART_PORT, str_of(port));
    CHECK(part_of(url, CURLUPART_USER) == NULL);
    CHECK(part_of(url, CURLUPART_FRAGMENT) == NULL);
    host = part_of(url, CURLUPART_HOST);
    CHECK(host != NULL);
    if (host[0] != '[')
        CHECK(str_eq_nocase(str_of(host), target->host));
    check_address(policy, host);
    curl_free(host);
    curl_url_cleanup(url);
}

static void check_policy(const struct config_webhook *policy, const char *text,
                         size_t size)
{
    struct guard_target target;
    struct error err = {0};

    if (guard_url(policy, str_make(text, size), &target, &err))
        check_same(policy, text, &target);
    else
        CHECK(err.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config_webhook strict;
    static const struct config_webhook lenient = {.allow_private = true};
    char *text = malloc(size + 1);

    CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    check_policy(&strict, text, size);
    check_policy(&lenient, text, size);
    free(text);
    return 0;
}
