/* The rollout and its adjoint in C11: rows of actions (T, 2) -> trajectories (T, 4), as kinematics/rollout.py defines them.

   Included twice by itself, once for float and once for double. LANES rows are turned into columns and walked through
   side by side, so that the compiler can use vector instructions; x, y and yaw are summed up in double. The speed is
   computed as a plain loop computes it, without fused operations, so that the clamp falls on the same steps. */
#ifndef REAL

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && !defined(__clang__) && __GNUC__ >= 8
#pragma GCC target("prefer-vector-width=512") /* gcc takes half of such a register unless it is told */
#endif

#define LANES 16
#define TILE 16 /* steps whose columns stay in the cache */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define EACH_LANE for (int l = 0; l < LANES; l++)

/* Which states are wanted: `count` of them from `first` on, every `every`th. */
typedef struct {
    int64_t first, every, count;
} states_t;

/* How many of them come before a step. */
static inline int64_t before(states_t states, int64_t step)
{
    int64_t passed = step <= states.first ? 0 : (step - states.first + states.every - 1) / states.every;
    return passed < states.count ? passed : states.count;
}

#define REAL float
#define NAME(name) JOIN(name, _float)
#include "rollout.c"
#undef REAL
#undef NAME
#define REAL double
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

/* Heading and speed one step on. */
static inline void NAME(turn)(REAL a, REAL kappa, double *yaw, REAL *v, REAL dt, int clamp)
{
    REAL step = *v * dt, faster = *v + a * dt;
    *yaw += kappa * (clamp ? step : step + a * dt * dt / 2);
    *v = clamp && faster < 0 ? 0 : faster;
}

/* The first `many` rows; lanes beyond them walk along with zeros. kept (tiles, 2), if wanted: yaw and v before each tile. */
static void NAME(roll_lanes)(const REAL *actions, const REAL *v0, REAL *out, double *kept, int many, int64_t horizon, REAL dt,
                             int clamp, states_t states)
{
    double x[LANES] = {0}, y[LANES] = {0}, yaw[LANES] = {0};
    REAL v[LANES] = {0}, sine[LANES] = {0}, cosine[LANES];
    REAL action[2][TILE * LANES], state[4][TILE * LANES];
    int64_t tiles = (horizon + TILE - 1) / TILE;
    for (int l = 0; l < many; l++) v[l] = v0[l];
    EACH_LANE cosine[l] = 1;
    for (int64_t start = 0; start < horizon; start += TILE) {
        int64_t steps = horizon - start < TILE ? horizon - start : TILE;
        int64_t given = before(states, start), next = given;
        for (int l = 0; kept && l < many; l++) {
            kept[(l * tiles + start / TILE) * 2] = yaw[l];
            kept[(l * tiles + start / TILE) * 2 + 1] = v[l];
        }
        NAME(take)(actions + start * 2, horizon * 2, many, steps, 2, action);
        for (int64_t t = 0; t < steps; t++) {
            const REAL *a = action[0] + t * LANES, *kappa = action[1] + t * LANES;
            if (clamp) {
                EACH_LANE {
                    REAL step = v[l] * dt;
                    x[l] += step * cosine[l];
                    y[l] += step * sine[l];
                    NAME(turn)(a[l], kappa[l], &yaw[l], &v[l], dt, 1);
                }
                EACH_LANE NAME(sin_cos)(yaw[l], &sine[l], &cosine[l]);
            } else {
                REAL vx[LANES], vy[LANES];
                EACH_LANE {
                    vx[l] = v[l] * cosine[l];
                    vy[l] = v[l] * sine[l];
                    NAME(turn)(a[l], kappa[l], &yaw[l], &v[l], dt, 0);
                }
                EACH_LANE NAME(sin_cos)(yaw[l], &sine[l], &cosine[l]);
                EACH_LANE {
                    x[l] += (vx[l] + v[l] * cosine[l]) * dt / 2;
                    y[l] += (vy[l] + v[l] * sine[l]) * dt / 2;
                }
            }
            if (next == states.count || start + t != states.first + next * states.every) continue;
            int64_t at = (next++ - given) * LANES;
            EACH_LANE state[0][at + l] = (REAL)x[l];
            EACH_LANE state[1][at + l] = (REAL)y[l];
            EACH_LANE state[2][at + l] = (REAL)yaw[l];
            EACH_LANE state[3][at + l] = v[l];
        }
        NAME(put)(state, states.count * 4, many, next - given, 4, out + given * 4);
    }
}

/* From the actions, yaw and v before each tile and the gradient at the wanted states, back to the actions and v0: each tile once
   more forwards for its headings and speeds, then its steps in reverse, gx .. gv the gradient at the state after a step, then at the
   one before it. */
static void NAME(pull_lanes)(const REAL *actions, const double *kept, const REAL *grad, REAL *grad_actions, REAL *grad_v0,
                             int many, int64_t horizon, REAL dt, int clamp, states_t states)
{
    double turning[LANES] = {0};
    REAL gx[LANES] = {0}, gy[LANES] = {0}, gyaw[LANES] = {0}, gv[LANES] = {0}, v[LANES] = {0}, after[LANES];
    REAL sine[LANES], cosine[LANES], sine_after[LANES], cosine_after[LANES], half = dt / 2;
    REAL action[2][TILE * LANES], turned[2][TILE * LANES], pulled[4][TILE * LANES], found[2][TILE * LANES];
    int64_t tiles = (horizon + TILE - 1) / TILE;
    for (int64_t start = (horizon - 1) / TILE * TILE; start >= 0; start -= TILE) {
        int64_t steps = horizon - start < TILE ? horizon - start : TILE;
        NAME(take)(actions + start * 2, horizon * 2, many, steps, 2, action);
        int64_t given = before(states, start), last = before(states, start + steps) - 1;
        NAME(take)(grad + given * 4, states.count * 4, many, last + 1 - given, 4, pulled);
        for (int l = 0; l < many; l++) {
            turning[l] = kept[(l * tiles + start / TILE) * 2];
            v[l] = (REAL)kept[(l * tiles + start / TILE) * 2 + 1];
        }
        for (int64_t t = 0; t < steps; t++) { /* turned: how each step begins */
            EACH_LANE turned[0][t * LANES + l] = (REAL)turning[l];
            EACH_LANE turned[1][t * LANES + l] = v[l];
            const REAL *a = action[0] + t * LANES, *kappa = action[1] + t * LANES;
            EACH_LANE NAME(turn)(a[l], kappa[l], &turning[l], &v[l], dt, clamp);
        }
        if (start + steps == horizon) { /* and how the last one ends */
            EACH_LANE after[l] = v[l];
            EACH_LANE NAME(sin_cos)((REAL)turning[l], &sine_after[l], &cosine_after[l]);
        }
        for (int64_t t = steps - 1; t >= 0; t--) {
            const REAL *a = action[0] + t * LANES, *kappa = action[1] + t * LANES, *yaw = turned[0] + t * LANES;
            REAL *ga = found[0] + t * LANES, *gk = found[1] + t * LANES;
            if (last >= given && start + t == states.first + last * states.every) {
                int64_t at = (last-- - given) * LANES;
                EACH_LANE gx[l] += pulled[0][at + l];
                EACH_LANE gy[l] += pulled[1][at + l];
                EACH_LANE gyaw[l] += pulled[2][at + l];
                EACH_LANE gv[l] += pulled[3][at + l];
            }
            EACH_LANE v[l] = turned[1][t * LANES + l];
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

void NAME(rollout)(const REAL *actions, const REAL *v0, REAL *out, double *kept, int64_t rows, int64_t horizon, double dt,
                   int clamp, int64_t first, int64_t every, int64_t count)
{
    states_t states = {first, every, count};
    for (int64_t row = 0; row < rows; row += LANES) {
        int many = rows - row < LANES ? (int)(rows - row) : LANES;
        double *kept_here = kept ? kept + row * ((horizon + TILE - 1) / TILE) * 2 : 0;
        NAME(roll_lanes)(actions + row * horizon * 2, v0 + row, out + row * count * 4, kept_here, many, horizon, (REAL)dt, clamp,
                         states);
    }
}

void NAME(adjoint)(const REAL *actions, const double *kept, const REAL *grad, REAL *grad_actions, REAL *grad_v0, int64_t rows,
                   int64_t horizon, double dt, int clamp, int64_t first, int64_t every, int64_t count)
{
    states_t states = {first, every, count};
    for (int64_t row = 0; row < rows; row += LANES) {
        int many = rows - row < LANES ? (int)(rows - row) : LANES;
        int64_t place = row * horizon * 2;
        NAME(pull_lanes)(actions + place, kept + row * ((horizon + TILE - 1) / TILE) * 2, grad + row * count * 4,
                         grad_actions + place, grad_v0 + row, many, horizon, (REAL)dt, clamp, states);
    }
}

#endif
