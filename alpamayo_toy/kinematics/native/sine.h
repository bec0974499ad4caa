/* Sine and cosine in C11 for a kind of number: included with REAL and NAME(sin_cos) defined. */
#ifndef TURNING
#define TURNING

#include <math.h>
#include <stdint.h>
#include <string.h>

static const double TWO_OVER_PI = 0.63661977236758134308;
/* pi/2 in three pieces of at most 33 bits: the first two times a whole number below 2^20 are exact. */
static const double HALF_PI_1 = 1.57079632673412561417, HALF_PI_2 = 6.07710050630396597660e-11;
static const double HALF_PI_3 = 2.02226624879595063154e-21;
static const double ROUNDS = 6755399441055744.0; /* 1.5 * 2^52: what is added to it is rounded, and stands in its last bits */

/* a b + c in one instruction where the processor has it, for doubles and for a kind of number. */
#ifdef FP_FAST_FMA
#define FUSED(a, b, c) fma((a), (b), (c))
#define FUSED_REAL(a, b, c) (sizeof(REAL) == 4 ? fmaf((a), (b), (c)) : fma((a), (b), (c)))
#else
#define FUSED(a, b, c) ((a) * (b) + (c))
#define FUSED_REAL(a, b, c) FUSED(a, b, c)
#endif

#endif

/* sin and cos by their Taylor series on [-pi/4, pi/4], within 2 units in the last place of 1 up to a million
   radians (Cody and Waite). */
static inline void NAME(sin_cos)(double angle, REAL *sine, REAL *cosine)
{
    double rounded = FUSED(angle, TWO_OVER_PI, ROUNDS), turns = rounded - ROUNDS; /* quarters of a turn */
    REAL r = (REAL)FUSED(turns, -HALF_PI_3, FUSED(turns, -HALF_PI_2, FUSED(turns, -HALF_PI_1, angle)));
    REAL s = r * r, p, q; /* sin r = r + r s p, cos r = 1 + s q */
    if (sizeof(REAL) == 4) {
        p = FUSED_REAL(s, (REAL)(1.0 / 362880), (REAL)(-1.0 / 5040));
        q = FUSED_REAL(s, (REAL)(-1.0 / 3628800), (REAL)(1.0 / 40320));
    } else {
        p = FUSED_REAL(s, (REAL)(1.0 / 355687428096000.0), (REAL)(-1.0 / 1307674368000.0));
        p = FUSED_REAL(s, p, (REAL)(1.0 / 6227020800.0));
        p = FUSED_REAL(s, p, (REAL)(-1.0 / 39916800));
        p = FUSED_REAL(s, p, (REAL)(1.0 / 362880));
        p = FUSED_REAL(s, p, (REAL)(-1.0 / 5040));
        q = FUSED_REAL(s, (REAL)(-1.0 / 6402373705728000.0), (REAL)(1.0 / 20922789888000.0));
        q = FUSED_REAL(s, q, (REAL)(-1.0 / 87178291200.0));
        q = FUSED_REAL(s, q, (REAL)(1.0 / 479001600));
        q = FUSED_REAL(s, q, (REAL)(-1.0 / 3628800));
        q = FUSED_REAL(s, q, (REAL)(1.0 / 40320));
    }
    p = FUSED_REAL(s, p, (REAL)(1.0 / 120));
    p = FUSED_REAL(s, p, (REAL)(-1.0 / 6));
    q = FUSED_REAL(s, q, (REAL)(-1.0 / 720));
    q = FUSED_REAL(s, q, (REAL)(1.0 / 24));
    q = FUSED_REAL(s, q, (REAL)-0.5);
    REAL sin_r = FUSED_REAL(r * s, p, r), cos_r = FUSED_REAL(s, q, (REAL)1);
    int64_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    int quarter = (int)(bits & 3);
    REAL a = quarter & 1 ? cos_r : sin_r, b = quarter & 1 ? sin_r : cos_r;
    *sine = quarter & 2 ? -a : a;
    *cosine = (quarter + 1) & 2 ? -b : b;
}
