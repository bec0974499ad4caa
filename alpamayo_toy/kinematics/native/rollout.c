/* The rollout and its adjoint in C11: rows of actions (T, 2) -> trajectories (T, 4), as kinematics/rollout.py defines them.

   Included twice by itself, once for float and once for double. LANES rows are turned into columns and walked through
   side by side, so that the compiler can use vector instructions; x, y and yaw are summed up in double. The speed is
   computed as a plain loop computes it, without fused operations, so that the clamp falls on the same steps. */
#ifndef REAL

#include <stdint.h>
#include <string.h>

#define LANES 16
#define TILE 32 /* steps whose columns stay in the cache */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define EACH_LANE for (int l = 0; l < LANES; l++)

#define REAL float
#define REACH 536870912.0
#define NAME(name) JOIN(name, _float)
#include "rollout.c"
#undef REAL
#undef REACH
#undef NAME
#define REAL double
#define REACH 1.0
#define NAME(name) JOIN(name, _double)
#include "rollout.c"

#else

#include "sine.h"

/* `width` numbers a step, 2 or 4, of `many` rows so far apart: as columns (width, TILE, LANES) with a lane for each row, and back.
   A row's numbers of a step are moved as one, then all of the tile are taken apart at once, in loops long enough for the compiler
   to use vectors. Lanes beyond are 0. */
static inline void NAME(take)(const REAL *rows, int64_t apart, int many, int64_t steps, const int width, REAL (*to)[TILE * LANES])
{
    REAL near[TILE * LANES * 4];
    if (many < LANES) memset(near, 0, sizeof(near));
    for (int l = 0; l < many; l++)
        for (int64_t t = 0; t < steps; t++) memcpy(near + (t * LANES + l) * width, rows + l * apart + width * t, width * sizeof(REAL));
    for (int64_t i = 0; i < steps * LANES; i++)
        for (int k = 0; k < width; k++) to[k][i] = near[i * width + k];
}

static inline void NAME(put)(REAL (*from)[TILE * LANES], int64_t apart, int many, int64_t steps, const int width, REAL *rows)
{
    REAL near[TILE * LANES * 4];
    for (int64_t i = 0; i < steps * LANES; i++)
        for (int k = 0; k < width; k++) near[i * width + k] = from[k][i];
    for (int l = 0; l < many; l++)
        for (int64_t t = 0; t < steps; t++) memcpy(rows + l * apart + width * t, near + (t * LANES + l) * width, width * sizeof(REAL));
}

/* The first `many` rows; lanes beyond them walk along with zeros. kept (T, 2), if wanted: yaw and v for the adjoint. */
static void NAME(roll_lanes)(const REAL *actions, const REAL *v0, REAL *out, REAL *kept, int many, int64_t horizon, REAL dt,
                             int clamp)
{
    double x[LANES] = {0}, y[LANES] = {0}, yaw[LANES] = {0};
    REAL v[LANES] = {0}, sine[LANES] = {0}, cosine[LANES];
    REAL action[2][TILE * LANES], state[4][TILE * LANES];
    for (int l = 0; l < many; l++) v[l] = v0[l];
    EACH_LANE cosine[l] = 1;
    for (int64_t start = 0; start < horizon; start += TILE) {
        int64_t steps = horizon - start < TILE ? horizon - start : TILE;
        NAME(take)(actions + start * 2, horizon * 2, many, steps, 2, action);
        for (int64_t t = 0; t < steps; t++) {
            const REAL *a = action[0] + t * LANES, *kappa = action[1] + t * LANES;
            if (clamp) {
                EACH_LANE {
                    REAL step = v[l] * dt, faster = v[l] + a[l] * dt;
                    x[l] += step * cosine[l];
                    y[l] += step * sine[l];
                    yaw[l] += kappa[l] * step;
                    v[l] = faster < 0 ? 0 : faster;
                }
                EACH_LANE NAME(sin_cos)(yaw[l], &sine[l], &cosine[l]);
            } else {
                REAL vx[LANES], vy[LANES];
                EACH_LANE {
                    vx[l] = v[l] * cosine[l];
                    vy[l] = v[l] * sine[l];
                    yaw[l] += kappa[l] * (v[l] * dt + a[l] * dt * dt / 2);
                    v[l] = v[l] + a[l] * dt;
                }
                EACH_LANE NAME(sin_cos)(yaw[l], &sine[l], &cosine[l]);
                EACH_LANE {
                    x[l] += (vx[l] + v[l] * cosine[l]) * dt / 2;
                    y[l] += (vy[l] + v[l] * sine[l]) * dt / 2;
                }
            }
            EACH_LANE state[0][t * LANES + l] = (REAL)x[l];
            EACH_LANE state[1][t * LANES + l] = (REAL)y[l];
            EACH_LANE state[2][t * LANES + l] = (REAL)yaw[l];
            EACH_LANE state[3][t * LANES + l] = v[l];
        }
        NAME(put)(state, horizon * 4, many, steps, 4, out + start * 4);
        if (kept) NAME(put)(state + 2, horizon * 2, many, steps, 2, kept + start * 2);
    }
}

/* From the actions, the yaw and v that they led to and the gradient at the states, back to the actions and v0: the steps in
   reverse, gx .. gv the gradient at the state after a step, then at the one before it. */
static void NAME(pull_lanes)(const REAL *actions, const REAL *v0, const REAL *kept, const REAL *grad, REAL *grad_actions,
                             REAL *grad_v0, int many, int64_t horizon, REAL dt, int clamp)
{
    REAL gx[LANES] = {0}, gy[LANES] = {0}, gyaw[LANES] = {0}, gv[LANES] = {0}, v[LANES] = {0}, after[LANES] = {0};
    REAL sine[LANES], cosine[LANES], sine_after[LANES], cosine_after[LANES], half = dt / 2;
    REAL action[2][TILE * LANES], turned[2][TILE * LANES], pulled[4][TILE * LANES], found[2][TILE * LANES];
    NAME(take)(kept + (horizon - 1) * 2, horizon * 2, many, 1, 2, turned);
    EACH_LANE after[l] = turned[1][l];
    EACH_LANE NAME(sin_cos)(turned[0][l], &sine_after[l], &cosine_after[l]);
    for (int64_t start = (horizon - 1) / TILE * TILE; start >= 0; start -= TILE) {
        int64_t steps = horizon - start < TILE ? horizon - start : TILE;
        NAME(take)(actions + start * 2, horizon * 2, many, steps, 2, action);
        NAME(take)(grad + start * 4, horizon * 4, many, steps, 4, pulled);
        /* turned: how each step begins */
        if (start) NAME(take)(kept + (start - 1) * 2, horizon * 2, many, steps, 2, turned);
        else {
            NAME(take)(kept, horizon * 2, many, steps, 2, turned);
            for (int k = 0; k < 2; k++) memmove(turned[k] + LANES, turned[k], sizeof(REAL) * (steps - 1) * LANES);
            EACH_LANE turned[0][l] = turned[1][l] = 0;
            for (int l = 0; l < many; l++) turned[1][l] = v0[l];
        }
        for (int64_t t = steps - 1; t >= 0; t--) {
            const REAL *a = action[0] + t * LANES, *kappa = action[1] + t * LANES, *yaw = turned[0] + t * LANES;
            REAL *ga = found[0] + t * LANES, *gk = found[1] + t * LANES;
            EACH_LANE {
                gx[l] += pulled[0][t * LANES + l];
                gy[l] += pulled[1][t * LANES + l];
                gyaw[l] += pulled[2][t * LANES + l];
                gv[l] += pulled[3][t * LANES + l];
                v[l] = turned[1][t * LANES + l];
            }
            EACH_LANE NAME(sin_cos)(yaw[l], &sine[l], &cosine[l]);
            if (clamp) {
                EACH_LANE {
                    REAL kept = v[l] + a[l] * dt < 0 ? 0 : gv[l], step = v[l] * dt;
                    ga[l] = kept * dt;
                    gk[l] = gyaw[l] * step;
                    gv[l] = kept + (gx[l] * cosine[l] + gy[l] * sine[l] + gyaw[l] * kappa[l]) * dt;
                    gyaw[l] += step * (gy[l] * cosine[l] - gx[l] * sine[l]);
                }
            } else {
                EACH_LANE {
                    gv[l] += half * (gx[l] * cosine_after[l] + gy[l] * sine_after[l]);
                    gyaw[l] += half * after[l] * (gy[l] * cosine_after[l] - gx[l] * sine_after[l]);
                    REAL along = gyaw[l] * kappa[l];
                    ga[l] = gv[l] * dt + along * dt * half;
                    gk[l] = gyaw[l] * (v[l] * dt + a[l] * dt * half);
                    gv[l] += along * dt + half * (gx[l] * cosine[l] + gy[l] * sine[l]);
                    gyaw[l] += half * v[l] * (gy[l] * cosine[l] - gx[l] * sine[l]);
                    sine_after[l] = sine[l];
                    cosine_after[l] = cosine[l];
                    after[l] = v[l];
                }
            }
        }
        NAME(put)(found, horizon * 2, many, steps, 2, grad_actions + start * 2);
    }
    for (int l = 0; l < many; l++) grad_v0[l] = gv[l];
}

void NAME(rollout)(const REAL *actions, const REAL *v0, REAL *out, REAL *kept, int64_t rows, int64_t horizon, double dt,
                   int clamp)
{
    for (int64_t row = 0; row < rows; row += LANES) {
        int many = rows - row < LANES ? (int)(rows - row) : LANES;
        REAL *kept_here = kept ? kept + row * horizon * 2 : 0;
        NAME(roll_lanes)(actions + row * horizon * 2, v0 + row, out + row * horizon * 4, kept_here, many, horizon, (REAL)dt,
                         clamp);
    }
}

void NAME(adjoint)(const REAL *actions, const REAL *v0, const REAL *kept, const REAL *grad, REAL *grad_actions,
                   REAL *grad_v0, int64_t rows, int64_t horizon, double dt, int clamp)
{
    for (int64_t row = 0; row < rows; row += LANES) {
        int many = rows - row < LANES ? (int)(rows - row) : LANES;
        int64_t place = row * horizon;
        NAME(pull_lanes)(actions + place * 2, v0 + row, kept + place * 2, grad + place * 4, grad_actions + place * 2,
                         grad_v0 + row, many, horizon, (REAL)dt, clamp);
    }
}

#endif
