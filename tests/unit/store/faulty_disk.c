/* SPDX-License-Identifier: MPL-2.0 */
#include "faulty_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bus/base.h"

enum {
    NAMES = 64,
    DESCRIPTORS = 256,
    NO_FILE = 0,
    FOLDER = 1 // files count from 2
};

static struct {
    char folder[128];
    enum disk_fault fault;
    unsigned nth, seen; // 0: no fault is set
    bool struck, full;  // now
    bool low;           // by statvfs ()
    bool rebooted;
    int error; // the last one, for SQLite
    struct {
        char name[32];
        unsigned file;
    } names[NAMES];
    unsigned files, tag;
    unsigned descriptors[DESCRIPTORS];
} disk;

static struct {
    bool on;
    struct disk_step *steps;
    size_t count, room;
} record;

/* ---- which file ---- */

static const char *watched (const char *path)
{
    size_t size = strlen (disk.folder);

    return path && size > 0 && strncmp (path, disk.folder, size) == 0 &&
                   path[size] == '/'
               ? path + size + 1
               : NULL;
}

static unsigned *entry_of (const char *name)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (disk.names[i].file != NO_FILE &&
            strcmp (disk.names[i].name, name) == 0)
            return &disk.names[i].file;
    return NULL;
}

static void enter (const char *name, unsigned file)
{
    unsigned *there = entry_of (name);

    for (unsigned i = 0; !there && i < NAMES; i++)
        if (disk.names[i].file == NO_FILE) {
            snprintf (disk.names[i].name, sizeof disk.names[i].name, "%s",
                      name);
            there = &disk.names[i].file;
        }
    if (!there)
        abort ();
    *there = file;
}

static bool is_named (unsigned file, const char *name)
{
    unsigned *there = entry_of (name);

    return there && *there == file;
}

/* Nobody needs that it is flushed: not the ballast, nor the journal of a
 * database that is still a draft. */
static bool is_spare (unsigned file)
{
    return is_named (file, "ballast") ||
           is_named (file, "state.db.new-journal");
}

static struct disk_step *note (enum disk_step_kind kind, unsigned file,
                               const char *name)
{
    static struct disk_step nowhere;
    struct disk_step *step = &nowhere;

    if (record.on) {
        if (record.count == record.room) {
            record.room = record.room ? 2 * record.room : 1024;
            record.steps = xrealloc (record.steps, record.room * sizeof *step);
        }
        step = &record.steps[record.count++];
    }
    memset (step, 0, sizeof *step);
    step->kind = kind;
    step->file = file;
    step->tag = disk.tag;
    snprintf (step->name, sizeof step->name, "%s", name ? name : "");
    return step;
}

static void note_write (unsigned file, const void *data, size_t size,
                        int64_t offset)
{
    struct disk_step *step = note (STEP_WRITE, file, NULL);

    step->offset = offset;
    step->size = size;
    if (!record.on)
        return;
    step->data = xcalloc (1, size);
    memcpy (step->data, data, size);
}

static unsigned note_open (const char *name, bool exists)
{
    unsigned *there = entry_of (name);

    if (exists && there)
        return *there;
    enter (name, ++disk.files);
    if (!exists)
        note (STEP_CREATE, disk.files, name);
    return disk.files;
}

static void note_unlink (const char *name)
{
    unsigned *there = entry_of (name);

    note (STEP_UNLINK, there ? *there : NO_FILE, name);
    if (there)
        *there = NO_FILE;
    if (strcmp (name, "ballast") == 0)
        disk.full = false;
}

/* ---- whether it fails ---- */

static bool strikes (enum disk_fault fault, enum disk_step_kind kind)
{
    bool changes = kind != STEP_OPEN && kind != STEP_READ &&
                   kind != STEP_FLUSH && kind != STEP_FLUSH_FOLDER;

    switch (fault) {
    case FAULT_NO_SPACE: return kind == STEP_CREATE || kind == STEP_WRITE;
    case FAULT_IO: return kind != STEP_FLUSH && kind != STEP_FLUSH_FOLDER;
    case FAULT_FLUSH: return kind == STEP_FLUSH || kind == STEP_FLUSH_FOLDER;
    case FAULT_SHORT:
    case FAULT_TORN: return kind == STEP_WRITE;
    case FAULT_READ_ONLY: return changes;
    case FAULT_DEATH: return true;
    case DISK_FAULTS: break;
    }
    return false;
}

static int error_of (enum disk_fault fault)
{
    return fault == FAULT_NO_SPACE || fault == FAULT_SHORT ? ENOSPC
           : fault == FAULT_READ_ONLY                      ? EROFS
                                                           : EIO;
}

static bool lasts (void)
{
    return disk.struck && (disk.fault == FAULT_READ_ONLY ||
                           (disk.fault == FAULT_NO_SPACE && disk.full));
}

/* 0, or the error that this step shall meet. */
static int strike (enum disk_step_kind kind)
{
    if (!disk.nth || !strikes (disk.fault, kind))
        return 0;
    if (!disk.struck && ++disk.seen == disk.nth) {
        disk.struck = true;
        disk.full = disk.low = disk.fault == FAULT_NO_SPACE;
        if (disk.fault == FAULT_DEATH)
            _exit (DISK_DEATH);
    } else if (!lasts ())
        return 0;
    return disk.error = error_of (disk.fault);
}

/* How much of a write that fails comes to pass. */
static size_t part_of (size_t size)
{
    return disk.fault == FAULT_SHORT || disk.fault == FAULT_TORN ? size / 2 : 0;
}

static void die_if_torn (void)
{
    if (disk.fault == FAULT_TORN)
        _exit (DISK_DEATH);
}

/* ---- what the product does itself ---- */

int __real_host_boot_id (char *ret_id, size_t size);
int __real_open (const char *path, int flags, ...);
ssize_t __real_read (int fd, void *ret_data, size_t size);
ssize_t __real_write (int fd, const void *data, size_t size);
ssize_t __real_pwrite (int fd, const void *data, size_t size, off_t offset);
int __real_fsync (int fd);
int __real_rename (const char *from, const char *to);
int __real_unlink (const char *path);
int __real_statvfs (const char *path, struct statvfs *ret_fs);

int __wrap_host_boot_id (char *ret_id, size_t size);
int __wrap_open (const char *path, int flags, ...);
ssize_t __wrap_read (int fd, void *ret_data, size_t size);
ssize_t __wrap_write (int fd, const void *data, size_t size);
ssize_t __wrap_pwrite (int fd, const void *data, size_t size, off_t offset);
int __wrap_fsync (int fd);
int __wrap_rename (const char *from, const char *to);
int __wrap_unlink (const char *path);
int __wrap_statvfs (const char *path, struct statvfs *ret_fs);

int __wrap_host_boot_id (char *ret_id, size_t size)
{
    int rc = __real_host_boot_id (ret_id, size);

    if (rc == 0 && disk.rebooted)
        ret_id[0] = ret_id[0] == '0' ? '1' : '0';
    return rc;
}

static int fail (int error)
{
    errno = error;
    return -1;
}

static unsigned file_of (int fd)
{
    return fd >= 0 && fd < DESCRIPTORS ? disk.descriptors[fd] : NO_FILE;
}

static int open_watched (const char *path, const char *name, int flags,
                         mode_t mode)
{
    bool exists = access (path, F_OK) == 0;
    bool creates = !exists && flags & O_CREAT;
    int error = strike (creates ? STEP_CREATE : STEP_OPEN);
    int fd = error ? fail (error) : __real_open (path, flags, mode);

    if (fd >= DESCRIPTORS)
        abort ();
    if (fd >= 0)
        disk.descriptors[fd] = note_open (name, !creates);
    return fd;
}

int __wrap_open (const char *path, int flags, ...)
{
    const char *name = watched (path);
    mode_t mode;
    va_list args;
    int fd;

    va_start (args, flags);
    mode = flags & O_CREAT ? va_arg (args, mode_t) : 0;
    va_end (args);
    if (name)
        return open_watched (path, name, flags, mode);
    fd = __real_open (path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS)
        disk.descriptors[fd] = disk.folder[0] && strcmp (path, disk.folder) == 0
                                   ? FOLDER
                                   : NO_FILE;
    return fd;
}

ssize_t __wrap_read (int fd, void *ret_data, size_t size)
{
    int error = file_of (fd) ? strike (STEP_READ) : 0;

    return error ? fail (error) : __real_read (fd, ret_data, size);
}

ssize_t __wrap_pwrite (int fd, const void *data, size_t size, off_t offset)
{
    unsigned file = file_of (fd);
    int error = file ? strike (STEP_WRITE) : 0;
    ssize_t done =
        __real_pwrite (fd, data, error ? part_of (size) : size, offset);

    if (file && done > 0)
        note_write (file, data, (size_t) done, offset);
    if (!error || disk.fault == FAULT_SHORT)
        return done;
    die_if_torn ();
    return fail (error);
}

ssize_t __wrap_write (int fd, const void *data, size_t size)
{
    off_t offset;
    ssize_t done;

    if (!file_of (fd))
        return __real_write (fd, data, size);
    offset = lseek (fd, 0, SEEK_CUR);
    done = __wrap_pwrite (fd, data, size, offset);
    if (done > 0)
        lseek (fd, offset + (off_t) done, SEEK_SET);
    return done;
}

int __wrap_fsync (int fd)
{
    unsigned file = file_of (fd);
    enum disk_step_kind kind = file == FOLDER ? STEP_FLUSH_FOLDER : STEP_FLUSH;
    int error;

    if (!file)
        return __real_fsync (fd);
    if (!is_spare (file) && (error = strike (kind)))
        return fail (error);
    note (kind, file, NULL);
    return 0;
}

int __wrap_rename (const char *from, const char *to)
{
    const char *name = watched (from);
    int error = name ? strike (STEP_RENAME) : 0;
    int rc = error ? fail (error) : __real_rename (from, to);

    if (name && rc == 0) {
        unsigned *there = entry_of (name);
        unsigned file = there ? *there : ++disk.files;
        struct disk_step *step = note (STEP_RENAME, file, name);

        snprintf (step->to, sizeof step->to, "%s", watched (to));
        if (there)
            *there = NO_FILE;
        enter (watched (to), file);
    }
    return rc;
}

int __wrap_unlink (const char *path)
{
    const char *name = watched (path);
    int error = name ? strike (STEP_UNLINK) : 0;
    int rc = error ? fail (error) : __real_unlink (path);

    if (name && rc == 0)
        note_unlink (name);
    return rc;
}

int __wrap_statvfs (const char *path, struct statvfs *ret_fs)
{
    int rc = __real_statvfs (path, ret_fs);

    if (disk.folder[0] && rc == 0) {
        ret_fs->f_frsize = 1 << 20;
        ret_fs->f_bfree = ret_fs->f_bavail = disk.low ? 1 : 1024;
    }
    return rc;
}

/* ---- what SQLite does ---- */

struct vfs_file {
    sqlite3_file base;
    unsigned file;       // NO_FILE: not watched
    bool new_entry;      // its first flush flushes the folder too, as
                         // SQLite's own VFS does for journals and WALs
    sqlite3_file *under; // in the same block of memory
};

static struct vfs_file *ours (sqlite3_file *f)
{
    return (struct vfs_file *) (void *) f;
}

static sqlite3_vfs *under (sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int vfs_close (sqlite3_file *f)
{
    struct vfs_file *file = ours (f);

    return file->under->pMethods ? file->under->pMethods->xClose (file->under)
                                 : SQLITE_OK;
}

static int vfs_read (sqlite3_file *f, void *data, int size, sqlite3_int64 at)
{
    sqlite3_file *u = ours (f)->under;

    if (ours (f)->file && strike (STEP_READ))
        return SQLITE_IOERR_READ;
    return u->pMethods->xRead (u, data, size, at);
}

static int vfs_write (sqlite3_file *f, const void *data, int size,
                      sqlite3_int64 at)
{
    struct vfs_file *file = ours (f);
    sqlite3_file *u = file->under;
    int error = file->file ? strike (STEP_WRITE) : 0;
    int part = error ? (int) part_of ((size_t) size) : size;
    int rc = part ? u->pMethods->xWrite (u, data, part, at) : SQLITE_OK;

    if (file->file && part && rc == SQLITE_OK)
        note_write (file->file, data, (size_t) part, at);
    if (!error)
        return rc;
    die_if_torn ();
    return error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int vfs_truncate (sqlite3_file *f, sqlite3_int64 size)
{
    sqlite3_file *u = ours (f)->under;

    if (ours (f)->file) {
        if (strike (STEP_TRUNCATE))
            return SQLITE_IOERR_TRUNCATE;
        note (STEP_TRUNCATE, ours (f)->file, NULL)->offset = size;
    }
    return u->pMethods->xTruncate (u, size);
}

static int vfs_sync (sqlite3_file *f, int flags)
{
    struct vfs_file *file = ours (f);

    (void) flags;
    if (!file->file)
        return SQLITE_OK;
    if (!is_spare (file->file) && strike (STEP_FLUSH))
        return SQLITE_IOERR_FSYNC;
    note (STEP_FLUSH, file->file, NULL);
    if (file->new_entry)
        note (STEP_FLUSH_FOLDER, FOLDER, NULL);
    file->new_entry = false;
    return SQLITE_OK;
}

static int vfs_size (sqlite3_file *f, sqlite3_int64 *ret_size)
{
    return ours (f)->under->pMethods->xFileSize (ours (f)->under, ret_size);
}

static int vfs_lock (sqlite3_file *f, int level)
{
    return ours (f)->under->pMethods->xLock (ours (f)->under, level);
}

static int vfs_unlock (sqlite3_file *f, int level)
{
    return ours (f)->under->pMethods->xUnlock (ours (f)->under, level);
}

static int vfs_reserved (sqlite3_file *f, int *ret_is)
{
    return ours (f)->under->pMethods->xCheckReservedLock (ours (f)->under,
                                                          ret_is);
}

static int vfs_control (sqlite3_file *f, int what, void *arg)
{
    return ours (f)->under->pMethods->xFileControl (ours (f)->under, what, arg);
}

static int vfs_sector (sqlite3_file *f)
{
    return ours (f)->under->pMethods->xSectorSize (ours (f)->under);
}

static int vfs_traits (sqlite3_file *f)
{
    return ours (f)->under->pMethods->xDeviceCharacteristics (ours (f)->under);
}

/* Version 1, without shared memory: a store must not need it. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector,
    .xDeviceCharacteristics = vfs_traits,
};

static int vfs_open (sqlite3_vfs *vfs, const char *path, sqlite3_file *f,
                     int flags, int *ret_flags)
{
    struct vfs_file *file = ours (f);
    const char *name = watched (path);
    bool exists = name && access (path, F_OK) == 0;
    bool creates = !exists && flags & SQLITE_OPEN_CREATE;
    int rc;

    memset (file, 0, (size_t) vfs->szOsFile);
    file->under = (sqlite3_file *) (void *) (file + 1);
    if (name && strike (creates ? STEP_CREATE : STEP_OPEN))
        return SQLITE_CANTOPEN;
    rc = under (vfs)->xOpen (under (vfs), path, file->under, flags, ret_flags);
    if (rc != SQLITE_OK) {
        disk.error = errno;
        return rc;
    }
    f->pMethods = &methods;
    if (name)
        file->file = note_open (name, !creates);
    file->new_entry =
        creates && flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL);
    return SQLITE_OK;
}

static int vfs_delete (sqlite3_vfs *vfs, const char *path, int flush_folder)
{
    const char *name = watched (path);
    int rc;

    if (name && strike (STEP_UNLINK))
        return SQLITE_IOERR_DELETE;
    rc = under (vfs)->xDelete (under (vfs), path, 0);
    if (name && rc == SQLITE_OK) {
        note_unlink (name);
        if (flush_folder)
            note (STEP_FLUSH_FOLDER, FOLDER, NULL);
    }
    return rc;
}

static int vfs_access (sqlite3_vfs *vfs, const char *path, int flags,
                       int *ret_is)
{
    return under (vfs)->xAccess (under (vfs), path, flags, ret_is);
}

static int vfs_full_name (sqlite3_vfs *vfs, const char *path, int size,
                          char *ret_path)
{
    return under (vfs)->xFullPathname (under (vfs), path, size, ret_path);
}

static int vfs_error (sqlite3_vfs *vfs, int size, char *text)
{
    (void) vfs, (void) size, (void) text;
    return disk.error;
}

void disk_install (void)
{
    static sqlite3_vfs vfs;
    sqlite3_vfs *real = sqlite3_vfs_find (NULL);

    vfs = *real;
    vfs.iVersion = 2;
    vfs.szOsFile += (int) sizeof (struct vfs_file);
    vfs.zName = "faulty";
    vfs.pAppData = real;
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    vfs.xAccess = vfs_access;
    vfs.xFullPathname = vfs_full_name;
    vfs.xGetLastError = vfs_error;
    sqlite3_vfs_register (&vfs, 1);
}

/* ---- for the tests ---- */

void disk_watch (const char *folder)
{
    record.on = false;
    memset (&disk, 0, sizeof disk);
    disk.files = FOLDER;
    snprintf (disk.folder, sizeof disk.folder, "%s", folder ? folder : "");
}

void disk_fail (enum disk_fault fault, unsigned nth)
{
    disk.fault = fault;
    disk.nth = nth;
    disk.seen = 0;
    disk.struck = false;
}

bool disk_struck (void)
{
    return disk.struck;
}

void disk_set_low (bool low)
{
    disk.low = low;
}

void disk_reboot (void)
{
    disk.rebooted = true;
}

void disk_make_room (void)
{
    disk.full = disk.low = false;
}

void disk_record (void)
{
    for (size_t i = 0; i < record.count; i++)
        free (record.steps[i].data);
    free (record.steps);
    memset (&record, 0, sizeof record);
    record.on = true;
}

size_t disk_recorded (void)
{
    return record.count;
}

const struct disk_step *disk_step_at (size_t i)
{
    return &record.steps[i];
}

void disk_tag (unsigned tag)
{
    disk.tag = tag;
}
