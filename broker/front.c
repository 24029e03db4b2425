/* SPDX-License-Identifier: MPL-2.0 */
#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <czmq.h>

#include "access.h"
#include "bus/base.h"
#include "guests.h"

enum {
    HIGH_WATER_IN = 100,  // of each peer: what it sent and we did not read
    HIGH_WATER_OUT = 256, // 64 requests under way make 128 answers
    LISTEN_BACKLOG = 1024,
    MAX_FRAMES = 4 // id, delimiter, magic, body
};

struct front {
    zsock_t *router;
    void *raw;
    struct guests *guests;
    struct front_counts counts;
    struct msg msg; // large, so only one
    uint8_t body[MAX_BODY_BYTES];
};

/* One multipart message as it came: at most MAX_FRAMES frames are kept. */
struct parcel {
    zmq_msg_t frames[MAX_FRAMES];
    unsigned kept, count;
};

/* zsys_init () seeds too, by the clock, which can be guessed; only once. */
static void seed_routing_ids (void)
{
    zsys_init ();
    srand ((unsigned) random_u64 ());
}

/* Everything a peer could make us keep is bounded here. */
static void set_limits (zsock_t *router)
{
    zsock_set_router_mandatory (router, 1);
    zsock_set_sndtimeo (router, 0);
    zsock_set_rcvtimeo (router, 0);
    zsock_set_rcvhwm (router, HIGH_WATER_IN);
    zsock_set_sndhwm (router, HIGH_WATER_OUT);
    zsock_set_maxmsgsize (router, MAX_BODY_BYTES);
    zsock_set_immediate (router, 1);
    zsock_set_linger (router, 500);
    zsock_set_backlog (router, LISTEN_BACKLOG);
    zsock_set_handshake_ivl (router, 10000);
    zsock_set_tcp_keepalive (router, 1);
    zsock_set_tcp_keepalive_idle (router, 30);
    zsock_set_tcp_keepalive_intvl (router, 10);
    zsock_set_tcp_keepalive_cnt (router, 3);
}

struct front *front_create (unsigned rate)
{
    struct front *f = xcalloc (1, sizeof *f);
    const uint64_t key[2] = {random_u64 (), random_u64 ()};

    seed_routing_ids ();
    f->router = zsock_new (ZMQ_ROUTER);
    if (!f->router) {
        free (f);
        return NULL;
    }
    set_limits (f->router);
    f->raw = zsock_resolve (f->router);
    f->guests = guests_create (key, rate);
    return f;
}

void front_destroy (struct front *f)
{
    int error = errno;

    if (f) {
        zsock_destroy (&f->router);
        guests_destroy (f->guests);
        free (f);
    }
    errno = error;
}

void front_set_rate (struct front *f, unsigned rate)
{
    guests_set_rate (f->guests, rate);
}

/* What a listener is to have is set before it is made. ZMTP's own heartbeats
 * only find dead hosts, and are answered by a thread that says nothing about
 * the program: of no use on ipc://, where they would cut off a peer that is
 * merely stopped. */
static void set_for (zsock_t *router, const char *endpoint)
{
    bool tcp = strncmp (endpoint, "tcp://", 6) == 0;

    zsock_set_ipv6 (router, strncmp (endpoint, "tcp://[", 7) == 0);
    zsock_set_heartbeat_ivl (router, tcp ? 5000 : 0);
    zsock_set_heartbeat_timeout (router, tcp ? 15000 : 0);
    zsock_set_heartbeat_ttl (router, tcp ? 60000 : 0);
}

int front_bind (struct front *f, const char *endpoint)
{
    set_for (f->router, endpoint);
    return zmq_bind (f->raw, endpoint);
}

void *front_socket (struct front *f)
{
    return f->raw;
}

const struct front_counts *front_counts (const struct front *f)
{
    return &f->counts;
}

/* ---- in ---- */

static void parcel_close (struct parcel *p)
{
    for (unsigned i = 0; i < p->kept; i++)
        zmq_msg_close (&p->frames[i]);
}

/* libzmq moves a message that is copied by zmq_msg_move only. */
static void parcel_keep (struct parcel *p, zmq_msg_t *frame)
{
    if (p->kept < MAX_FRAMES) {
        zmq_msg_init (&p->frames[p->kept]);
        zmq_msg_move (&p->frames[p->kept++], frame);
    }
    p->count++;
}

/* libzmq hands over whole messages only, so the first frame is the only one
 * that may have to be waited for. false: nothing there, errno says why. */
static bool parcel_read (void *raw, struct parcel *p)
{
    bool more = true;

    p->kept = p->count = 0;
    while (more) {
        zmq_msg_t frame;
        int size;

        zmq_msg_init (&frame);
        size = zmq_msg_recv (&frame, raw, ZMQ_DONTWAIT);
        if (size < 0 && p->count == 0)
            return false;
        if (size < 0) // interrupted
            continue;
        more = zmq_msg_more (&frame);
        parcel_keep (p, &frame);
        zmq_msg_close (&frame);
    }
    return true;
}

static size_t frame_size (struct parcel *p, unsigned i)
{
    return zmq_msg_size (&p->frames[i]);
}

/* "localhost:uid:gid:pid" is the kernel's word (SO_PEERCRED) for a peer on
 * ipc://. A tcp peer has a numeric address here. */
static bool parse_credentials (const char *address, uint32_t *ret_uid,
                               int32_t *ret_pid)
{
    unsigned uid, gid;
    int pid, used = 0;

    if (!address ||
        sscanf (address, "localhost:%u:%u:%d%n", &uid, &gid, &pid, &used) !=
            3 ||
        address[used] != 0)
        return false;
    *ret_uid = uid;
    *ret_pid = pid;
    return true;
}

/* The frame of the routing id carries no metadata: a later one is asked. */
static void identify (struct parcel *p, struct peer *ret_peer)
{
    memset (ret_peer, 0, sizeof *ret_peer);
    ret_peer->path.size = (uint8_t) frame_size (p, 0);
    memcpy (ret_peer->path.id, zmq_msg_data (&p->frames[0]),
            ret_peer->path.size);
    ret_peer->path.req = p->count == 4;
    ret_peer->role = ROLE_STRANGER;
    if (!parse_credentials (zmq_msg_gets (&p->frames[1], "Peer-Address"),
                            &ret_peer->uid, &ret_peer->pid)) {
        ret_peer->uid = ACCESS_NO_UID;
        ret_peer->pid = 0;
    }
}

enum magic { MAGIC_OURS, MAGIC_OTHER_VERSION, MAGIC_FOREIGN };

static enum magic judge_magic (struct parcel *p, unsigned at)
{
    const char *bytes = zmq_msg_data (&p->frames[at]);

    if (frame_size (p, at) != 4 || memcmp (bytes, PROTOCOL_MAGIC, 3) != 0)
        return MAGIC_FOREIGN;
    return bytes[3] == PROTOCOL_MAGIC[3] ? MAGIC_OURS : MAGIC_OTHER_VERSION;
}

/* id + magic + body, or id + empty + magic + body. Where the magic is, or 0
 * if it is not shaped so. */
static unsigned magic_at (struct parcel *p)
{
    if (frame_size (p, 0) == 0 || frame_size (p, 0) > 255)
        return 0;
    if (p->count == 3)
        return 1;
    return p->count == 4 && frame_size (p, 1) == 0 ? 2 : 0;
}

static void refuse_version (struct front *f, const struct path *to)
{
    struct codec_error why = {.re = VERB_NONE, .detail = "spoken here: SLT1"};

    front_refuse (f, to, ERR_BAD_VERSION, &why);
}

/* Too much: it is decoded only to say what is refused. */
static void refuse_rate (struct front *f, const struct path *to,
                         zmq_msg_t *body)
{
    struct codec_error why;

    codec_decode (zmq_msg_data (body), zmq_msg_size (body), &f->msg, &why);
    why.key[0] = 0;
    snprintf (why.detail, sizeof why.detail,
              "more than %u messages a second of one connection",
              guests_rate (f->guests));
    front_refuse (f, to, ERR_RATE, &why);
}

static void open_body (struct front *f, const struct peer *peer,
                       zmq_msg_t *body, const struct front_ear *ear)
{
    struct codec_error why;
    enum err e =
        codec_decode (zmq_msg_data (body), zmq_msg_size (body), &f->msg, &why);

    if (e != ERR_NONE) {
        front_refuse (f, &peer->path, e, &why);
        return;
    }
    f->counts.received++;
    ear->message (ear->arg, peer, &f->msg);
}

/* A map that begins with it, as a message must. In a flood there is no time
 * for more; what is no BEAT in the end has gained the debt of a BEAT. */
static bool looks_like_beat (zmq_msg_t *body)
{
    static const char pair[] = "\xa4verb\xa4"
                               "BEAT";
    const uint8_t *bytes = zmq_msg_data (body);
    size_t head = bytes[0] == 0xde ? 3 : bytes[0] == 0xdf ? 5 : 1;

    return zmq_msg_size (body) >= head + sizeof pair - 1 &&
           memcmp (bytes + head, pair, sizeof pair - 1) == 0;
}

/* Whether its connection may say that now; if not, it is answered or counted
 * here. */
static bool admit (struct front *f, struct parcel *p, zmq_msg_t *body,
                   int64_t now)
{
    struct peer peer;

    switch (guests_admit (f->guests, zmq_msg_data (&p->frames[0]),
                          frame_size (p, 0), looks_like_beat (body), now)) {
    case ADMIT: return true;
    case DROP: f->counts.flooded++; return false;
    case REFUSE: break;
    }
    identify (p, &peer);
    refuse_rate (f, &peer.path, body);
    return false;
}

static void drop (struct front *f, struct parcel *p, int64_t now,
                  const struct front_ear *ear)
{
    struct peer peer;

    f->counts.dropped++;
    if (!guests_malformed (f->guests, zmq_msg_data (&p->frames[0]),
                           frame_size (p, 0), now))
        return;
    identify (p, &peer);
    ear->malformed (ear->arg, &peer);
}

static void open_parcel (struct front *f, struct parcel *p, int64_t now,
                         const struct front_ear *ear)
{
    unsigned at = magic_at (p);
    enum magic magic = at ? judge_magic (p, at) : MAGIC_FOREIGN;
    struct peer peer;

    if (magic == MAGIC_FOREIGN || frame_size (p, at + 1) == 0) {
        drop (f, p, now, ear);
        return;
    }
    if (!admit (f, p, &p->frames[at + 1], now))
        return;
    identify (p, &peer);
    if (magic == MAGIC_OTHER_VERSION)
        refuse_version (f, &peer.path);
    else
        open_body (f, &peer, &p->frames[at + 1], ear);
}

static bool muted (const struct front *f, struct parcel *p, int64_t now)
{
    return guests_muted (f->guests, zmq_msg_data (&p->frames[0]),
                         frame_size (p, 0), now);
}

bool front_drain (struct front *f, unsigned most, int64_t now,
                  const struct front_ear *ear)
{
    struct parcel p;

    for (unsigned i = 0; i < most; i++) {
        if (!parcel_read (f->raw, &p))
            return errno == EAGAIN;
        if (muted (f, &p, now))
            f->counts.muted++;
        else
            open_parcel (f, &p, now, ear);
        parcel_close (&p);
    }
    return false;
}

/* ---- out ---- */

static bool send_frame (struct front *f, const void *bytes, size_t size,
                        bool more)
{
    int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);

    return zmq_send (f->raw, bytes, size, flags) >= 0;
}

/* Only the first frame can be refused (gone, or its pipe is full): libzmq
 * takes or drops what follows it. */
static bool send_body (struct front *f, const struct path *to, size_t size)
{
    if (!send_frame (f, to->id, to->size, true)) {
        if (errno == EHOSTUNREACH)
            f->counts.unroutable++;
        else
            f->counts.congested++;
        return false;
    }
    if (to->req)
        send_frame (f, "", 0, true);
    send_frame (f, PROTOCOL_MAGIC, 4, true);
    send_frame (f, f->body, size, false);
    return true;
}

bool front_send (struct front *f, const struct path *to, enum verb verb,
                 const void *fields)
{
    size_t size;

    if (to->size == 0)
        return false;
    size = codec_encode (verb, fields, f->body, sizeof f->body);
    if (size == 0) {
        f->counts.congested++; // larger than a body may be
        return false;
    }
    return send_body (f, to, size);
}

void front_refuse (struct front *f, const struct path *to, enum err error,
                   const struct codec_error *why)
{
    struct msg_error answer;

    message_init_fields (&answer, VERB_ERROR);
    copy_text (answer.re, sizeof answer.re,
               why->re != VERB_NONE ? verb_name (why->re) : why->said);
    copy_text (answer.error, sizeof answer.error, err_name (error));
    answer.seq = why->seq > INT64_MAX ? 0 : why->seq;
    copy_text (answer.key, sizeof answer.key, why->key);
    copy_text (answer.detail, sizeof answer.detail, why->detail);
    f->counts.refused++;
    front_send (f, to, VERB_ERROR, &answer);
}
