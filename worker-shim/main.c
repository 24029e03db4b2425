/* SPDX-License-Identifier: MPL-2.0 */
/* main.c - the program slotbus: the table of its subcommands */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/version.h"
#include "commands/command.h"
#include "commands/flags.h"
#include "commands/say.h"
#include "protocol/nearest.h"

static const struct command *const commands[] = {
    &command_request,  &command_release,    &command_run,
    &command_progress, &command_cancel,     &command_status,
    &command_kill,     &command_pause,      &command_resume,
    &command_set_max,  &command_set_policy, &command_set_priority,
    &command_relieve,  &command_history,    &command_health,
    &command_events,   &command_advise,     &command_doctor,
    &command_park,     &command_shim};

enum { COMMANDS = sizeof commands / sizeof *commands };

const struct command *command_find (const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp (commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

void command_help (const struct command *command)
{
    printf ("usage: slotbus %s %s\n\n%s.\n\n%s\nExamples:\n%s", command->name,
            command->usage, command->summary, command->help, command->examples);
}

static void help (FILE *out)
{
    fputs ("usage: slotbus COMMAND ...\n"
           "\n"
           "Slots for agents: who may work now, who waits, and why.\n"
           "\n",
           out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf (out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputs ("\n"
           "`slotbus COMMAND --help` says more. Exit status: 0 done, 64 usage, "
           "65 impossible,\n"
           "69 no broker, 75 not now, 77 not allowed, 124 too late.\n"
           "\n"
           "Examples:\n"
           "  slotbus request consilio 5        # wait for five slots\n"
           "  slotbus run -p consilio -- make   # one agent in a slot\n"
           "  slotbus status                    # everything\n",
           out);
}

static int unknown (const char *name)
{
    const char *names[COMMANDS + 3] = {NULL}, *near;
    char clean[256];

    for (int i = 0; i < COMMANDS; i++)
        names[i] = commands[i]->name;
    names[COMMANDS] = "--help";
    names[COMMANDS + 1] = "--version";
    near = nearest_word (name, names);
    fprintf (stderr, "slotbus: no command %s",
             say_clean (name, clean, sizeof clean));
    if (near)
        fprintf (stderr, "; did you mean %s?", near);
    fputs ("\nusage: slotbus COMMAND ...; slotbus --help lists them\n", stderr);
    return EXIT_USAGE;
}

static int say_help (int argc, char **argv)
{
    const struct command *command = argc > 2 ? command_find (argv[2]) : NULL;

    if (argc > 2 && !command)
        return unknown (argv[2]);
    if (command)
        command_help (command);
    else
        help (stdout);
    return say_flush ();
}

/* A standard descriptor that the caller had closed must not become a socket:
 * what is printed would go to a peer. In its place stands one that cannot be
 * used that way, so that a result which nobody gets is still an error. */
static void fill_standard (void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl (fd, F_GETFD) < 0)
            (void) !open ("/dev/null",
                          fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main (int argc, char **argv)
{
    const struct command *command;

    fill_standard ();
    if (argc < 2) {
        help (stderr);
        return EXIT_USAGE;
    }
    if (strcmp (argv[1], "--version") == 0) {
        puts ("slotbus " SLOTBUS_VERSION);
        return say_flush ();
    }
    if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0 ||
        strcmp (argv[1], "help") == 0)
        return say_help (argc, argv);
    command = command_find (argv[1]);
    if (!command)
        return unknown (argv[1]);
    return command->run (argc - 1, argv + 1);
}
