/* SPDX-License-Identifier: MPL-2.0 */
#include "commands/keeper_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/endpoint.h"

void keeper_path (char *ret_path, size_t size)
{
    const char *given = getenv ("SLOTBUS_KEEPER");
    char self[PATH_BYTES];
    ssize_t n = readlink ("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    snprintf (ret_path, size, "%s", given && *given ? given : "");
    if (*ret_path)
        return;
    self[n > 0 ? n : 0] = 0;
    slash = strrchr (self, '/');
    if (slash) {
        *slash = 0;
        snprintf (ret_path, size, "%s/../libexec/slotbus/slotbus-keeper", self);
        if (access (ret_path, X_OK) == 0)
            return;
        snprintf (ret_path, size, "%s/slotbus-keeper", self);
        if (access (ret_path, X_OK) == 0)
            return;
    }
    snprintf (ret_path, size, "slotbus-keeper");
}
