/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_config.c - any bytes as slots.yaml
 *
 * Either it is refused with a sentence that says where, or what was read fits
 * together and a broker can live by it. The fuzzer's own limit of time finds
 * what is quadratic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "core/broker.h"
#include "fuzz/feed.h"
#include "options.h"

static char path[64];
static int file = -1;

/* A file without a folder; others may not write it. */
static void write_file (const uint8_t *data, size_t size)
{
    if (file < 0) {
        file = memfd_create ("slots.yaml", MFD_CLOEXEC);
        must (file >= 0 && fchmod (file, 0600) == 0, "no file to write to");
        snprintf (path, sizeof path, "/proc/self/fd/%d", file);
    }
    must (ftruncate (file, 0) == 0 &&
              pwrite (file, data, size, 0) == (ssize_t) size,
          "no room");
}

static unsigned lines_of (const uint8_t *data, size_t size)
{
    unsigned lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 ||
                 data[i] == 0xa8 || data[i] == 0xa9;
    return lines;
}

/* "FILE:7:3: ..."; the size alone has no place. */
static void check_error (const char *error, const uint8_t *data, size_t size)
{
    unsigned line = 0, column = 0;
    size_t length = strlen (path);
    int end = 0;

    must (strncmp (error, path, length) == 0, "the file is not named");
    must_be_clean (error, strlen (error), false,
                   "an error with odd characters");
    if (size > 65536)
        return;
    must (sscanf (error + length, ":%u:%u: %n", &line, &column, &end) == 2 &&
              end > 0 && error[length + (size_t) end],
          "no line and column");
    must (line >= 1 && line <= lines_of (data, size) + 1 && column >= 1 &&
              column <= size + 1,
          "a place outside of the file");
}

static void live_by (const struct options *o)
{
    struct identity self = {"vm1", "m1", "boot1", "1.0"};
    struct meta_record meta = {.broker = "b00f", .epoch = 1};
    struct outbox *out = outbox_create ();
    struct broker *b = broker_create (&o->settings, &self, &meta, false, 1000);

    broker_start (b, 1000, out);
    broker_turn (b, true, 1000, out);
    broker_round (b, 1000, out);
    must (broker_next_deadline (b, 1000) > 1000, "no rest");
    broker_destroy (b);
    outbox_destroy (out);
}

static void check_texts (const struct texts *t, unsigned most)
{
    must (t->count <= most, "too many");
    for (unsigned i = 0; i < t->count; i++)
        must (memchr (t->at[i], 0, sizeof t->at[i]) != NULL, "endless");
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static struct options o;
    char error[512] = "";
    int rc;

    write_file (data, size);
    memset (&o, 0, sizeof o);
    settings_default (&o.settings, 4, (uint64_t) 8 << 30);
    rc = config_read (path, &o, error, sizeof error);
    must (rc == 0 || rc == -1, "neither read nor refused");
    if (rc)
        check_error (error, data, size);
    else {
        must (settings_check (&o.settings) == NULL, "it does not fit together");
        check_texts (&o.binds, MAX_BINDS);
        check_texts (&o.disk_paths, MAX_DISK_PATHS);
        check_texts (&o.unmanaged, MAX_UNMANAGED);
        live_by (&o);
    }
    settings_default (&o.settings, 4, (uint64_t) 8 << 30);
    config_read_priorities (path, &o, error, sizeof error);
    return 0;
}
