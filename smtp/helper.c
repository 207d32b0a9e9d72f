#include "smtp/helper.h"

enum { WAITING_MAX = 1024 }; /* sessions that log in at once */

bool helper_submit(struct helper *helper, struct work_job *job)
{
    if (helper->work == NULL)
        helper->work = work_open(helper->loop, 1, WAITING_MAX);
    return work_submit(helper->work, job);
}

void helper_close(struct helper *helper)
{
    work_close(&helper->work);
}
