/* SPDX-License-Identifier: MPL-2.0 */
#include "keeper_options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/log.h"
#include "keeper_wire.h"

static const char usage[] =
    "usage: slotbus-keeper --shim PATH --run-fd N --token T --count C\n"
    "           --cookie COOKIE [--tokens T,T..] [--label L] [--project P]\n"
    "           [--witness PATH] [--notice COMMAND] [--no-cgroup] -- CMD..\n"
    "\n"
    "Started by `slotbus run`; holds one agent's process tree.\n";

static const struct option known[] = {
    {"shim", required_argument, NULL, 's'},
    {"run-fd", required_argument, NULL, 'r'},
    {"token", required_argument, NULL, 't'},
    {"tokens", required_argument, NULL, 'T'},
    {"count", required_argument, NULL, 'c'},
    {"cookie", required_argument, NULL, 'k'},
    {"label", required_argument, NULL, 'l'},
    {"project", required_argument, NULL, 'p'},
    {"witness", required_argument, NULL, 'w'},
    {"notice", required_argument, NULL, 'n'},
    {"no-cgroup", no_argument, NULL, 'G'},
    {NULL, 0, NULL, 0},
};

static int bad_usage (const char *what)
{
    char clean[256];

    fprintf (stderr, "slotbus-keeper: %s\n%s",
             log_escape (what, clean, sizeof clean), usage);
    return -1;
}

/* What getopt () did not take: the word before the next one. */
static int bad_option (char **argv, int which)
{
    char what[256];

    snprintf (what, sizeof what, "%s%s",
              which == ':' ? "a value is missing: " : "no flag ",
              argv[optind - 1]);
    return bad_usage (what);
}

static bool number (const char *text, uint64_t most, uint64_t *ret_value)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull (text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value > most)
        return false;
    *ret_value = value;
    return true;
}

static int set_option (struct keeper_options *o, int which, const char *value)
{
    uint64_t n = 0;

    switch (which) {
    case 's': o->shim = value; return 0;
    case 'T': o->tokens = value; return 0;
    case 'k': o->cookie = value; return 0;
    case 'l': o->label = value; return 0;
    case 'p': o->project = value; return 0;
    case 'w': o->witness = value; return 0;
    case 'n': o->notice = value; return 0;
    case 'G': o->no_cgroup = true; return 0;
    case 't':
        if (!number (value, UINT64_MAX, &o->token))
            return bad_usage ("--token: expected a number");
        if (!o->tokens)
            o->tokens = value;
        return 0;
    case 'c':
        if (!number (value, UINT32_MAX, &n) || n == 0)
            return bad_usage ("--count: expected a number above 0");
        o->count = (unsigned) n;
        o->slots = value;
        return 0;
    case 'r':
        if (!number (value, INT32_MAX, &n) ||
            fcntl ((int) n, F_SETFD, FD_CLOEXEC))
            return bad_usage ("--run-fd: expected an open descriptor");
        o->run = (int) n;
        return 0;
    }
    return -1;
}

int keeper_options_read (struct keeper_options *ret_options, int argc,
                         char **argv)
{
    struct keeper_options options, *o = &options;
    int which;

    *o = (struct keeper_options){.label = "", .project = "", .run = -1};
    while ((which = getopt_long (argc, argv, "+:", known, NULL)) != -1) {
        if (which == '?' || which == ':')
            return bad_option (argv, which);
        if (set_option (o, which, optarg))
            return -1;
    }
    o->command = argv + optind;
    if (!o->shim || !o->cookie || !o->token || !o->count || o->run < 0 ||
        !*o->command)
        return bad_usage ("something is missing");
    if (strlen (o->cookie) >= sizeof ((struct keeper_packet *) 0)->cookie)
        return bad_usage ("--cookie: too long");
    *ret_options = options;
    return 0;
}
