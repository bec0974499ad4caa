/* Sine and cosine in C11 for a kind of number: included with REAL, REACH (2^29 for float, 1 for double: what a double's
   fraction is longer by) and NAME(sin_cos) defined. */
#ifndef TURNING
#define TURNING

static const double TWO_OVER_PI = 0.63661977236758134308;
/* pi/2 in three pieces of at most 33 bits: the first two times a whole number below 2^20 are exact. */
static const double HALF_PI_1 = 1.57079632673412561417, HALF_PI_2 = 6.07710050630396597660e-11;
static const double HALF_PI_3 = 2.02226624879595063154e-21;
static const double ROUNDS = 6755399441055744.0; /* 1.5 * 2^52: what is added to it is rounded */

#endif

/* sin and cos by their Taylor series on [-pi/4, pi/4], within 2 ulp up to a million radians (Cody and Waite). */
static inline void NAME(sin_cos)(double angle, REAL *sine, REAL *cosine)
{
    double turns = (angle * TWO_OVER_PI + ROUNDS) - ROUNDS;
    REAL r = (REAL)(((angle - turns * HALF_PI_1) - turns * HALF_PI_2) - turns * HALF_PI_3), s = r * r, sin_r, cos_r;
    if (sizeof(REAL) == 4) {
        sin_r = r + r * s * ((REAL)(-1.0 / 6) + s * ((REAL)(1.0 / 120) + s * ((REAL)(-1.0 / 5040) + s * (REAL)(1.0 / 362880))));
        cos_r = 1 + s * ((REAL)-0.5 + s * ((REAL)(1.0 / 24) + s * ((REAL)(-1.0 / 720) + s * ((REAL)(1.0 / 40320) + s * (REAL)(-1.0 / 3628800)))));
    } else {
        REAL p = (REAL)(-1.0 / 1307674368000.0) + s * (REAL)(1.0 / 355687428096000.0);
        p = (REAL)(-1.0 / 39916800) + s * ((REAL)(1.0 / 6227020800.0) + s * p);
        sin_r = r + r * s * ((REAL)(-1.0 / 6) + s * ((REAL)(1.0 / 120) + s * ((REAL)(-1.0 / 5040) + s * ((REAL)(1.0 / 362880) + s * p))));
        REAL q = (REAL)(-1.0 / 87178291200.0) + s * ((REAL)(1.0 / 20922789888000.0) + s * (REAL)(-1.0 / 6402373705728000.0));
        q = (REAL)(-1.0 / 3628800) + s * ((REAL)(1.0 / 479001600) + s * q);
        cos_r = 1 + s * ((REAL)-0.5 + s * ((REAL)(1.0 / 24) + s * ((REAL)(-1.0 / 720) + s * ((REAL)(1.0 / 40320) + s * q))));
    }
    REAL whole = (REAL)turns, rounded = (whole * (REAL)0.25 + (REAL)(ROUNDS / REACH)) - (REAL)(ROUNDS / REACH);
    REAL quarter = whole - 4 * rounded; /* -2, -1, 0, 1 or 2 */
    int odd = quarter * quarter == 1, back = quarter * quarter == 4;
    REAL a = odd ? cos_r : sin_r, b = odd ? sin_r : cos_r;
    *sine = back || quarter == -1 ? -a : a;
    *cosine = back || quarter == 1 ? -b : b;
}
