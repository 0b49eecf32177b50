/*
 * How the two loadable objects meet. Remote.so leaves a struct courier, as a
 * string of bytes, in PL_modglobal, which C code alone can reach; LogMeIn.so
 * finds it there once the Perl module is loaded.
 */
#ifndef COURIER_H
#define COURIER_H

#include "csrc/logmein.h"

#define COURIER_KEY "Cpanel::LogMeIn/courier"

struct courier {
    size_t size; /* of an answer: objects of different builds don't fit */
    void (*carry)(pTHX_ const struct lmi_away *away,
                  struct lmi_login_answer *out);
};

#endif
