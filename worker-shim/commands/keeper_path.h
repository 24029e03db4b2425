/* SPDX-License-Identifier: MPL-2.0 */
/* keeper_path.h - which program holds the trees that `run` starts */
#ifndef SLOTBUS_KEEPER_PATH_H
#define SLOTBUS_KEEPER_PATH_H

#include <stddef.h>

/* SLOTBUS_KEEPER, else ../libexec/slotbus beside bin (installed), else beside
 * slotbus (built), else by PATH: then it is a name without a slash. */
void keeper_path (char *ret_path, size_t size);

#endif
