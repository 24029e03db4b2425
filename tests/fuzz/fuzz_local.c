/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_local.c - any packet at a shim's local sockets
 *
 * An input is a packet. What is taken for a command's message comes back from
 * its own packet; what is taken for a keeper's report is whole; and the shim's
 * core can bear both. Nothing is said to be a report for its size alone.
 */
#include "serve.c" // for what it lets through

#include "fuzz/feed.h"

static void check_command (const uint8_t *data, size_t size)
{
    static uint8_t packet[LOCAL_PACKET_BYTES], again[LOCAL_PACKET_BYTES];
    static struct msg in, back;
    struct codec_error error;
    size_t length;

    if (local_unpack (data, size, &in, &error))
        return;
    must (size >= 4 && memcmp (data, PROTOCOL_MAGIC, 4) == 0, "no magic");
    length = local_pack (in.verb, &in.hello, packet);
    if (length == 0)
        return; // of a few the largest is too large for our own form
    must (local_unpack (packet, length, &back, &error) == 0,
          "our own packet is refused");
    must (local_pack (back.verb, &back.hello, again) == length &&
              memcmp (packet, again, length) == 0,
          "two packets of one message");
}

static struct service service;

static void begin (void)
{
    static struct serve_options options;
    struct shim_settings *s = &options.settings;

    *s = (struct shim_settings){.project = "a", .host = "vm1", .hello_ms = 500};
    service = (struct service){.options = &options, .now = 1000};
    service.shim = shim_create (s, service.now);
    service.actions = actions_create ();
}

static void end (void)
{
    shim_turn (service.shim, 1, service.now, service.actions);
    shim_destroy (service.shim);
    actions_destroy (service.actions);
}

static void check_keeper (const uint8_t *data, size_t size)
{
    struct who who = {500, 1};
    struct keeper_packet p;

    if (on_keeper (&service, 1, who, data, size))
        return;
    must (size == sizeof p, "another size");
    memcpy (&p, data, sizeof p);
    must (p.magic == KEEPER_MAGIC && p.type >= KEEPER_ATTACH &&
              p.type <= KEEPER_REAPED,
          "not what a keeper says");
    must (memchr (p.cookie, 0, sizeof p.cookie) &&
              memchr (p.cgroup, 0, sizeof p.cgroup) &&
              memchr (p.label, 0, sizeof p.label) &&
              memchr (p.reason, 0, sizeof p.reason),
          "an endless text");
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct who who = {10, 1};

    check_command (data, size);
    begin ();
    check_keeper (data, size);
    on_command (&service, 1, who, data, size);
    end ();
    return 0;
}
