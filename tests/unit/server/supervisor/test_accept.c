#include "server/supervisor/accept.h"

#include "check_cmocka.h"

#define OPEN "application/openmetrics-text"

static const struct {
    const char *accept;
    enum metrics_form form;
} CASES[] = {
    {"", METRICS_PROMETHEUS},
    {"*/*", METRICS_PROMETHEUS},
    {"application/*, text/html", METRICS_PROMETHEUS},
    {"text/plain", METRICS_PROMETHEUS},
    {OPEN, METRICS_OPENMETRICS},
    {"Application/OpenMetrics-Text ; Version=1.0.0", METRICS_OPENMETRICS},
    {OPEN "; version=0.0.1", METRICS_PROMETHEUS},
    {OPEN "; version=2.0.0, */*", METRICS_PROMETHEUS},
    {OPEN ";q=0", METRICS_PROMETHEUS},
    {OPEN ";q=0.000", METRICS_PROMETHEUS},
    {OPEN ";q=0.001", METRICS_OPENMETRICS},
    {OPEN ";q=x", METRICS_OPENMETRICS},
    {OPEN ";q=0.5, text/plain", METRICS_PROMETHEUS},
    {OPEN ";q=0.5, text/plain;q=0.25", METRICS_OPENMETRICS},
    {"text/plain, " OPEN, METRICS_OPENMETRICS},
    {"text/plain;version=1.0.0, " OPEN ";q=0.1", METRICS_OPENMETRICS},
    {";,=;=,;q=1,", METRICS_PROMETHEUS},
    /* Prometheus 2.42, and 3. */
    {OPEN ";version=1.0.0," OPEN ";version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     METRICS_OPENMETRICS},
    {OPEN ";version=1.0.0;escaping=allow-utf-8;q=0.5," OPEN
          ";version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;"
          "q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
     METRICS_OPENMETRICS},
    /* One that was told to prefer the text form. */
    {"text/plain;version=0.0.4;q=0.5," OPEN ";version=1.0.0;q=0.4,*/*;q=0.1",
     METRICS_PROMETHEUS},
};

static void scrapers_get_the_form_they_want(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        if (accept_metrics_form(str_of(CASES[i].accept)) != CASES[i].form)
            fail_msg("%s", CASES[i].accept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrapers_get_the_form_they_want),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
