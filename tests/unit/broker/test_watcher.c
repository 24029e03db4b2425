/* SPDX-License-Identifier: MPL-2.0 */
/* Real processes, a real core: who died, and what is left of it. The children
 * here stand in for shims, supervisors and trees. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base.h"
#include "bus/lock.h"
#include "bus/proc.h"
#include "leftovers.h"
#include "watcher.h"

#define BROKER "00112233445566778899aabbccddeeff"
enum { TOKEN = 17, SESSION = 5, DEADLINE_MS = 20000 };

static char folder[64];

static int make_folder (void **state)
{
    char witness[96];

    (void) state;
    strcpy (folder, "/tmp/slotbus-watch-XXXXXX");
    if (!mkdtemp (folder))
        return -1;
    snprintf (witness, sizeof witness, "%s/witness", folder);
    return mkdir (witness, 0700);
}

static int remove_folder (void **state)
{
    char path[128];

    (void) state;
    snprintf (path, sizeof path, "%s/witness/%d", folder, TOKEN);
    unlink (path);
    snprintf (path, sizeof path, "%s/witness", folder);
    rmdir (path);
    return rmdir (folder);
}

/* ---- stand-ins ---- */

struct child {
    pid_t pid;
    int hold; // closing it ends the child
};

/* A program that lives until its stdin ends, with this cookie ("" = none). */
static struct child start (const char *cookie)
{
    struct child c;
    int ends[2];
    char variable[128];
    char *const argv[] = {"sh", "-c", "read x", NULL};
    char *const env[] = {variable, NULL};

    snprintf (variable, sizeof variable, "%s=%s",
              *cookie ? "SLOTBUS_COOKIE" : "NOTHING", cookie);
    assert_int_equal (pipe2 (ends, O_CLOEXEC), 0);
    c.pid = fork ();
    if (c.pid == 0) {
        dup2 (ends[0], 0);
        execve ("/bin/sh", argv, env);
        _exit (127);
    }
    close (ends[0]);
    c.hold = ends[1];
    return c;
}

static void end (struct child *c)
{
    kill (c->pid, SIGKILL);
    waitpid (c->pid, NULL, 0);
    close (c->hold);
}

static struct process process_of (const struct child *c)
{
    struct process p = {c->pid, proc_start (c->pid)};

    return p;
}

/* Until execve () has put the environment there. */
static void wait_for_cookie (const struct child *c)
{
    char value[128];

    while (proc_getenv (c->pid, "SLOTBUS_COOKIE", value, sizeof value) != 1)
        assert_true (proc_alive (c->pid, 0));
}

static const char *cookie (uint64_t first)
{
    static char text[64];

    snprintf (text, sizeof text, BROKER ":%" PRIu64, first);
    return text;
}

static struct leftover a_tree (void)
{
    struct leftover l = {.lease = {.token = TOKEN,
                                   .first = TOKEN,
                                   .tree = true,
                                   .granted = clock_monotonic_ms () - 1000,
                                   .uid = (uint32_t) getuid ()}};

    return l;
}

static enum left look_at (struct leftover *l)
{
    struct leftovers *leftovers = leftovers_create (BROKER, folder);

    leftovers_look (leftovers, l, 1);
    leftovers_destroy (leftovers);
    return l->left;
}

/* ---- what is left ---- */

static void process_with_the_cookie_is_found_until_it_is_gone (void **state)
{
    struct child c = start (cookie (TOKEN));
    struct leftover l = a_tree ();

    (void) state;
    wait_for_cookie (&c);
    assert_int_equal (look_at (&l), LEFT_SOMETHING);
    end (&c);
    assert_int_equal (look_at (&l), LEFT_NOTHING);
}

static void cookie_of_another_tree_or_broker_is_not_ours (void **state)
{
    struct child other = start (cookie (TOKEN + 1));
    struct child longer = start (cookie (TOKEN * 10));
    struct child foreign = start ("ffffffffffffffffffffffffffffffff:17");
    struct leftover l = a_tree ();

    (void) state;
    wait_for_cookie (&other);
    wait_for_cookie (&longer);
    wait_for_cookie (&foreign);
    assert_int_equal (look_at (&l), LEFT_NOTHING);
    end (&other);
    end (&longer);
    end (&foreign);
}

static void held_witness_lock_proves_life (void **state)
{
    struct leftover l = a_tree ();
    char path[128];
    int lock;

    (void) state;
    snprintf (path, sizeof path, "%s/witness/%d", folder, TOKEN);
    lock = lock_take (path, 0600);
    assert_true (lock >= 0);
    assert_int_equal (look_at (&l), LEFT_SOMETHING);
    close (lock);
    assert_int_equal (look_at (&l), LEFT_NOTHING);
}

static void cgroup_of_another_name_is_never_opened (void **state)
{
    struct leftover l = a_tree ();

    (void) state;
    strcpy (l.lease.cgroup, "system.slice");
    assert_int_equal (look_at (&l), LEFT_UNKNOWN);
    strcpy (l.lease.cgroup, "x/slotbus-18-1-1");
    assert_int_equal (look_at (&l), LEFT_UNKNOWN);
    strcpy (l.lease.cgroup, "../slotbus-17-1-1");
    assert_int_not_equal (look_at (&l), LEFT_NOTHING);
}

/* A cgroup of the test's own below the cgroup2 mount; false: none is to be had
 * here. `ret_path` is absolute, the lease's is below the mount. */
static bool make_cgroup (struct leftover *l, char *ret_path, size_t size)
{
    static const char *const mounts[] = {"/sys/fs/cgroup",
                                         "/sys/fs/cgroup/unified"};
    char control[128];

    snprintf (l->lease.cgroup, sizeof l->lease.cgroup, "slotbus-%d-test-%ld",
              TOKEN, (long) getpid ());
    for (unsigned i = 0; i < 2; i++) {
        snprintf (control, sizeof control, "%s/cgroup.procs", mounts[i]);
        snprintf (ret_path, size, "%s/%s", mounts[i], l->lease.cgroup);
        if (access (control, W_OK) == 0 && mkdir (ret_path, 0755) == 0)
            return true;
    }
    return false;
}

static void enter_cgroup (const char *path, pid_t pid)
{
    char file[512], text[32];
    int fd;

    snprintf (file, sizeof file, "%s/cgroup.procs", path);
    snprintf (text, sizeof text, "%ld", (long) pid);
    fd = open (file, O_WRONLY);
    assert_int_equal (write_all (fd, text, strlen (text)), 0);
    close (fd);
}

static void cgroup_shows_and_ends_what_has_no_cookie (void **state)
{
    struct leftovers *leftovers = leftovers_create (BROKER, folder);
    struct child c = start ("");
    struct leftover l = a_tree ();
    char path[384];
    int status;

    (void) state;
    if (!make_cgroup (&l, path, sizeof path)) {
        end (&c);
        skip ();
    }
    assert_int_equal (look_at (&l), LEFT_NOTHING);
    enter_cgroup (path, c.pid);
    assert_int_equal (look_at (&l), LEFT_SOMETHING);
    assert_int_equal (leftovers_end (leftovers, &l.lease), 1);
    assert_int_equal (waitpid (c.pid, &status, 0), c.pid);
    assert_true (WIFSIGNALED (status));
    assert_int_equal (look_at (&l), LEFT_NOTHING);
    assert_int_equal (rmdir (path), 0);
    assert_int_equal (look_at (&l), LEFT_NOTHING); // gone: the same proof
    close (c.hold);
    leftovers_destroy (leftovers);
}

static void only_the_tree_is_ended (void **state)
{
    struct leftovers *leftovers = leftovers_create (BROKER, folder);
    struct child ours = start (cookie (TOKEN));
    struct child other = start (cookie (TOKEN + 1));
    struct leftover l = a_tree ();
    int status;

    (void) state;
    wait_for_cookie (&ours);
    wait_for_cookie (&other);
    assert_int_equal (leftovers_end (leftovers, &l.lease), 1);
    assert_int_equal (waitpid (ours.pid, &status, 0), ours.pid);
    assert_true (WIFSIGNALED (status));
    assert_true (proc_alive (other.pid, 0));
    assert_int_equal (leftovers_end (leftovers, &l.lease), 0);
    close (ours.hold);
    end (&other);
    leftovers_destroy (leftovers);
}

/* ---- with a core ---- */

struct scene {
    struct reactor *reactor;
    struct broker *broker;
    struct watcher *watcher;
    struct outbox *out;
    char boot[65];
    int64_t now;
};

static void set_scene (struct scene *s)
{
    struct settings settings;
    struct identity self = {.host = "vm1", .machine = "m"};
    struct meta_record meta = {
        .broker = BROKER, .epoch = 2, .token_mark = 100, .number_mark = 100};

    settings_default (&settings, 4, (uint64_t) 8 << 30);
    host_boot_id (self.boot, sizeof self.boot);
    strcpy (s->boot, self.boot);
    s->now = clock_monotonic_ms ();
    s->out = outbox_create ();
    s->reactor = reactor_create ();
    s->broker = broker_create (&settings, &self, &meta, false, s->now);
    s->watcher = watcher_create (s->reactor, BROKER, folder);
}

static void end_scene (struct scene *s)
{
    watcher_destroy (s->watcher);
    broker_destroy (s->broker);
    reactor_destroy (s->reactor);
    outbox_destroy (s->out);
}

static void add_session (struct scene *s, struct process shim)
{
    struct session_record r = {.id = SESSION,
                               .nonce = 1,
                               .project = "alpha",
                               .host = "vm1",
                               .machine = "m",
                               .uid = (uint32_t) getuid (),
                               .shim = shim,
                               .own = true};

    strcpy (r.boot, s->boot);
    broker_restore_session (s->broker, &r);
}

static void add_lease (struct scene *s, bool run, struct process supervisor)
{
    struct lease_record r = {.token = TOKEN,
                             .session = SESSION,
                             .project = "alpha",
                             .host = "vm1",
                             .machine = "m",
                             .uid = (uint32_t) getuid (),
                             .own = true,
                             .state = LEASE_ACTIVE,
                             .granted = s->now - 1000,
                             .seq = 1,
                             .first = TOKEN,
                             .count = 1,
                             .asked = 1,
                             .acked = true,
                             .run = run,
                             .tree = run,
                             .cookie = run ? TOKEN : 0,
                             .supervisor = supervisor};

    strcpy (r.boot, s->boot);
    broker_restore_lease (s->broker, &r);
}

static struct pool_view view (const struct scene *s)
{
    struct pool_view v;

    broker_view (s->broker, &v);
    return v;
}

/* One turn of the loop; core time runs by 10 ms, whatever the clock does. */
static void turn (struct scene *s)
{
    assert_int_equal (reactor_turn (s->reactor, 10), 0);
    s->now += 10;
    broker_turn (s->broker, true, s->now, s->out);
    watcher_report (s->watcher, s->broker, s->now, s->out);
    outbox_clear (s->out);
}

static bool until (struct scene *s, int sessions, unsigned in_use)
{
    int64_t give_up = clock_monotonic_ms () + DEADLINE_MS;

    while (view (s).sessions != sessions || view (s).in_use != in_use) {
        if (clock_monotonic_ms () > give_up)
            return false;
        turn (s);
    }
    return true;
}

static void turns (struct scene *s, unsigned count)
{
    while (count-- > 0)
        turn (s);
}

static void session_is_lost_when_its_shim_ends (void **state)
{
    struct child shim = start ("");
    struct scene s;

    (void) state;
    set_scene (&s);
    add_session (&s, process_of (&shim));
    broker_start (s.broker, s.now, s.out);
    turns (&s, 3);
    assert_int_equal (view (&s).sessions, 1);
    end (&shim);
    assert_true (until (&s, 0, 0));
    end_scene (&s);
}

static void shim_that_died_before_the_broker_started_is_lost_at_once (void **st)
{
    struct child shim = start ("");
    struct process gone = process_of (&shim);
    struct scene s;

    (void) st;
    end (&shim);
    set_scene (&s);
    add_session (&s, gone);
    broker_start (s.broker, s.now, s.out);
    turn (&s);
    assert_int_equal (view (&s).sessions, 0);
    end_scene (&s);
}

static void reused_pid_is_not_taken_for_the_shim (void **state)
{
    struct child shim = start ("");
    struct process other = process_of (&shim);
    struct scene s;

    (void) state;
    other.start--;
    set_scene (&s);
    add_session (&s, other);
    broker_start (s.broker, s.now, s.out);
    turn (&s);
    assert_int_equal (view (&s).sessions, 0);
    end (&shim);
    end_scene (&s);
}

static size_t heap_bytes (void)
{
    struct mallinfo2 m = mallinfo2 (); // nothing under a sanitizer

    return m.uordblks + m.hblkhd;
}

static void come_and_go (struct scene *s, struct process gone, unsigned count)
{
    while (count-- > 0) {
        add_session (s, gone);
        s->now += 10;
        broker_turn (s->broker, true, s->now, s->out);
        watcher_report (s->watcher, s->broker, s->now, s->out);
        assert_int_equal (view (s).sessions, 0);
        outbox_clear (s->out);
    }
}

static void shims_that_come_and_go_take_no_more_memory (void **state)
{
    struct child shim = start ("");
    struct process gone = process_of (&shim);
    struct scene s;
    size_t before;

    (void) state;
    end (&shim);
    set_scene (&s);
    broker_start (s.broker, s.now, s.out);
    come_and_go (&s, gone, 300); // some of them are remembered
    before = heap_bytes ();
    come_and_go (&s, gone, 300);
    assert_true (heap_bytes () <= before + 4096);
    end_scene (&s);
}

static void slot_is_free_only_when_its_tree_is_gone (void **state)
{
    struct child shim = start (""), tree = start (cookie (TOKEN));
    struct process none = {0};
    struct scene s;

    (void) state;
    wait_for_cookie (&tree);
    set_scene (&s);
    watcher_set_patience (s.watcher, INT64_MAX / 2);
    add_session (&s, process_of (&shim));
    add_lease (&s, true, none);
    broker_start (s.broker, s.now, s.out);
    end (&shim);
    assert_true (until (&s, 0, 1)); // lost, in limbo: counts
    turns (&s, 40);
    assert_int_equal (view (&s).in_use, 1);
    end (&tree);
    assert_true (until (&s, 0, 0));
    end_scene (&s);
}

static void reservation_is_free_only_when_its_supervisor_is_gone (void **state)
{
    struct child shim = start (""), supervisor = start ("");
    struct scene s;

    (void) state;
    set_scene (&s);
    add_session (&s, process_of (&shim));
    add_lease (&s, false, process_of (&supervisor));
    broker_start (s.broker, s.now, s.out);
    end (&shim);
    assert_true (until (&s, 0, 1));
    turns (&s, 40);
    assert_int_equal (view (&s).in_use, 1);
    end (&supervisor);
    assert_true (until (&s, 0, 0));
    end_scene (&s);
}

static void what_outlives_the_patience_is_ended (void **state)
{
    struct child shim = start (""), tree = start (cookie (TOKEN));
    struct process none = {0};
    struct scene s;
    int status;

    (void) state;
    wait_for_cookie (&tree);
    set_scene (&s);
    watcher_set_patience (s.watcher, 300);
    add_session (&s, process_of (&shim));
    add_lease (&s, true, none);
    broker_start (s.broker, s.now, s.out);
    end (&shim);
    assert_true (until (&s, 0, 1));
    assert_true (until (&s, 0, 0));
    close (tree.hold); // it would end by itself now
    assert_int_equal (waitpid (tree.pid, &status, 0), tree.pid);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
    end_scene (&s);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown (name, make_folder, remove_folder)

int main (void)
{
    const struct CMUnitTest tests[] = {
        T (process_with_the_cookie_is_found_until_it_is_gone),
        T (cookie_of_another_tree_or_broker_is_not_ours),
        T (held_witness_lock_proves_life),
        T (cgroup_of_another_name_is_never_opened),
        T (cgroup_shows_and_ends_what_has_no_cookie),
        T (only_the_tree_is_ended),
        T (session_is_lost_when_its_shim_ends),
        T (shim_that_died_before_the_broker_started_is_lost_at_once),
        T (reused_pid_is_not_taken_for_the_shim),
        T (shims_that_come_and_go_take_no_more_memory),
        T (slot_is_free_only_when_its_tree_is_gone),
        T (reservation_is_free_only_when_its_supervisor_is_gone),
        T (what_outlives_the_patience_is_ended),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
