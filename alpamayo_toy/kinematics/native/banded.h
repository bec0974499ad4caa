/* Symmetric positive definite banded systems in C11, float64: M = L D L^T of LANES systems side by side. */
#ifndef BANDED_H
#define BANDED_H

#include <stdint.h>

#define LANES 16
#define WIDEST 3 /* diagonals below the first */
#define EACH_LANE for (int l = 0; l < LANES; l++)

typedef double line[LANES]; /* a number of each system */

/* L below its diagonal and 1 / D, T lines each. */
struct factors {
    line (*lower)[WIDEST], *inverse;
};

/* `many` numbers of a step into a line: of a batch (apart 1), or one for all of it (apart 0). */
static inline void take(const double *from, int64_t apart, int many, double rest, double *to)
{
    if (!apart) EACH_LANE to[l] = *from;
    else if (many == LANES) EACH_LANE to[l] = from[l];
    else EACH_LANE to[l] = l < many ? from[l] : rest;
}

/* L D L^T of M[i, i - k] = bands[k][i], `many` columns from `column` on of a batch, or alike for all of it. Rows before the
   first are taken as 0. */
static inline void factor_width(const double *const bands[], const int64_t apart[], const int width, int64_t horizon,
                                int64_t batch, int64_t column, int many, struct factors to)
{
    line past[WIDEST][WIDEST + 1] = {{{0}}}, inverse[WIDEST] = {{0}}; /* L D and 1 / D of the last steps, the latest first */
    for (int64_t i = 0; i < horizon; i++) {
        line now[WIDEST + 1], low[WIDEST + 1];
        for (int k = width; k >= 0; k--) {
            if (k <= i) take(bands[k] + (apart[k] ? i * batch + column : i), apart[k], many, k ? 0 : 1, now[k]);
            else EACH_LANE now[k][l] = 0;
            for (int j = width; j > k; j--) /* what the step before gives comes last: less to wait for */
                EACH_LANE now[k][l] -= low[j][l] * (k ? past[k - 1][j - k][l] : now[j][l]);
            if (k) EACH_LANE to.lower[i][k - 1][l] = low[k][l] = now[k][l] * inverse[k - 1][l];
        }
        for (int k = width - 1; k > 0; k--) EACH_LANE inverse[k][l] = inverse[k - 1][l];
        for (int k = width - 1; k > 0; k--)
            for (int j = 0; j <= width; j++) EACH_LANE past[k][j][l] = past[k - 1][j][l];
        for (int j = 0; j <= width; j++) EACH_LANE past[0][j][l] = now[j][l];
        EACH_LANE to.inverse[i][l] = inverse[0][l] = 1 / now[0][l];
    }
}

static void factor(const double *const bands[], const int64_t apart[], int width, int64_t horizon, int64_t batch, int64_t column,
                   int many, struct factors to)
{
    if (width == 3) factor_width(bands, apart, 3, horizon, batch, column, many, to);
    else if (width == 2) factor_width(bands, apart, 2, horizon, batch, column, many, to);
    else factor_width(bands, apart, 1, horizon, batch, column, many, to);
}

/* x of L D L^T x = b, in place. */
static inline void substitute_width(struct factors by, const int width, int64_t horizon, line *x)
{
    line last[WIDEST] = {{0}}; /* of the last steps, the latest first */
    for (int64_t i = 0; i < horizon; i++) {
        line now;
        EACH_LANE now[l] = x[i][l];
        for (int k = width; k > 0; k--)
            if (k <= i) EACH_LANE now[l] -= by.lower[i][k - 1][l] * last[k - 1][l];
        for (int k = width - 1; k > 0; k--) EACH_LANE last[k][l] = last[k - 1][l];
        EACH_LANE x[i][l] = last[0][l] = now[l];
    }
    for (int64_t i = horizon - 1; i >= 0; i--) {
        line now;
        EACH_LANE now[l] = x[i][l] * by.inverse[i][l];
        for (int k = width; k > 0; k--)
            if (i + k < horizon) EACH_LANE now[l] -= by.lower[i + k][k - 1][l] * last[k - 1][l];
        for (int k = width - 1; k > 0; k--) EACH_LANE last[k][l] = last[k - 1][l];
        EACH_LANE x[i][l] = last[0][l] = now[l];
    }
}

static void substitute(struct factors by, int width, int64_t horizon, line *x)
{
    if (width == 3) substitute_width(by, 3, horizon, x);
    else if (width == 2) substitute_width(by, 2, horizon, x);
    else substitute_width(by, 1, horizon, x);
}

#endif
