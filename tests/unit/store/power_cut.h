/* SPDX-License-Identifier: MPL-2.0 */
/* power_cut.h - what a disk may hold after the power went
 *
 * From the steps that faulty_disk.h recorded. What was flushed is there. Of
 * what was not, each write is kept, dropped or torn, on its own; the folder's
 * entries are kept up to some point, in their order, since a file system
 * journals them. A file whose entry was not flushed is not there, though its
 * data was.
 */
#ifndef SLOTBUS_TEST_POWER_CUT_H
#define SLOTBUS_TEST_POWER_CUT_H

#include <stddef.h>
#include <stdint.h>

/* Make `folder`, empty, what may be left of the first `steps` steps. The same
 * seed gives the same. */
void power_cut (size_t steps, uint64_t seed, const char *folder);

#endif
