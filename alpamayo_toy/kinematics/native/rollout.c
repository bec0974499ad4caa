/* The rollout and its adjoint in C11: rows of actions (T, 2) -> trajectories (T, 4), as kinematics/rollout.py defines them.

   Included twice by itself, once for float and once for double. LANES rows are turned into columns and walked through
   side by side, so that the compiler can use vector instructions; x, y and yaw are summed up in double. The speed is
   computed as a plain loop computes it, without fused operations, so that the clamp falls on the same steps. */
#ifndef REAL

#include <stdint.h>

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

/* Numbers of `many` rows, so far apart, as columns with a lane for each row; and back. Each row is read in one go. */
static void NAME(to_columns)(const REAL *rows, int64_t apart, int many, int64_t count, REAL columns[][LANES])
{
    for (int l = 0; l < many; l++)
        for (int64_t i = 0; i < count; i++) columns[i][l] = rows[l * apart + i];
}

static void NAME(to_rows)(REAL columns[][LANES], int64_t apart, int many, int64_t count, REAL *rows)
{
    for (int l = 0; l < many; l++)
        for (int64_t i = 0; i < count; i++) rows[l * apart + i] = columns[i][l];
}

/* The first `many` rows; lanes beyond them walk along with zeros. kept (T, 2), if wanted: yaw and v for the adjoint. */
static void NAME(roll_lanes)(const REAL *actions, const REAL *v0, REAL *out, REAL *kept, int many, int64_t horizon, REAL dt,
                             int clamp)
{
    double x[LANES] = {0}, y[LANES] = {0}, yaw[LANES] = {0};
    REAL v[LANES] = {0}, sine[LANES] = {0}, cosine[LANES];
    REAL action[2 * TILE][LANES] = {0}, state[4 * TILE][LANES], turned[2 * TILE][LANES];
    for (int l = 0; l < many; l++) v[l] = v0[l];
    EACH_LANE cosine[l] = 1;
    for (int64_t start = 0; start < horizon; start += TILE) {
        int64_t steps = horizon - start < TILE ? horizon - start : TILE;
        NAME(to_columns)(actions + start * 2, horizon * 2, many, steps * 2, action);
        for (int64_t t = 0; t < steps; t++) {
            const REAL *a = action[2 * t], *kappa = action[2 * t + 1];
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
            EACH_LANE {
                state[4 * t][l] = (REAL)x[l];
                state[4 * t + 1][l] = (REAL)y[l];
                state[4 * t + 2][l] = turned[2 * t][l] = (REAL)yaw[l];
                state[4 * t + 3][l] = turned[2 * t + 1][l] = v[l];
            }
        }
        NAME(to_rows)(state, horizon * 4, many, steps * 4, out + start * 4);
        if (kept) NAME(to_rows)(turned, horizon * 2, many, steps * 2, kept + start * 2);
    }
}

/* From the actions, the yaw and v that they led to and the gradient at the states, back to the actions and v0: the steps in
   reverse, gx .. gv the gradient at the state after a step, then at the one before it. */
static void NAME(pull_lanes)(const REAL *actions, const REAL *v0, const REAL *kept, const REAL *grad, REAL *grad_actions,
                             REAL *grad_v0, int many, int64_t horizon, REAL dt, int clamp)
{
    REAL gx[LANES] = {0}, gy[LANES] = {0}, gyaw[LANES] = {0}, gv[LANES] = {0}, v[LANES] = {0}, after[LANES] = {0};
    REAL sine[LANES], cosine[LANES], sine_after[LANES], cosine_after[LANES], half = dt / 2;
    REAL action[2 * TILE][LANES] = {0}, turned[2 * TILE][LANES] = {0}, pulled[4 * TILE][LANES] = {0};
    REAL before[2][LANES] = {0}, found[2 * TILE][LANES];
    NAME(to_columns)(kept + (horizon - 1) * 2, horizon * 2, many, 2, before);
    EACH_LANE after[l] = before[1][l];
    EACH_LANE NAME(sin_cos)(before[0][l], &sine_after[l], &cosine_after[l]);
    for (int64_t start = (horizon - 1) / TILE * TILE; start >= 0; start -= TILE) {
        int64_t steps = horizon - start < TILE ? horizon - start : TILE;
        NAME(to_columns)(actions + start * 2, horizon * 2, many, steps * 2, action);
        NAME(to_columns)(kept + start * 2, horizon * 2, many, steps * 2, turned);
        NAME(to_columns)(grad + start * 4, horizon * 4, many, steps * 4, pulled);
        if (start) NAME(to_columns)(kept + (start - 1) * 2, horizon * 2, many, 2, before);
        else {
            EACH_LANE before[0][l] = 0;
            for (int l = 0; l < many; l++) before[1][l] = v0[l];
        }
        for (int64_t t = steps - 1; t >= 0; t--) {
            const REAL *a = action[2 * t], *kappa = action[2 * t + 1];
            const REAL *yaw = t ? turned[2 * t - 2] : before[0], *speed = t ? turned[2 * t - 1] : before[1];
            REAL *ga = found[2 * t], *gk = found[2 * t + 1];
            EACH_LANE {
                gx[l] += pulled[4 * t][l];
                gy[l] += pulled[4 * t + 1][l];
                gyaw[l] += pulled[4 * t + 2][l];
                gv[l] += pulled[4 * t + 3][l];
                v[l] = speed[l];
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
        NAME(to_rows)(found, horizon * 2, many, steps * 2, grad_actions + start * 2);
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
