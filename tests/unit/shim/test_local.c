/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus/proc.h"
#include "local.h"

static struct {
    struct reactor *reactor;
    struct local *local;
    char folder[64], path[96];
    unsigned packets, gone;
    uint64_t peer;
    struct who who;
    size_t size;
    int answer; // of the packet handler
} here;

static struct msg msg;

static int on_packet (void *arg, uint64_t peer, struct who who,
                      const void *data, size_t size)
{
    (void) arg;
    (void) data;
    here.packets++;
    here.peer = peer;
    here.who = who;
    here.size = size;
    return here.answer;
}

static void on_gone (void *arg, uint64_t peer)
{
    (void) arg;
    here.gone++;
    here.peer = peer;
}

static int set_up (void **s)
{
    (void) s;
    memset (&here, 0, sizeof here);
    strcpy (here.folder, "/tmp/slotbus-local-XXXXXX");
    if (!mkdtemp (here.folder))
        return -1;
    snprintf (here.path, sizeof here.path, "%s/shim", here.folder);
    here.reactor = reactor_create ();
    here.local =
        local_listen (here.reactor, here.path, on_packet, on_gone, NULL);
    return here.local ? 0 : -1;
}

static int tear_down (void **s)
{
    (void) s;
    local_destroy (here.local);
    reactor_destroy (here.reactor);
    return rmdir (here.folder); // the socket is gone
}

static void turn (void)
{
    assert_int_equal (reactor_turn (here.reactor, 1000), 0);
}

/* A client that has been accepted, with its number in here.peer. */
static int client (void)
{
    int fd = local_connect (here.path);
    unsigned before = here.packets;

    assert_true (fd >= 0);
    assert_int_equal (send (fd, "x", 1, 0), 1);
    while (here.packets == before)
        turn ();
    return fd;
}

static void packets_come_whole_with_who_sent_them (void **s)
{
    int fd = client ();

    (void) s;
    assert_int_equal (here.size, 1);
    assert_int_equal (here.who.pid, getpid ());
    assert_int_equal (here.who.start, proc_start (getpid ()));
    assert_int_equal (local_count (here.local), 1);
    close (fd);
    turn ();
    assert_int_equal (here.gone, 1);
    assert_int_equal (local_count (here.local), 0);
}

static void socket_is_its_owners_alone (void **s)
{
    struct stat st;

    (void) s;
    assert_int_equal (stat (here.path, &st), 0);
    assert_int_equal (st.st_mode & 0777, 0600);
}

static void packet_that_is_refused_ends_its_connection (void **s)
{
    int fd = client ();

    (void) s;
    here.answer = -1;
    send (fd, "y", 1, 0);
    turn ();
    assert_int_equal (here.gone, 1);
    assert_int_equal (local_hear (fd, 0, &msg), 0);
    assert_int_equal (errno, 0); // hung up
    close (fd);
}

static void packet_that_is_too_large_ends_its_connection (void **s)
{
    static char large[LOCAL_PACKET_BYTES + 1];
    int fd = client ();

    (void) s;
    assert_int_equal (send (fd, large, sizeof large, 0), sizeof large);
    turn ();
    assert_int_equal (here.packets, 1);
    assert_int_equal (here.gone, 1);
    close (fd);
}

static void hang_up_comes_after_what_was_told (void **s)
{
    static uint8_t packet[LOCAL_PACKET_BYTES];
    struct msg_ok ok;
    int fd = client ();

    (void) s;
    message_init_fields (&ok, VERB_OK);
    strcpy (ok.re, "GRANT");
    local_send (here.local, here.peer, packet,
                local_pack (VERB_OK, &ok, packet), false);
    local_hang_up (here.local, here.peer);
    assert_int_equal (local_hear (fd, 0, &msg), 1);
    assert_int_equal (msg.verb, VERB_OK);
    assert_string_equal (msg.ok.re, "GRANT");
    assert_int_equal (local_hear (fd, 0, &msg), 0);
    assert_int_equal (here.gone, 0); // we did it
    close (fd);
}

static void who_does_not_read_loses_news_but_no_answer (void **s)
{
    static char large[60000];
    int fd = client ();
    unsigned got = 0;

    (void) s;
    for (int i = 0; i < 40; i++)
        local_send (here.local, here.peer, large, sizeof large, false);
    for (int i = 0; i < 1000; i++)
        local_send (here.local, here.peer, large, 10, true);
    local_hang_up (here.local, here.peer);
    while (got < 40) {
        ssize_t n = recv (fd, large, sizeof large, MSG_DONTWAIT);

        if (n < 0)
            turn ();
        else
            assert_true (n == 10 || n == sizeof large);
        got += n == sizeof large;
    }
    while (local_count (here.local) > 0)
        turn ();
    while (recv (fd, large, sizeof large, MSG_DONTWAIT) == 10)
        ;
    assert_int_equal (recv (fd, large, sizeof large, 0), 0);
    close (fd);
}

static void who_never_reads_is_ended (void **s)
{
    static char large[60000];
    int fd = client ();

    (void) s;
    for (int i = 0; i < 1000; i++)
        local_send (here.local, here.peer, large, sizeof large, false);
    while (here.gone == 0)
        turn ();
    assert_int_equal (local_count (here.local), 0);
    close (fd);
}

static void nobody_there_is_not_an_endless_wait (void **s)
{
    int fd;

    (void) s;
    assert_int_equal (local_connect ("/tmp/slotbus-no-such/shim"), -1);
    assert_int_equal (errno, ENOENT);
    fd = client ();
    assert_int_equal (local_hear (fd, 0, &msg), 0);
    assert_int_equal (errno, ETIMEDOUT);
    close (fd);
    turn ();
}

static void only_messages_with_the_magic_are_unpacked (void **s)
{
    static uint8_t packet[LOCAL_PACKET_BYTES];
    struct codec_error error;
    struct msg_cancel cancel;
    size_t size;

    (void) s;
    message_init_fields (&cancel, VERB_CANCEL);
    cancel.all = true;
    size = local_pack (VERB_CANCEL, &cancel, packet);
    assert_int_equal (local_unpack (packet, size, &msg, &error), 0);
    assert_true (msg.cancel.all);
    assert_int_equal (local_unpack (packet, 3, &msg, &error), -1);
    packet[3] = '2';
    assert_int_equal (local_unpack (packet, size, &msg, &error), -1);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE (packets_come_whole_with_who_sent_them),
        CASE (socket_is_its_owners_alone),
        CASE (packet_that_is_refused_ends_its_connection),
        CASE (packet_that_is_too_large_ends_its_connection),
        CASE (hang_up_comes_after_what_was_told),
        CASE (who_does_not_read_loses_news_but_no_answer),
        CASE (who_never_reads_is_ended),
        CASE (nobody_there_is_not_an_endless_wait),
        CASE (only_messages_with_the_magic_are_unpacked),
    };

    return cmocka_run_group_tests (tests, NULL, NULL);
}
