/* SPDX-License-Identifier: MPL-2.0 */
/* premises.h - what has to be ours before anything is served
 *
 * Folders with the right owner and mode, the host's lock, the state folder's
 * lock, and RUNTIME/broker.lock beside every ipc socket: a second bind on one
 * path would silently steal it, so the lock is taken first. Clients ask that
 * lock whether a broker lives (R9), so all who may connect may read it.
 *
 * A broker of root whose system has a group `slotbus` serves that group:
 * folders 0750, sockets 0660. Any other serves its own user alone.
 */
#ifndef SLOTBUS_PREMISES_H
#define SLOTBUS_PREMISES_H

#include <stddef.h>
#include <sys/types.h>

#include "bus/endpoint.h"
#include "options.h"

struct premises {
    gid_t group;              // who may connect; (gid_t) -1: the user alone
    char runtime[PATH_BYTES]; // beside the first ipc socket
    int locks[MAX_BINDS + 2]; // held until premises_leave ()
    unsigned lock_count;
};

/* 0; or -1 and a sentence: what is in the way, and how to mend it. */
int premises_enter (struct premises *p, const struct options *o,
                    char *ret_error, size_t error_size);
void premises_leave (struct premises *p);

/* For binding: what the umask has to be, so that a socket's file is right from
 * its first moment; and its group afterwards. */
mode_t premises_umask (const struct premises *p);
int premises_own_socket (const struct premises *p, const char *endpoint);

/* As many descriptors as the system allows us. 0; -1 and a sentence if that is
 * too few to serve. */
int premises_raise_descriptors (char *ret_error, size_t error_size);

#endif
