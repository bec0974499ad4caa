/* How far actions are from a teacher's, smooth L1 of their differences in standard deviations, as students/action_loss.py
   defines it, and its gradient, in one pass over the teacher's.

   Included twice by itself, once for float and once for double. Numbers are a and kappa in turn; loops are long enough for the
   compiler to use vectors. */
#ifndef REAL

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16 /* sums side by side, an even number */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define EACH_LANE(many) for (int l = 0; l < (many); l++)

#define REAL float
#define SIZE fabsf
#define SIGNED copysignf
#define NAME(name) JOIN(name, _float)
#include "action_loss.c"
#undef REAL
#undef SIZE
#undef SIGNED
#undef NAME
#define REAL double
#define SIZE fabs
#define SIGNED copysign
#define NAME(name) JOIN(name, _double)
#include "action_loss.c"

#else

static inline void NAME(add)(REAL z, REAL share, REAL *sum, REAL *grad)
{
    REAL size = SIZE(z), small = size > 1 ? 1 : size;
    *sum += small * (size - small / 2);
    *grad += SIGNED(small * share, z);
}

/* One of mine (numbers) against one of theirs: with z = (mine - theirs) / std and c = z cut off at +-1 returns the sum of
   c (z - c / 2), that is z^2 / 2 or |z| - 1/2, and adds c / std to the gradient. NaN stays NaN. */
static inline double NAME(compare)(const REAL *restrict mine, const REAL *restrict theirs, const REAL *restrict share,
                                   int64_t numbers, REAL *restrict grad)
{
    REAL sums[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= numbers; i += LANES)
        EACH_LANE(LANES) NAME(add)((mine[i + l] - theirs[i + l]) * share[l], share[l], &sums[l], &grad[i + l]);
    EACH_LANE(numbers - i) NAME(add)((mine[i + l] - theirs[i + l]) * share[l], share[l], &sums[l], &grad[i + l]);
    double sum = 0;
    EACH_LANE(LANES) sum += sums[l];
    return sum;
}

/* mine (scenes, m, numbers), theirs (scenes, y, numbers), nearest (scenes, y) or 0: which of mine each of theirs is compared
   with, the first one. std (2) -> the sum of each scene (scenes) and its gradient (scenes, m, numbers). */
void NAME(action_loss)(const REAL *mine, const REAL *theirs, const int64_t *nearest, double *out, REAL *grad, const REAL *std,
                       int64_t scenes, int64_t m, int64_t y, int64_t numbers)
{
    REAL share[LANES];
    EACH_LANE(LANES) share[l] = 1 / std[l % 2];
    memset(grad, 0, sizeof(REAL) * scenes * m * numbers);
    for (int64_t scene = 0; scene < scenes; scene++) {
        out[scene] = 0;
        for (int64_t j = scene * y; j < (scene + 1) * y; j++) {
            int64_t of = (scene * m + (nearest ? nearest[j] : 0)) * numbers;
            out[scene] += NAME(compare)(mine + of, theirs + j * numbers, share, numbers, grad + of);
        }
    }
}

#endif
