/* SPDX-License-Identifier: MPL-2.0 */
/* slotbus-broker: leases the slots of a host to project supervisors. */
#include <stdio.h>

#include "bus/log.h"
#include "bus/version.h"
#include "options.h"
#include "server.h"

static struct options options; // large

static int complain (int code, const char *error)
{
    log_line (LOG_ERROR, "%s", error);
    return code;
}

static int serve (char *error, size_t size)
{
    struct server *server = NULL;
    enum exit_code code = server_open (&options, &server, error, size);

    if (code != EXIT_DONE)
        return complain (code, error);
    code = server_run (server);
    server_close (server);
    return code;
}

static int check (void)
{
    printf ("%s: good\n",
            options.config_path[0] ? options.config_path : "the defaults");
    return EXIT_DONE;
}

int main (int argc, char **argv)
{
    char error[1024] = "";

    log_open ("slotbus-broker", LOG_TEXT, LOG_INFO);
    if (options_parse (argc, argv, &options, error, sizeof error))
        return complain (EXIT_USAGE, error);
    log_open ("slotbus-broker", options.log_format, LOG_INFO);
    switch (options.action) {
    case ACTION_HELP: return fputs (options_help (), stdout) < 0;
    case ACTION_VERSION: return puts ("slotbus-broker " SLOTBUS_VERSION) < 0;
    case ACTION_CHECK:
    case ACTION_SERVE: break;
    }
    if (options_load (&options, error, sizeof error))
        return complain (EXIT_REFUSED, error);
    return options.action == ACTION_CHECK ? check ()
                                          : serve (error, sizeof error);
}
