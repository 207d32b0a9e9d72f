/* names.h - names of the DNS, and what records and checks both say of them.
 * Pure. */
#ifndef DOMAIN_NAMES_H
#define DOMAIN_NAMES_H

#include "server/domain/domain.h"

/* "label.domain"; the domain alone when label is empty. */
struct str name_below(struct arena *arena, struct str label, struct str domain);
/* Without the first label; empty when there was but one. */
struct str name_parent(struct str name);
size_t name_labels(struct str name);
/* The same name, whatever the case and a final dot. */
bool name_eq(struct str a, struct str b);
/* name is base, or below it. */
bool name_is_within(struct str name, struct str base);
/* Fit to be asked for: 1 to 253 octets, labels of 1 to 63, made of letters,
 * digits, - and _; a final dot is allowed. */
bool name_is_valid(struct str name);

/* False: not such a word. */
MUST_USE bool domain_check_of(struct str name, enum domain_check *check);
MUST_USE bool domain_state_of(struct str name, enum domain_state *state);
MUST_USE bool domain_weight_of(struct str name, enum domain_weight *weight);

/* records.c */
struct str domain_key_name(struct arena *arena, const struct domain_key *key);
struct str domain_key_value(struct arena *arena, const struct domain_key *key);
enum domain_weight domain_key_weight(const struct domain_key *key);
struct str domain_spf_value(struct arena *arena, struct str include);
bool domain_has_return_path(const struct domain_setup *setup);
/* Of the return path where there is one, else of the domain itself. */
bool domain_wants_spf(const struct domain_setup *setup);

#endif
