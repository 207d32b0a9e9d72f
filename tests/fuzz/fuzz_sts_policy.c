/* The file that a stranger's web server has for a policy of MTA-STS. What is
 * good is bounded, and reads the same with the other line ends. */
#include "server/base/buf.h"
#include "server/domain/sts_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct str text, const struct sts_policy *policy)
{
    struct sts_policy again;
    struct buf other;
    struct str line;

    buf_init(&other, 2 * text.len + 2);
    while (str_cut(&text, '\n', &line)) {
        if (str_ends(line, S("\r")))
            line.len--;
        buf_add(&other, line);
        buf_add_cstr(&other, "\r\n");
    }
    CHECK(sts_policy_read(buf_str(&other), &again) == STS_GOOD);
    CHECK(again.mode == policy->mode && again.max_age_s == policy->max_age_s &&
          again.mx_count == policy->mx_count);
    buf_finish(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size);
    struct sts_policy policy;
    enum sts_flaw flaw = sts_policy_read(text, &policy);

    CHECK(policy.detail.len <= size);
    (void)sts_policy_allows(&policy, S("mx.example.test"));
    if (flaw != STS_GOOD)
        return 0;
    CHECK(policy.max_age_s >= 0 && policy.max_age_s <= STS_MAX_AGE_MAX);
    CHECK(policy.mx_count > 0 || policy.mode == STS_NONE);
    CHECK(policy.detail.len == 0);
    check_again(text, &policy);
    return 0;
}
