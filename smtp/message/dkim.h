/* dkim.h - signs a composed message: DKIM-Signature fields. Pure.
 *
 * relaxed/relaxed. A field that may stand once in a message is named once more
 * than it is there, so that none can be added unseen. No l=, z=, q=, i= and x=.
 * The bytes are a function of message, time and keys alone.
 *
 * Source: RFC 6376, RFC 8463 (Ed25519).
 */
#ifndef SMTP_MESSAGE_DKIM_H
#define SMTP_MESSAGE_DKIM_H

#include "server/base/buf.h"
#include "server/base/secret.h"
#include "server/base/str.h"
#include "smtp/message/dkim_key.h"
#include "smtp/message/octets.h"

#include <stddef.h>
#include <stdint.h>

enum { DKIM_FIELD_MAX = 4096 }; /* bytes of one that dkim_sign writes */

/* Of the body in its relaxed form (RFC 6376 section 3.4.4): what stands from
 * body on, before which there is no file. Its line ends are CRLF, also before
 * a file; nothing of the frame is copied. */
void dkim_body_hash(const struct octets *message, size_t body,
                    unsigned char out[SHA256_SIZE]);

struct dkim_signer {
    const struct dkim_key *key;
    struct str selector; /* letters, digits, - and dots; at most 63 bytes */
};

/* Adds one field for each signer, in their order, which is that of the header.
 * header: the fields of the message, each with its CRLF, without the empty
 * line. domain: ASCII, at most 253 bytes. The lines are at most 78 bytes long,
 * unless domain or selector alone is longer. */
void dkim_sign(struct str header, const unsigned char body_hash[SHA256_SIZE],
               struct str domain, int64_t time_s,
               const struct dkim_signer *signers, size_t count,
               struct buf *out);

/* Adds a field in its relaxed form (section 3.4.2), without a line end. field
 * may be folded, and end in CRLF. */
void dkim_relax_field(struct str field, struct buf *out);

#endif
