/* SPDX-License-Identifier: MPL-2.0 */
/* fuzz_store.c - a state folder whose files were changed by anything
 *
 * An input is a list of changes to the files of a good state: bytes that are
 * others, zeroes, an end cut off, a file that is gone. The store refuses with
 * a sentence or opens; what it opens a broker can start from, marks and epoch
 * are not below those of a marker that nobody touched (I3), and it takes a
 * batch and opens once more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/broker.h"
#include "fuzz/feed.h"
#include "store.h"

enum { MOST_FILES = 8, MOST_CHANGES = 16, FILE_BYTES = 1 << 18, TOKENS = 24 };

/* As a broker leaves it that ended well, and as one that did not. Ballast is
 * none of it, nor what SQLite makes anew. */
static struct image {
    unsigned count;
    struct {
        char name[64];
        uint8_t *bytes;
        size_t size;
    } files[MOST_FILES];
} closed, killed;

static char folder[64] = "/dev/shm/slotbus-fuzz-XXXXXX";
static struct meta_record written;

/* ---- files ---- */

static char *path_of (const char *name)
{
    static char path[400];

    snprintf (path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int counts (const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp (entry->d_name, "ballast") != 0 &&
           !strstr (entry->d_name, "-shm");
}

static uint8_t *take_file (const char *name, size_t *ret_size)
{
    int fd = open (path_of (name), O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = malloc (FILE_BYTES);
    ssize_t size = read (fd, bytes, FILE_BYTES);

    must (size >= 0 && size < FILE_BYTES, "the good state is too large");
    close (fd);
    *ret_size = (size_t) size;
    return bytes;
}

/* In the order of their names, so that an input means the same each time. */
static void take_image (struct image *i)
{
    struct dirent **entries;
    int count = scandir (folder, &entries, counts, alphasort);

    must (count > 0 && count <= MOST_FILES, "another number of files");
    for (int n = 0; n < count; n++) {
        copy_text (i->files[n].name, sizeof i->files[n].name,
                   entries[n]->d_name);
        i->files[n].bytes = take_file (entries[n]->d_name, &i->files[n].size);
        free (entries[n]);
    }
    free (entries);
    i->count = (unsigned) count;
}

static void put_file (const char *name, const uint8_t *bytes, size_t size)
{
    int fd =
        open (path_of (name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must (fd >= 0 && write (fd, bytes, size) == (ssize_t) size, "no room");
    close (fd);
}

/* All but the ballast, which takes long to make; at the end that too. */
static void clear_folder (bool ballast)
{
    DIR *dir = opendir (folder);
    struct dirent *entry;

    while (dir && (entry = readdir (dir)))
        if (ballast || strcmp (entry->d_name, "ballast") != 0)
            unlink (path_of (entry->d_name));
    if (dir)
        closedir (dir);
}

static void remove_folder (void)
{
    clear_folder (true);
    rmdir (folder);
}

/* ---- the good state ---- */

static struct store *open_store (bool accept_loss, enum store_error *ret_error)
{
    struct store *s = NULL;
    char error[1024] = "";

    *ret_error = store_open (folder, accept_loss, &s, error, sizeof error);
    must ((*ret_error == STORE_OK) == (s != NULL), "neither open nor refused");
    must (s || error[0], "refused without a sentence");
    return s;
}

static void add_rows (struct outbox *o)
{
    static struct session_record session = {
        .id = 5, .project = "a", .host = "vm1", .boot = "boot1", .own = true};
    static struct lease_record lease = {.session = 5,
                                        .project = "a",
                                        .host = "vm1",
                                        .boot = "boot1",
                                        .own = true,
                                        .state = LEASE_ACTIVE,
                                        .count = 1,
                                        .asked = 1};
    static struct waiter_record waiter = {
        .number = 1, .session = 5, .seq = 9, .count = 2, .min = 2};
    static struct project_record project = {
        .number = 2, .name = "a", .paused = true, .reason = "at night"};

    outbox_change (o, CHANGE_SESSION, session.id, &session);
    outbox_change (o, CHANGE_WAITER, waiter.number, &waiter);
    outbox_change (o, CHANGE_PROJECT, project.number, &project);
    for (lease.token = 1; lease.token <= TOKENS; lease.token++) {
        lease.first = lease.seq = lease.token;
        outbox_change (o, CHANGE_LEASE, lease.token, &lease);
    }
}

static void make_images (void)
{
    struct outbox *o = outbox_create ();
    enum store_error error;
    struct store *s = open_store (false, &error);
    struct meta_record meta;

    must (s != NULL, "no good state");
    meta = *store_meta (s);
    meta.token_mark = meta.number_mark = 1000;
    outbox_change (o, CHANGE_META, 0, &meta);
    add_rows (o);
    must (store_commit (s, o) == STORE_OK, "the good state is not written");
    take_image (&killed);
    store_close (s);
    take_image (&closed);
    written = meta;
    outbox_destroy (o);
}

int LLVMFuzzerInitialize (int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    if (!mkdtemp (folder)) {
        strcpy (folder, "/tmp/slotbus-fuzz-XXXXXX");
        must (mkdtemp (folder) != NULL, "no folder");
    }
    atexit (remove_folder);
    make_images ();
    return 0;
}

/* ---- what has become of it ---- */

struct change_of_file {
    unsigned kind, file, count;
    size_t at;
};

static struct change_of_file read_change (struct feed *f, const struct image *i)
{
    struct change_of_file c = {.kind = feed_below (f, 8)};

    c.file = feed_below (f, i->count);
    for (unsigned n = 0; n < 3; n++)
        c.at = c.at << 8 | feed_byte (f);
    c.count = 1 + feed_below (f, 32);
    return c;
}

/* Bytes from the feed in the place of, or on top of, what is there. */
static void overwrite (struct feed *f, const struct change_of_file *c,
                       const char *name, const uint8_t *before)
{
    int fd = open (path_of (name), O_WRONLY | O_CLOEXEC);
    uint8_t bytes[32];

    for (unsigned i = 0; i < c->count; i++) {
        bytes[i] = c->kind == 2 ? 0 : feed_byte (f);
        if (c->kind == 3)
            bytes[i] ^= before[i];
    }
    if (fd < 0)
        return; // it is gone already
    must (pwrite (fd, bytes, c->count, (off_t) c->at) == (ssize_t) c->count,
          "no room");
    close (fd);
}

static void change (struct feed *f, struct change_of_file *c,
                    const struct image *image)
{
    const char *name = image->files[c->file].name;
    size_t size = image->files[c->file].size;

    if (!size)
        return;
    c->at %= size;
    if (c->count > size - c->at)
        c->count = (unsigned) (size - c->at);
    if (c->kind == 0)
        unlink (path_of (name));
    else if (c->kind == 1)
        must (truncate (path_of (name), (off_t) c->at) == 0 || errno == ENOENT,
              "cannot be cut");
    else
        overwrite (f, c, name, image->files[c->file].bytes + c->at);
}

/* Returns whether the marker is as it was. */
static bool lay_out (struct feed *f, const struct image *image)
{
    bool untouched = true;

    clear_folder (false);
    for (unsigned i = 0; i < image->count; i++)
        put_file (image->files[i].name, image->files[i].bytes,
                  image->files[i].size);
    for (unsigned n = 0; n < MOST_CHANGES && !feed_over (f); n++) {
        struct change_of_file c = read_change (f, image);

        untouched &= strcmp (image->files[c.file].name, "INITIALISED") != 0;
        change (f, &c, image);
    }
    return untouched;
}

/* ---- the start ---- */

static void on_session (void *arg, const struct session_record *r)
{
    broker_restore_session (arg, r);
}

static void on_lease (void *arg, const struct lease_record *r)
{
    broker_restore_lease (arg, r);
}

static void on_waiter (void *arg, const struct waiter_record *r)
{
    broker_restore_waiter (arg, r);
}

static void on_project (void *arg, const struct project_record *r)
{
    broker_restore_project (arg, r);
}

static void on_damaged (void *arg, uint64_t token)
{
    broker_restore_damaged (arg, token);
}

static void start (struct store *s)
{
    struct settings settings;
    struct identity self = {"vm1", "m1", "boot1", "1.0"};
    struct store_reader reader = {on_session, on_lease,   on_waiter,
                                  on_project, on_damaged, NULL};
    struct outbox *out = outbox_create ();
    struct broker *b;
    unsigned damaged = 0;

    settings_default (&settings, 4, (uint64_t) 8 << 30);
    b = broker_create (&settings, &self, store_meta (s), store_learning (s),
                       1000);
    reader.arg = b;
    if (store_load (s, &reader, &damaged) == STORE_OK) {
        broker_start (b, 1000, out);
        broker_turn (b, true, 1000, out);
        broker_round (b, 1000, out);
        store_commit (s, out);
    } else
        must (store_failure (s)[0], "not loaded, without a word");
    broker_destroy (b);
    outbox_destroy (out);
}

/* Returns the epoch. */
static uint64_t use (struct store *s, bool untouched)
{
    struct meta_record meta = *store_meta (s);

    must (memchr (meta.broker, 0, sizeof meta.broker) != NULL, "endless");
    must (!untouched || (meta.epoch > written.epoch &&
                         meta.token_mark >= written.token_mark &&
                         meta.number_mark >= written.number_mark),
          "I3: below the marker");
    start (s);
    store_close (s);
    return meta.epoch;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct feed f = {data, data + size};
    unsigned how = feed_byte (&f);
    bool untouched = lay_out (&f, how & 1 ? &killed : &closed);
    enum store_error error;
    struct store *s = open_store (how & 2, &error);
    uint64_t epoch;

    must (error != STORE_IO, "the disk is said to have failed");
    if (!s)
        return 0;
    epoch = use (s, untouched);
    s = open_store (false, &error);
    must (s || error == STORE_LOST, "not to be opened a second time");
    if (s) {
        must (store_meta (s)->epoch > epoch, "I3: the epoch does not rise");
        store_close (s);
    }
    return 0;
}
