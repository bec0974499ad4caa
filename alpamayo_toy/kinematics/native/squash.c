/* Raw numbers into the bounds of actions, and the adjoint of that, as kinematics/action_space.py defines them.

   Included twice by itself, once for float and once for double. Numbers are a and kappa in turn; loops are long enough for the
   compiler to use vectors. */
#ifndef REAL

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && !defined(__clang__) && __GNUC__ >= 8
#pragma GCC target("prefer-vector-width=512") /* gcc takes half of such a register unless it is told */
#endif

#define TILE 256 /* numbers at a time, an even number */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define REAL float
#define SIZE fabsf
#define SIGNED copysignf
#define BITS uint32_t
#define FRACTION 23
#define ROUNDS 12582912.0f /* 1.5 * 2^23: what is added to it is rounded */
#define LN2_1 0.693359375f /* ln 2 in two pieces: the first times a whole number below 2^10 is exact */
#define LN2_2 -2.12194440e-4f
#define FARTHEST 10.0f /* where tanh is 1 */
#define TERMS 7
#define NAME(name) JOIN(name, _float)
#include "squash.c"
#undef REAL
#undef SIZE
#undef SIGNED
#undef BITS
#undef FRACTION
#undef ROUNDS
#undef LN2_1
#undef LN2_2
#undef FARTHEST
#undef TERMS
#undef NAME
#define REAL double
#define SIZE fabs
#define SIGNED copysign
#define BITS uint64_t
#define FRACTION 52
#define ROUNDS 6755399441055744.0
#define LN2_1 6.93147180369123816490e-01
#define LN2_2 1.90821492927058770002e-10
#define FARTHEST 20.0
#define TERMS 14
#define NAME(name) JOIN(name, _double)
#include "squash.c"

#else

/* (e^2x - 1) / (e^2x + 1), e^2x - 1 by 2x = k ln 2 + r and its Taylor series in r, |r| <= ln 2 / 2; NaN stays NaN. */
static inline REAL NAME(tanh_of)(REAL x)
{
    REAL size = SIZE(x), twice = 2 * (size > FARTHEST ? FARTHEST : size);
    REAL shifted = twice * (REAL)1.44269504088896340736 + ROUNDS, k = shifted - ROUNDS;
    REAL r = (twice - k * LN2_1) - k * LN2_2, series = 0, power;
    const double share[] = {1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
                            1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0, 1.0 / 87178291200.0};
    for (int n = TERMS - 2; n >= 0; n--) series = (REAL)share[n] + r * series;
    BITS bits; /* the last bits of `shifted` are k */
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits << FRACTION) + ((BITS)(sizeof(REAL) == 4 ? 127 : 1023) << FRACTION);
    memcpy(&power, &bits, sizeof(bits));
    REAL less_one = power * (r + r * r * series) + (power - 1);
    return SIGNED(less_one / (less_one + 2), x);
}

/* raw (scenes, numbers), scale (scenes, 2), space = mean, std and bound of (a, kappa) ->
   out = bound tanh((raw scale std + mean) / bound); given grad at what came out, the gradient at raw instead. */
void NAME(squash)(const REAL *given, const REAL *scale, const REAL *grad, REAL *out, const REAL *space, int64_t scenes,
                  int64_t numbers)
{
    const REAL *mean = space, *std = space + 2, *bound = space + 4;
    REAL first[TILE], times[TILE], most[TILE];
    for (int i = 0; i < TILE; i++) {
        first[i] = mean[i % 2] / bound[i % 2];
        most[i] = bound[i % 2];
    }
    for (int64_t scene = 0; scene < scenes; scene++) {
        for (int i = 0; i < TILE; i++) times[i] = scale[2 * scene + i % 2] * std[i % 2] / (grad ? 1 : bound[i % 2]);
        for (int64_t start = scene * numbers, end = start + numbers; start < end; start += TILE) {
            int64_t many = end - start < TILE ? end - start : TILE;
            const REAL *restrict from = given + start;
            REAL *restrict to = out + start;
            if (grad) {
                const REAL *restrict pull = grad + start;
                for (int64_t i = 0; i < many; i++) {
                    REAL share = from[i] / most[i];
                    to[i] = pull[i] * times[i] * (1 - share * share);
                }
            } else
                for (int64_t i = 0; i < many; i++) to[i] = most[i] * NAME(tanh_of)(from[i] * times[i] + first[i]);
        }
    }
}

#endif
