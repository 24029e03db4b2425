/* SPDX-License-Identifier: MPL-2.0 */
/* keeper_leaks.c - no leak check at a keeper's end (flavour=asan only)
 *
 * LeakSanitizer looks for leaks from a task that it clones, which stops the
 * program by ptrace while the program spins until that is done. In a keeper,
 * which blocks all signals and reaps whatever its tree leaves to it, that now
 * and then never ends: one in some thousands stays for ever. Nor is there
 * anything to find: a keeper has next to no heap, and ends with its tree.
 * Memory errors are found as ever, leaks in the other programs too.
 */
#include <sanitizer/lsan_interface.h>

/* A constant, says the interface; nobody here calls it. */
__attribute__ ((used)) int __lsan_is_turned_off (void)
{
    return 1;
}
