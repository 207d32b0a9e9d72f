/* stream.h - bytes over a TCP or Unix socket, in the clear or under TLS.
 *
 * A stream reads into a bounded buffer that its owner empties, and writes
 * from a bounded buffer that its owner fills. All that is written during a
 * turn of the loop leaves in one write at its end. It keeps no time: every
 * wait (connect, handshake, reply, block) has its timer with the owner, who
 * closes the stream when that runs out.
 *
 * Callbacks never fire inside a call of this header, and never after
 * stream_close. A stream may be closed from any callback.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/io/address.h"
#include "server/io/loop.h"
#include "server/io/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

/* Why nothing more will be read. */
enum stream_end {
    STREAM_EOF,           /* the peer closed in order; writing still works */
    STREAM_RESET,         /* the peer, or a host on the way, broke it off */
    STREAM_REFUSED,       /* connect: nobody listens there */
    STREAM_UNREACHABLE,   /* connect: no way there, or the system gave up */
    STREAM_TLS_UNSHARED,  /* no version or cipher that both sides take */
    STREAM_TLS_FAILED,    /* no TLS came about, or a broken record came */
    STREAM_TLS_UNTRUSTED, /* the certificate is not what policy demands */
    STREAM_TLS_CUT,       /* end of file without close_notify: may be an
                             attack, so nothing unfinished may be believed */
    STREAM_LACKING, /* connect: no descriptor or memory is left for it here */
    STREAM_BROKEN,  /* the system refused for another reason */
    STREAM_STALE, /* what was written had not left by stream_write_by's time */
};

/* Each may be NULL, except readable and ended. */
struct stream_events {
    /* stream_connect came through. Not for accepted streams. */
    void (*opened)(void *ctx);
    /* The handshake that stream_start_tls_* asked for came through. */
    void (*secured)(void *ctx);
    /* input grew. Take from its front what is understood (buf_consume); what
     * stays is offered again when more has come. A buffer that is left full
     * stops the reading until stream_resume. */
    void (*readable)(void *ctx, struct buf *input);
    /* All that was written has gone to the system; or, behind an ended with
     * STREAM_EOF, was dropped since the peer is gone for good. */
    void (*drained)(void *ctx);
    /* Nothing more will be read, exactly once. All that came before was
     * offered, unless reading was paused. reason: what happened, in words fit
     * for a log; valid during the call. Unless end is STREAM_EOF, nothing may
     * be written either. */
    void (*ended)(void *ctx, enum stream_end end, const char *reason);
};

struct stream_options {
    const struct stream_events *events; /* static */
    void *ctx;
    size_t input_max;  /* bytes read and not yet taken by the owner */
    size_t output_max; /* bytes written and not yet taken by the system */
};

/* Begins to connect: opened or ended follows. from: the local address to
 * bind, or NULL. Failures of any kind come by ended. */
struct stream *stream_connect(struct loop *loop,
                              const struct stream_options *options,
                              const struct address *to,
                              const struct address *from);

/* Over a connected socket, which it owns from now on; reading starts with
 * the next turn. */
struct stream *stream_accept(struct loop *loop,
                             const struct stream_options *options, int fd);

/* Drops what has not left yet, says close_notify, closes the socket. */
void stream_close(struct stream **stream);

/* False, and nothing is taken, when it does not fit. */
MUST_USE bool stream_write(struct stream *stream, struct str bytes);
/* The output itself, to append to and nothing else; ask anew in each turn.
 * What does not fit marks it full, as with any buf. */
struct buf *stream_output(struct stream *stream);
/* Tries to hand the output to the system now instead of at the end of the
 * turn: for a last word before stream_close. */
void stream_flush(struct stream *stream);

/* What is queued now must have left by then (monotonic): each write to the
 * system looks at the real clock first, so a process that was frozen between
 * its decision and the end of its turn does not send what it decided. Bytes
 * that are late are dropped, ended tells STREAM_STALE. Holds until the output
 * is empty. */
void stream_write_by(struct stream *stream, int64_t until_ms);

size_t stream_queued_bytes(const struct stream *stream);
/* Bytes of the owner that the system took so far; a block timer that sees it
 * stand still has a peer that does not read. */
uint64_t stream_sent_bytes(const struct stream *stream);

/* Bytes that came and were not taken yet. */
struct buf *stream_input(struct stream *stream);
/* Stops reading, the end of file included, until stream_resume. Bytes that
 * are in the input already are offered again by stream_resume, behind an
 * ended too. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Turns the stream to TLS in place, behind what is queued: secured or ended
 * follows. Until then nothing may be written. False and err when bytes are
 * left in the input: they came in the clear and would be taken for secured
 * ones (CVE-2011-0411); close the stream.
 * host: the name to verify and to send as SNI, or a numeric address. */
MUST_USE bool stream_start_tls_client(struct stream *stream,
                                      struct tls_client *client,
                                      const char *host, struct error *err);
MUST_USE bool stream_start_tls_server(struct stream *stream,
                                      struct tls_server *server,
                                      struct error *err);

/* False when the stream is in the clear (or not secured yet). */
bool stream_tls_facts(const struct stream *stream, struct tls_facts *facts);
/* False as well when it has no binding that is safe: a session of TLS 1.2
 * without the extended master secret. */
MUST_USE bool stream_tls_binding(const struct stream *stream,
                                 struct tls_binding *binding);

#endif
