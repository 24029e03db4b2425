/* SPDX-License-Identifier: MPL-2.0 */
/* version.h - of all programs of this tree; the protocol has its own */
#ifndef SLOTBUS_VERSION_H
#define SLOTBUS_VERSION_H

#define SLOTBUS_VERSION "0.1.0"

#endif
