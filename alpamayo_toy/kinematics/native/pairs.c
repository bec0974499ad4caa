/* Mean distances of every pair of trajectories of a clip, and their gradient, as metrics/pairs.py defines them.

   Included twice by itself, once for float and once for double. The steps of a clip, padded to a multiple of LANES with
   steps of weight 0, are copied into x and y, each by itself in memory; then LANES steps go side by side. Without `two`
   the trajectories are compared among themselves: each pair once. */
#ifndef REAL

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define EACH_LANE for (int l = 0; l < LANES; l++)

typedef struct {
    int64_t count, padded;
} steps_t;

#define REAL float
#define ROOT sqrtf
#define TINY FLT_MIN
#define NAME(name) JOIN(name, _float)
#include "pairs.c"
#undef REAL
#undef ROOT
#undef TINY
#undef NAME
#define REAL double
#define ROOT sqrt
#define TINY DBL_MIN
#define NAME(name) JOIN(name, _double)
#include "pairs.c"

#else

/* x and y of `many` trajectories, (many, padded) each, one after the other. */
static inline void NAME(apart_of)(const REAL *restrict rows, int64_t many, int64_t width, steps_t steps, REAL *restrict x)
{
    REAL *restrict y = x + many * steps.padded;
    for (int64_t i = 0; i < many; i++, rows += steps.count * width)
        for (int64_t s = 0; s < steps.count; s++) {
            x[i * steps.padded + s] = rows[s * width];
            y[i * steps.padded + s] = rows[s * width + 1];
        }
}

static void NAME(apart)(const REAL *rows, int64_t many, int64_t width, steps_t steps, REAL *x)
{
    if (width == 4) NAME(apart_of)(rows, many, 4, steps, x); /* known widths are read by vectors */
    else if (width == 2) NAME(apart_of)(rows, many, 2, steps, x);
    else NAME(apart_of)(rows, many, width, steps, x);
}

/* And back, zeros in other columns. */
static void NAME(together)(const REAL *x, int64_t many, int64_t width, steps_t steps, REAL *rows)
{
    const REAL *y = x + many * steps.padded;
    for (int64_t i = 0; i < many; i++)
        for (int64_t s = 0; s < steps.count; s++, rows += width) {
            rows[0] = x[i * steps.padded + s];
            rows[1] = y[i * steps.padded + s];
            for (int64_t k = 2; k < width; k++) rows[k] = 0;
        }
}

static void NAME(measure)(const REAL *one, const REAL *two, const REAL *weights, int64_t m, int64_t y, steps_t steps, int among,
                          REAL *out)
{
    for (int64_t i = 0; i < m; i++) {
        if (among) out[i * y + i] = 0;
        for (int64_t j = among ? i + 1 : 0; j < y; j++) {
            const REAL *ax = one + i * steps.padded, *ay = ax + m * steps.padded;
            const REAL *bx = two + j * steps.padded, *by = bx + y * steps.padded;
            REAL sums[LANES] = {0};
            for (int64_t s = 0; s < steps.padded; s += LANES) EACH_LANE {
                REAL dx = ax[s + l] - bx[s + l], dy = ay[s + l] - by[s + l];
                sums[l] += weights[s + l] * ROOT(dx * dx + dy * dy);
            }
            REAL sum = 0;
            EACH_LANE sum += sums[l];
            out[i * y + j] = sum;
            if (among) out[j * y + i] = sum;
        }
    }
}

/* The gradient of each pair's distance at the trajectories of one, and at those of two where theirs is there; at distance
   0 it is 0. Among themselves: each pair twice, which is quicker than to write to both. */
static void NAME(pull)(const REAL *restrict one, const REAL *restrict two, const REAL *restrict weights, const REAL *restrict grad,
                       int64_t m, int64_t y, steps_t steps, int among, REAL *restrict mine, REAL *restrict theirs)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t s = i * steps.padded; s < (i + 1) * steps.padded; s += LANES) {
            const REAL *ax = one + s, *ay = ax + m * steps.padded, *weight = weights + s - i * steps.padded;
            REAL px[LANES] = {0}, py[LANES] = {0};
            for (int64_t j = 0; j < y; j++) {
                int64_t other = s + (j - i) * steps.padded;
                const REAL *bx = two + other, *by = bx + y * steps.padded;
                REAL wanted = among ? grad[i * y + j] + grad[j * y + i] : grad[i * y + j], qx[LANES], qy[LANES];
                EACH_LANE {
                    REAL dx = ax[l] - bx[l], dy = ay[l] - by[l], square = dx * dx + dy * dy;
                    REAL share = wanted * weight[l] / ROOT(square < TINY ? TINY : square);
                    qx[l] = dx * share;
                    qy[l] = dy * share;
                    px[l] += qx[l];
                    py[l] += qy[l];
                }
                if (theirs) EACH_LANE {
                    theirs[other + l] -= qx[l];
                    theirs[other + y * steps.padded + l] -= qy[l];
                }
            }
            EACH_LANE mine[s + l] = px[l];
            EACH_LANE mine[s + m * steps.padded + l] = py[l];
        }
}

/* one (clips, m, count, width), two (clips, y, count, other) or 0, weights (count) -> out (clips, m, y). With grad (clips, m,
   y) instead the gradients at one and, where wanted, at two. 0, or 1 where memory has ended. */
int NAME(distances)(const REAL *one, const REAL *two, const REAL *grad, REAL *out, REAL *grad_one, REAL *grad_two,
                    const REAL *weights, int64_t clips, int64_t m, int64_t y, int64_t width, int64_t other, int64_t count)
{
    steps_t steps = {count, (count + LANES - 1) / LANES * LANES};
    int among = two == 0;
    int64_t size_one = 2 * m * steps.padded, size_two = 2 * y * steps.padded;
    REAL *room = calloc(steps.padded + 2 * size_one + 2 * size_two, sizeof(REAL)); /* what is padded stays 0 */
    if (!room) return 1;
    REAL *weight = room, *a = weight + steps.padded, *mine = a + size_one, *theirs = mine + size_one, *b = theirs + size_two;
    memcpy(weight, weights, sizeof(REAL) * count);
    for (int64_t clip = 0; clip < clips; clip++) {
        NAME(apart)(one + clip * m * count * width, m, width, steps, a);
        if (!among) NAME(apart)(two + clip * y * count * other, y, other, steps, b);
        if (!grad) {
            NAME(measure)(a, among ? a : b, weight, m, y, steps, among, out + clip * m * y);
            continue;
        }
        if (grad_two) memset(theirs, 0, sizeof(REAL) * size_two);
        NAME(pull)(a, among ? a : b, weight, grad + clip * m * y, m, y, steps, among, mine, grad_two ? theirs : 0);
        NAME(together)(mine, m, width, steps, grad_one + clip * m * count * width);
        if (grad_two) NAME(together)(theirs, y, other, steps, grad_two + clip * y * count * other);
    }
    free(room);
    return 0;
}

#endif
