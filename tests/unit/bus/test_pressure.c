/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/pressure.h"

enum { BURNERS = 3, PATIENCE_MS = 30000 };

/* More of them than processors, so that some wait for one. */
static unsigned start (pid_t *ret_pids, unsigned most)
{
    unsigned count = (unsigned) sysconf (_SC_NPROCESSORS_ONLN) * BURNERS;

    count = count < most ? count : most;
    for (unsigned i = 0; i < count; i++) {
        ret_pids[i] = fork ();
        if (ret_pids[i] == 0) {
            prctl (PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                ;
        }
    }
    return count;
}

static void pressure_wakes_who_watches_it (void **state)
{
    struct pollfd p = {pressure_watch ("/proc/pressure/cpu", 50), POLLPRI, 0};
    pid_t pids[64];
    unsigned count;
    int woken;

    (void) state;
    if (p.fd < 0) {
        skip ();
        return;
    }
    count = start (pids, 64);
    woken = poll (&p, 1, PATIENCE_MS);
    for (unsigned i = 0; i < count; i++) {
        kill (pids[i], SIGKILL);
        waitpid (pids[i], NULL, 0);
    }
    assert_int_equal (woken, 1);
    assert_int_equal (p.revents, POLLPRI);
    close (p.fd);
}

static void where_there_is_none_it_says_so (void **state)
{
    (void) state;
    assert_int_equal (pressure_watch ("/nonexistent/pressure", 50), -1);
    assert_int_equal (errno, ENOENT);
}

static void what_the_kernel_does_not_take_is_refused (void **state)
{
    (void) state;
    if (access ("/proc/pressure/memory", W_OK)) {
        skip ();
        return;
    }
    // more than the window
    assert_int_equal (pressure_watch ("/proc/pressure/memory", 3000), -1);
    assert_int_equal (errno, EINVAL);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (pressure_wakes_who_watches_it),
        cmocka_unit_test (where_there_is_none_it_says_so),
        cmocka_unit_test (what_the_kernel_does_not_take_is_refused),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
