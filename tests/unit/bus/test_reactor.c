/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <zmq.h>
#include <cmocka.h>

#include "bus/reactor.h"

/* A pipe that is watched, and what its handler is to do. */
struct watch {
    struct reactor *r;
    int in, out;
    int calls;
    short events;
    struct watch *remove, *add;
};

static void on_watch (void *arg, short events)
{
    struct watch *w = arg;

    w->calls++;
    w->events = events;
    if (w->remove)
        reactor_remove_fd (w->r, w->remove->in);
    if (w->add)
        reactor_add_fd (w->r, w->add->in, ZMQ_POLLIN, on_watch, w->add);
    w->remove = w->add = NULL;
}

static struct watch watch_open (struct reactor *r)
{
    struct watch w = {.r = r};
    int ends[2];

    assert_int_equal (pipe2 (ends, O_CLOEXEC | O_NONBLOCK), 0);
    w.in = ends[0];
    w.out = ends[1];
    return w;
}

static void watch_close (struct watch *w)
{
    close (w->in);
    close (w->out);
}

static void ring (struct watch *w)
{
    assert_int_equal (write (w->out, "x", 1), 1);
}

static void only_what_is_ready_is_called (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r), b = watch_open (r);

    (void) state;
    reactor_add_fd (r, a.in, ZMQ_POLLIN, on_watch, &a);
    reactor_add_fd (r, b.in, ZMQ_POLLIN, on_watch, &b);
    assert_int_equal (reactor_turn (r, 0), 0);
    ring (&b);
    assert_int_equal (reactor_turn (r, -1), 0);
    assert_int_equal (a.calls, 0);
    assert_int_equal (b.calls, 1);
    assert_int_equal (b.events, ZMQ_POLLIN);
    reactor_destroy (r);
    watch_close (&a);
    watch_close (&b);
}

static void handler_may_remove_itself (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r), b = watch_open (r);

    (void) state;
    a.remove = &a;
    reactor_add_fd (r, a.in, ZMQ_POLLIN, on_watch, &a);
    reactor_add_fd (r, b.in, ZMQ_POLLIN, on_watch, &b);
    ring (&a);
    ring (&b);
    reactor_turn (r, -1);
    reactor_turn (r, -1);
    assert_int_equal (a.calls, 1);
    assert_int_equal (b.calls, 2);
    reactor_destroy (r);
    watch_close (&a);
    watch_close (&b);
}

static void entry_removed_by_an_earlier_handler_is_not_called (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r), b = watch_open (r);

    (void) state;
    a.remove = &b;
    reactor_add_fd (r, a.in, ZMQ_POLLIN, on_watch, &a);
    reactor_add_fd (r, b.in, ZMQ_POLLIN, on_watch, &b);
    ring (&a);
    ring (&b);
    reactor_turn (r, -1);
    assert_int_equal (b.calls, 0);
    reactor_destroy (r);
    watch_close (&a);
    watch_close (&b);
}

/* The number of a descriptor that a handler closed may belong to a new one
 * before its turn comes. */
static void reused_number_never_gets_the_old_ones_events (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r), b = watch_open (r), c = b;

    (void) state;
    a.remove = &b;
    a.add = &c;
    reactor_add_fd (r, a.in, ZMQ_POLLIN, on_watch, &a);
    reactor_add_fd (r, b.in, ZMQ_POLLIN, on_watch, &b);
    ring (&a);
    ring (&b);
    reactor_turn (r, -1);
    assert_int_equal (b.calls + c.calls, 0);
    reactor_turn (r, -1);
    assert_int_equal (b.calls, 0);
    assert_int_equal (c.calls, 1);
    reactor_destroy (r);
    watch_close (&a);
    watch_close (&b);
}

static void table_may_grow_while_it_is_walked (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch w[40];

    (void) state;
    for (int i = 0; i < 40; i++) {
        w[i] = watch_open (r);
        ring (&w[i]);
    }
    for (int i = 0; i < 20; i++) {
        w[i].add = &w[i + 20];
        reactor_add_fd (r, w[i].in, ZMQ_POLLIN, on_watch, &w[i]);
    }
    reactor_turn (r, -1);
    reactor_turn (r, -1);
    for (int i = 0; i < 40; i++) {
        assert_int_equal (w[i].calls, i < 20 ? 2 : 1);
        watch_close (&w[i]);
    }
    reactor_destroy (r);
}

static void end_of_the_other_side_is_an_error_event (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r);

    (void) state;
    reactor_add_fd (r, a.in, ZMQ_POLLIN, on_watch, &a);
    close (a.out);
    reactor_turn (r, -1);
    assert_int_equal (a.calls, 1);
    assert_true (a.events & ZMQ_POLLERR);
    reactor_destroy (r);
    close (a.in);
}

static void wish_to_write_comes_and_goes (void **state)
{
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r);

    (void) state;
    reactor_add_fd (r, a.out, 0, on_watch, &a);
    reactor_turn (r, 0);
    assert_int_equal (a.calls, 0);
    reactor_change_fd (r, a.out, ZMQ_POLLOUT);
    reactor_turn (r, -1);
    assert_int_equal (a.events, ZMQ_POLLOUT);
    reactor_change_fd (r, a.out, 0);
    reactor_turn (r, 0);
    assert_int_equal (a.calls, 1);
    reactor_destroy (r);
    watch_close (&a);
}

static void on_message (void *arg, short events)
{
    char text[8];
    void **socket = arg;

    assert_int_equal (events, ZMQ_POLLIN);
    assert_int_equal (zmq_recv (*socket, text, sizeof text, ZMQ_DONTWAIT), 5);
    *socket = NULL;
}

static void zeromq_sockets_stand_beside_descriptors (void **state)
{
    void *context = zmq_ctx_new ();
    void *a = zmq_socket (context, ZMQ_PAIR),
         *b = zmq_socket (context, ZMQ_PAIR);
    void *seen = a;
    struct reactor *r = reactor_create ();
    struct watch w = watch_open (r);

    (void) state;
    assert_int_equal (zmq_bind (a, "inproc://a"), 0);
    assert_int_equal (zmq_connect (b, "inproc://a"), 0);
    reactor_add_fd (r, w.in, ZMQ_POLLIN, on_watch, &w);
    reactor_add_socket (r, a, on_message, &seen);
    assert_int_equal (zmq_send (b, "hello", 5, 0), 5);
    while (seen)
        assert_int_equal (reactor_turn (r, -1), 0);
    reactor_remove_socket (r, a);
    zmq_close (a);
    zmq_close (b);
    assert_int_equal (reactor_turn (r, 0), 0);
    assert_int_equal (w.calls, 0);
    reactor_destroy (r);
    zmq_ctx_term (context);
    watch_close (&w);
}

static void empty_reactor_waits_and_does_not_spin (void **state)
{
    struct reactor *r = reactor_create ();

    (void) state;
    assert_int_equal (reactor_turn (r, 1), 0);
    assert_int_equal (reactor_turn (r, 0), 0);
    reactor_destroy (r);
    reactor_destroy (NULL);
}

static void on_alarm (int number)
{
    (void) number;
}

/* The alarm is not restarted and repeats, so that it cannot come too early. */
static void interrupted_poll_is_an_ordinary_turn (void **state)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    struct reactor *r = reactor_create ();
    struct watch a = watch_open (r);

    (void) state;
    sigaction (SIGALRM, &action, NULL);
    reactor_add_fd (r, a.in, ZMQ_POLLIN, on_watch, &a);
    setitimer (ITIMER_REAL, &every, NULL);
    assert_int_equal (reactor_turn (r, -1), 0);
    setitimer (ITIMER_REAL, &never, NULL);
    signal (SIGALRM, SIG_DFL);
    reactor_destroy (r);
    watch_close (&a);
}

static void on_signal (void *arg, short events)
{
    int *fd = arg;

    (void) events;
    assert_int_equal (signals_read (*fd), SIGHUP);
    assert_int_equal (signals_read (*fd), 0);
    *fd = -1;
}

static void signal_is_one_more_descriptor (void **state)
{
    int fd = signals_open (SIGHUP, SIGUSR1, 0), seen = fd;
    struct reactor *r = reactor_create ();

    (void) state;
    assert_true (fd >= 0);
    assert_true (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal (signals_read (fd), 0);
    reactor_add_fd (r, fd, ZMQ_POLLIN, on_signal, &seen);
    raise (SIGHUP);
    reactor_turn (r, -1);
    assert_int_equal (seen, -1);
    reactor_destroy (r);
    close (fd);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (only_what_is_ready_is_called),
        cmocka_unit_test (handler_may_remove_itself),
        cmocka_unit_test (entry_removed_by_an_earlier_handler_is_not_called),
        cmocka_unit_test (reused_number_never_gets_the_old_ones_events),
        cmocka_unit_test (table_may_grow_while_it_is_walked),
        cmocka_unit_test (end_of_the_other_side_is_an_error_event),
        cmocka_unit_test (wish_to_write_comes_and_goes),
        cmocka_unit_test (zeromq_sockets_stand_beside_descriptors),
        cmocka_unit_test (empty_reactor_waits_and_does_not_spin),
        cmocka_unit_test (interrupted_poll_is_an_ordinary_turn),
        cmocka_unit_test (signal_is_one_more_descriptor),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
