/* SPDX-License-Identifier: MPL-2.0 */
#include "access.h"

#include <stddef.h>
#include <string.h>

enum {
    OBSERVER = 1 << ROLE_OBSERVER,
    PROJECT = 1 << ROLE_PROJECT,
    OPERATOR = 1 << ROLE_OPERATOR,
    ADMIN = 1 << ROLE_ADMIN
};

/* The table: which roles may say a verb. What is not here, nobody may. */
static const unsigned MAY[VERB_COUNT] = {
    [VERB_HELLO] = PROJECT,
    [VERB_BEAT] = PROJECT,
    [VERB_REQUEST] = PROJECT,
    [VERB_CANCEL] = PROJECT,
    [VERB_RELEASE] = PROJECT,
    [VERB_STARTED] = PROJECT,
    [VERB_REAPED] = PROJECT,
    [VERB_PARK] = PROJECT,
    [VERB_PROGRESS] = PROJECT,
    [VERB_SAMPLE] = PROJECT,
    [VERB_FOOTPRINT] = PROJECT,
    [VERB_BYE] = PROJECT,
    [VERB_HISTORY] = PROJECT | OPERATOR | ADMIN,
    [VERB_STATUS] = OBSERVER | PROJECT | OPERATOR | ADMIN,
    [VERB_KILL] = PROJECT | OPERATOR | ADMIN,
    [VERB_SET_MAX] = ADMIN,
    [VERB_SET_POLICY] = ADMIN,
    [VERB_SET_PRIORITY] = ADMIN,
    [VERB_RELIEVE] = ADMIN,
    [VERB_PAUSE] = PROJECT | OPERATOR | ADMIN,
    [VERB_RESUME] = PROJECT | OPERATOR | ADMIN,
};

static bool is_owner (uint32_t own, uint32_t uid)
{
    return uid != ACCESS_NO_UID && (uid == own || uid == 0);
}

static bool lists (const struct project_settings *p, uint32_t uid)
{
    for (unsigned i = 0; i < p->uid_count; i++)
        if (p->uids[i] == uid)
            return true;
    return false;
}

unsigned access_roles (const struct settings *s, uint32_t own, uint32_t uid)
{
    if (uid == ACCESS_NO_UID)
        return OBSERVER | PROJECT;
    if (is_owner (own, uid))
        return OBSERVER | PROJECT | OPERATOR | ADMIN;
    for (unsigned i = 0; i < s->project_count; i++)
        if (lists (&s->projects[i], uid))
            return OBSERVER | PROJECT;
    return 0;
}

/* Taking a slot from a living tree is an administrator's act. */
static unsigned may_say (const struct msg *msg)
{
    if ((unsigned) msg->verb >= VERB_COUNT)
        return 0;
    if (msg->verb == VERB_RELEASE && msg->release.force)
        return ADMIN;
    if (msg->verb == VERB_HISTORY && msg->history.days)
        return OBSERVER | OPERATOR | ADMIN; // counts, as STATUS gives them
    return MAY[msg->verb];
}

enum role access_role (unsigned roles, const struct msg *msg)
{
    unsigned may = roles & may_say (msg);
    enum role role = ROLE_ADMIN;

    while (role > ROLE_STRANGER && !(may & (1u << role)))
        role--;
    return role;
}

bool access_project (const struct settings *s, uint32_t own, uint32_t uid,
                     const char *project)
{
    if (uid == ACCESS_NO_UID || is_owner (own, uid))
        return true;
    for (unsigned i = 0; i < s->project_count; i++)
        if (strcmp (s->projects[i].name, project) == 0)
            return lists (&s->projects[i], uid);
    return false;
}

/* The project that a message acts for by name; others act by session. */
static const char *project_of (const struct msg *msg)
{
    switch (msg->verb) {
    case VERB_HELLO: return msg->hello.project;
    case VERB_KILL: return msg->kill.project;
    case VERB_HISTORY: return msg->history.project;
    case VERB_PAUSE: return msg->pause.project;
    case VERB_RESUME: return msg->resume.project;
    default: return NULL;
    }
}

enum role access_judge (const struct settings *s, uint32_t own, uint32_t uid,
                        const struct msg *msg, const char **ret_why)
{
    unsigned roles = access_roles (s, own, uid);
    enum role role = access_role (roles, msg);
    const char *project = project_of (msg);

    if (roles == 0)
        *ret_why = "your user is not in `uids` of any project";
    else if (role == ROLE_STRANGER)
        *ret_why = "only an administrator may";
    else if (role == ROLE_PROJECT && project &&
             !access_project (s, own, uid, project)) {
        *ret_why = *project ? "your user is not in `uids` of this project"
                            : "name a project whose `uids` have your user";
        role = ROLE_STRANGER;
    }
    return role;
}
