/* keys.h - the name of every key in Redis, in one place.
 *
 * All names begin with redis.prefix ("ph:"). Keys of a partition N go on
 * with "{N}:", which is the cluster's hash tag and the one KEYS[1] that each
 * script gets; what C puts behind it is defined below, the rest in
 * scripts/prelude.lua and its sister libraries.
 *
 *     meta                    hash    schema, write_level, partitions,
 *                                     owners:<N> (how many live there),
 *                                     move:<owner> ("from to": on his way)
 *     {processes}:alive       zset    what each process can read
 *     k:<sha256>              hash    API key (api_keys.c)
 *     o:<owner>               hash    owner: home partition
 *     domain:<name>           string  who claimed it (scripts/domains.lua)
 *     move:<owner>            string  who moves him: a lock (move.c)
 *     l:<key id>              string  rate tokens of an API key (rates.c)
 *     u:{<upstream>}:pause    string  when an operator paused it
 *     u:{<upstream>}:test     string  a test that no worker has taken, ...
 *     u:{<upstream>}:tested:<test>  string  ... what came of it (inspect.c)
 *     u:{<upstream>}:trace    string  somebody watches, for 5 s more
 *     u:{<upstream>}:trail    stream  attempts that were told meanwhile
 *     u:{<upstream>}:rate     hash    what of each window is used: quotas.c
 *     u:{<upstream>}:alive  said  zset, hash  workers and what each says of
 *                                     it (upstreams.c)
 *     u:{<upstream>}:shares   hash    sessions by worker (upstream_tell.lua)
 *     {N}:o:<owner>           hash    frozen (1, leaving, arriving, moved),
 *                                     open (under a limit),
 *                                     max (a limit of his own),
 *                                     ev (is in evring), cut (the last
 *                                     event that was swept), sup (has
 *                                     suppressions)
 *     {N}:keys:<owner>        zset    API keys: id and hash, by id
 *     {N}:used:<owner>        hash    API keys: time of last use by id
 *     {N}:i:<owner>:<sha256>  string  "fingerprint status answer", 24 h
 *     {N}:c:<email>           string  record (record.h)
 *     {N}:b:<email>:<k>       string  chunk of a big value (chunks.h)
 *     {N}:d:<email>:<n>       hash    delivery (scripts/deliveries.lua)
 *     {N}:h:<email>           string  history of a final mail
 *     {N}:ended               list    ends of emails, oldest first: history.lua
 *     {N}:arrived  arrivedb   zset    the same of owners who moved here
 *     {N}:bag:<owner>  flows:  mo:  scripts/baggage.lua
 *     {N}:tl:<owner>  ta:  tp:  scripts/templates.lua
 *     {N}:su:<owner>  slb: slc: slm: sx:  {N}:sold  scripts/suppressions.lua
 *     {N}:do:<owner>  dn: dk: dx: dd:  {N}:dxold  ddue  scripts/domains.lua
 *     {N}:evold               zset    owners by the time of their oldest event
 *     {N}:x:<owner>:<day>     zset    index of the emails (history.lua)
 *     {N}:q:<lane>:<owner>:<route>  list  flow of deliveries
 *     {N}:ring:<lane>:<route>  list   owners whose flow has work
 *     {N}:routes              set     routes that had work
 *     {N}:wake:<lane>:<route>  list   at most one token
 *     {N}:due:<lane>          zset    deliveries by due time
 *     {N}:exp                 zset    deliveries by deadline
 *     {N}:held  {N}:dead      zset    by the end of their life
 *     {N}:suspect             list    deliveries that may have crashed a child
 *     {N}:alone               string  epoch of the child that claims one
 *     {N}:workers             zset    epochs by expiry of their lease
 *     {N}:own:<epoch>         set     what a child holds
 *     {N}:master  {N}:unsure  string, set  scripts/master.lua
 *     {N}:tr:<slot>           hash    what came and went: scripts/traffic.lua
 *     {N}:beat                string  "last-turn grace-until"
 *     {N}:n                   hash    counters: accepted, final, leftovers
 *                               (entries of lists without a delivery), odd
 *     {N}:reconcile           string  who counts; walk, walkflows: its walk
 *     {N}:ev:<owner>          stream  events, field e: events.h
 *     {N}:evring  {N}:hwake   list    owners with new events; <= 1 token
 *     {N}:t:<email>           list    timeline, oldest first
 *     {N}:a:<email>           list    the last attempts (attempts.h)
 *     {N}:fan:<owner>  {N}:prj:<owner>  string  cursors of ev's readers
 *     {N}:r:webhook:<owner>   set     webhook endpoints
 *     {N}:we: w: wt: wa: wring wdue wbehind whooks wown:  scripts/tasks.lua
 */
#ifndef QUEUE_KEYS_H
#define QUEUE_KEYS_H

enum { QUEUE_SCHEMA = 1 };

/* Room for any of the names, and for an owner's in it. */
enum { KEY_MAX = 512, OWNER_NAME_MAX = 255 };

#define KEY_META        "meta"
#define META_OWNERS     "owners:"
#define KEY_API_KEY     "k:"
#define KEY_OWNER       "o:"
#define META_MOVE       "move:"
#define KEY_MOVE        "move:"
#define KEY_DOMAIN      "domain:"
#define KEY_RATE        "l:"
#define KEY_UPSTREAM    "u:"
#define KEY_KEYS        "keys:"
#define KEY_USED        "used:"
#define KEY_IDEMPOTENCY "i:"
#define KEY_CONTENT     "c:"
#define KEY_CHUNK       "b:"
#define KEY_WAKE        "wake:"
#define KEY_TIMELINE    "t:"
#define KEY_ATTEMPTS    "a:"
#define KEY_HOOKS_WAKE  "hwake"

#endif
