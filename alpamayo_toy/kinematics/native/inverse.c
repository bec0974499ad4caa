/* Alpamayo's inverse and its adjoint in C11, as kinematics/inverse.py defines them: rows of waypoints (T, 2), headings (T) and
   a speed -> actions (T, 2).

   Included twice by itself, for rows of float and of double; in between all is double. LANES tracks go side by side, from
   their headings to their curvatures, with all that they need in the cache. The adjoint keeps nothing: it goes there and back. */
#ifndef REAL

#include <math.h>
#include <stdlib.h>

#include "banded.h"

#define REAL double
#define NAME(name) name
#include "sine.h"
#undef REAL
#undef NAME

enum { NONE, GUARD, RIDGE }; /* GUARDS of kinematics/inverse.py */
static const double TWO_PI = 6.28318530717958647693;
static const double RIDGE_WEIGHT = 1e-3, RIDGE_LENGTH = 0.06, RIDGE_LEAST = 0.02; /* 1e-3 (0.06 / (|s| + 0.02))^2 */

/* What is alike for all tracks, (T) each: diagonals without what hangs on a track, and how speeds hang on the one at t0 (3). */
struct constants {
    const double *heading[4], *speed[4], *acceleration[3], *curvature[3], *coupling;
    double dt, slow, most; /* below slow a car hardly moves; most: the bound of kappa */
    int guard;
};

static struct constants named(const double *rows, int64_t horizon, double dt, double slow, double most, int guard)
{
    struct constants c = {.dt = dt, .slow = slow, .most = most, .guard = guard, .coupling = rows + 14 * horizon};
    for (int k = 0; k < 4; k++) c.heading[k] = rows + k * horizon, c.speed[k] = rows + (4 + k) * horizon;
    for (int k = 0; k < 3; k++) c.acceleration[k] = rows + (8 + k) * horizon, c.curvature[k] = rows + (11 + k) * horizon;
    return c;
}

/* LANES tracks: T lines of waypoints, a, kappa and s; T + 1 of headings, their directions and speeds, the first at t0. */
struct tracks {
    struct factors heading, speed, acceleration, curvature;
    line (*p)[2], (*u)[2], *theta, *v, *a, *kappa, *s, *band;
};

enum { LINES = 4 * (WIDEST + 1) + 10, LINES_BACK = 6 }; /* of a step */

/* The next `count` lines of the room. */
static inline line *lines(line **room, int64_t count)
{
    line *found = *room;
    *room += count;
    return found;
}

static struct factors room_for_factors(line **room, int64_t horizon)
{
    struct factors found = {(line(*)[WIDEST])lines(room, WIDEST * horizon), lines(room, horizon)};
    return found;
}

static struct tracks room_for_tracks(line **room, int64_t horizon)
{
    struct tracks w;
    w.heading = room_for_factors(room, horizon), w.speed = room_for_factors(room, horizon);
    w.acceleration = room_for_factors(room, horizon), w.curvature = room_for_factors(room, horizon);
    w.p = (line(*)[2])lines(room, 2 * horizon), w.u = (line(*)[2])lines(room, 2 * (horizon + 1));
    w.theta = lines(room, horizon + 1), w.v = lines(room, horizon + 1);
    w.a = lines(room, horizon), w.kappa = lines(room, horizon), w.s = lines(room, horizon), w.band = lines(room, horizon);
    return w;
}

/* Both systems that are alike for all tracks. */
static void factor_constants(const struct constants *c, struct tracks w, int64_t horizon)
{
    const int64_t alike[WIDEST + 1] = {0};
    factor(c->heading, alike, 3, horizon, 1, 0, LANES, w.heading);
    factor(c->acceleration, alike, 2, horizon, 1, 0, LANES, w.acceleration);
}

/* 2 / dt times the way from the waypoint before step t to the one behind it: both steps that a speed has a share in. */
static inline void reach(struct tracks w, int64_t t, int64_t horizon, double dt, line gx, line gy)
{
    line *ahead = w.p[t + 1 < horizon ? t + 1 : t], *behind = w.p[t ? t - 1 : 0];
    double started = t ? 1 : 0;
    EACH_LANE {
        gx[l] = (ahead[0][l] - started * behind[0][l]) * (2 / dt);
        gy[l] = (ahead[1][l] - started * behind[1][l]) * (2 / dt);
    }
}

/* From p, theta as they came and v[0] to a and kappa. */
static void invert(const struct constants *c, struct tracks w, int64_t horizon)
{
    const double dt = c->dt;
    line last = {0}, sum = {0}, gx, gy, band, right, length; /* lines of its own, which nothing else can point to */
    EACH_LANE w.theta[0][l] = 0, w.u[0][0][l] = 1, w.u[0][1][l] = 0;
    for (int64_t t = 1; t <= horizon; t++) EACH_LANE {
        double jump = w.theta[t][l] - last[l];
        last[l] = w.theta[t][l];
        sum[l] += jump - TWO_PI * ((jump / TWO_PI + ROUNDS) - ROUNDS);
        w.theta[t][l] = sum[l];
    }
    substitute(w.heading, 3, horizon, w.theta + 1);
    for (int64_t t = 1; t <= horizon; t++) EACH_LANE sin_cos(w.theta[t][l], &w.u[t][1][l], &w.u[t][0][l]);
    for (int64_t t = 0; t < horizon; t++) {
        line *u = w.u[t + 1], *before = w.u[t];
        const double coupling = t < 3 ? c->coupling[t] : 0, diagonal = c->speed[1][t];
        reach(w, t, horizon, dt, gx, gy);
        EACH_LANE {
            double between = u[0][l] * before[0][l] + u[1][l] * before[1][l];
            double held = t ? coupling : coupling + between;
            band[l] = diagonal + between;
            right[l] = u[0][l] * gx[l] + u[1][l] * gy[l] - held * w.v[0][l];
        }
        EACH_LANE w.band[t][l] = band[l];
        EACH_LANE w.v[t + 1][l] = right[l];
    }
    const double *const speed[] = {c->speed[0], w.band[0], c->speed[2], c->speed[3]};
    factor(speed, (int64_t[]){0, 1, 0, 0}, 3, horizon, LANES, 0, LANES, w.speed);
    substitute(w.speed, 3, horizon, w.v + 1);
    for (int64_t t = 0; t < horizon; t++) EACH_LANE w.a[t][l] = (w.v[t + 1][l] - w.v[t][l]) / dt;
    substitute(w.acceleration, 2, horizon, w.a);
    for (int64_t t = 0; t < horizon; t++) {
        const double diagonal = c->curvature[0][t];
        EACH_LANE {
            double s = (w.v[t][l] + w.a[t][l] * (dt / 2)) * dt, share = RIDGE_LENGTH / (fabs(s) + RIDGE_LEAST);
            length[l] = s;
            band[l] = s * s + diagonal + (c->guard == RIDGE ? RIDGE_WEIGHT * share * share : 0);
            right[l] = s * (w.theta[t + 1][l] - w.theta[t][l]);
        }
        EACH_LANE w.s[t][l] = length[l];
        EACH_LANE w.band[t][l] = band[l];
        EACH_LANE w.kappa[t][l] = right[l];
    }
    const double *const curvature[] = {w.band[0], c->curvature[1], c->curvature[2]};
    factor(curvature, (int64_t[]){1, 0, 0}, 2, horizon, LANES, 0, LANES, w.curvature);
    substitute(w.curvature, 2, horizon, w.kappa);
}

/* Whether a curvature counts at all: with GUARD not where the car hardly moves at either end of the step. */
static inline int moves(const struct constants *c, double before, double after)
{
    return c->guard != GUARD || (fabs(before) >= c->slow && fabs(after) >= c->slow);
}

/* From the gradient at a (ga) and kappa (gk) to that at p (gp), at the headings (gtheta[1 ..]) and at v0 (gv[0]). */
static void pull(const struct constants *c, struct tracks w, int64_t horizon, line *ga, line *gk, line *gv, line *gtheta,
                 line (*gp)[2])
{
    const double dt = c->dt;
    line gx, gy, px, py, turned, earlier_turned, longer, held = {0}; /* lines of its own */
    for (int64_t t = 0; t <= horizon; t++) EACH_LANE gv[t][l] = gtheta[t][l] = 0;
    for (int64_t t = 0; t < horizon; t++) EACH_LANE {
        int inside = c->guard != GUARD || fabs(w.kappa[t][l]) <= c->most;
        gk[t][l] = inside && moves(c, w.v[t][l], w.v[t + 1][l]) ? gk[t][l] : 0;
        gp[t][0][l] = gp[t][1][l] = 0;
    }
    substitute(w.curvature, 2, horizon, gk);
    for (int64_t t = 0; t < horizon; t++) {
        EACH_LANE {
            double s = w.s[t][l], far = fabs(s) + RIDGE_LEAST, share = RIDGE_LENGTH / far;
            double steeper = c->guard == RIDGE ? 2 * RIDGE_WEIGHT * share * share / far : 0;
            double slope = 2 * s - (s > 0 ? steeper : s < 0 ? -steeper : 0); /* of the diagonal by s */
            longer[l] = gk[t][l] * (w.theta[t + 1][l] - w.theta[t][l] - w.kappa[t][l] * slope) * dt;
            turned[l] = gk[t][l] * s;
        }
        EACH_LANE ga[t][l] += longer[l] * (dt / 2);
        EACH_LANE gv[t][l] += longer[l];
        EACH_LANE gtheta[t + 1][l] += turned[l];
        EACH_LANE gtheta[t][l] -= turned[l];
    }
    substitute(w.acceleration, 2, horizon, ga);
    for (int64_t t = 0; t < horizon; t++) {
        EACH_LANE gv[t + 1][l] += ga[t][l] / dt;
        EACH_LANE gv[t][l] -= ga[t][l] / dt;
    }
    substitute(w.speed, 3, horizon, gv + 1);
    for (int64_t t = 0; t < horizon; t++) {
        line *u = w.u[t + 1], *before = w.u[t], *solved = gv + t; /* solved[1] at this step, solved[0] at the one before */
        line *ahead = gp[t + 1 < horizon ? t + 1 : t], *behind = gp[t ? t - 1 : 0];
        const double started = t ? 1 : 0, coupling = t < 3 ? c->coupling[t] : 0;
        reach(w, t, horizon, dt, gx, gy);
        EACH_LANE {
            double g = solved[1][l], earlier = started * solved[0][l];
            double between = -(g * w.v[t][l] + earlier * w.v[t + 1][l]);
            double ux = g * gx[l] + between * before[0][l], uy = g * gy[l] + between * before[1][l];
            turned[l] = u[0][l] * uy - u[1][l] * ux;
            earlier_turned[l] = between * (before[0][l] * u[1][l] - before[1][l] * u[0][l]);
            px[l] = g * u[0][l] * (2 / dt), py[l] = g * u[1][l] * (2 / dt);
            held[l] -= g * (coupling + (t ? 0 : u[0][l]));
        }
        EACH_LANE gtheta[t + 1][l] += turned[l];
        EACH_LANE gtheta[t][l] += earlier_turned[l];
        EACH_LANE ahead[0][l] += px[l];
        EACH_LANE ahead[1][l] += py[l];
        EACH_LANE behind[0][l] -= started * px[l];
        EACH_LANE behind[1][l] -= started * py[l];
    }
    EACH_LANE gv[0][l] += held[l];
    substitute(w.heading, 3, horizon, gtheta + 1);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define REAL float
#define NAME(name) JOIN(name, _float)
#include "inverse.c"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) JOIN(name, _double)
#include "inverse.c"

#else

/* `many` rows of tracks as lines; lanes beyond them stand still. */
static void NAME(take_tracks)(const REAL *waypoints, const REAL *yaw, const REAL *v0, int many, int64_t horizon, struct tracks w)
{
    if (many < LANES) {
        for (int64_t t = 0; t < horizon; t++) EACH_LANE w.p[t][0][l] = w.p[t][1][l] = w.theta[t + 1][l] = 0;
        EACH_LANE w.v[0][l] = 0;
    }
    for (int l = 0; l < many; l++) {
        const REAL *p = waypoints + l * horizon * 2, *heading = yaw + l * horizon;
        w.v[0][l] = v0[l];
        for (int64_t t = 0; t < horizon; t++) {
            w.p[t][0][l] = p[2 * t], w.p[t][1][l] = p[2 * t + 1];
            w.theta[t + 1][l] = heading[t];
        }
    }
}

/* waypoints (B, T, 2), yaw (B, T), v0 (B) -> actions (B, T, 2). 0, or 1 where memory has ended. */
int NAME(inverse)(const REAL *waypoints, const REAL *yaw, const REAL *v0, REAL *actions, const double *constants, int64_t rows,
                  int64_t horizon, double dt, double slow, double most, int guard)
{
    const struct constants known = named(constants, horizon, dt, slow, most, guard), *c = &known;
    line *whole = malloc(sizeof(line) * LINES * (horizon + 1)), *room = whole;
    if (!whole) return 1;
    struct tracks w = room_for_tracks(&room, horizon);
    factor_constants(c, w, horizon);
    for (int64_t row = 0; row < rows; row += LANES) {
        int many = rows - row < LANES ? (int)(rows - row) : LANES;
        int64_t place = row * horizon;
        NAME(take_tracks)(waypoints + 2 * place, yaw + place, v0 + row, many, horizon, w);
        invert(c, w, horizon);
        for (int64_t t = 0; t < horizon && c->guard == GUARD; t++) EACH_LANE {
            double kappa = w.kappa[t][l] > c->most ? c->most : w.kappa[t][l] < -c->most ? -c->most : w.kappa[t][l];
            w.kappa[t][l] = moves(c, w.v[t][l], w.v[t + 1][l]) ? kappa : 0;
        }
        for (int l = 0; l < many; l++) {
            REAL *to = actions + 2 * (place + l * horizon);
            for (int64_t t = 0; t < horizon; t++) to[2 * t] = (REAL)w.a[t][l], to[2 * t + 1] = (REAL)w.kappa[t][l];
        }
    }
    free(whole);
    return 0;
}

/* The gradient (B, T, 2) at the actions, pulled back to waypoints (B, T, 2), yaw (B, T) and v0 (B). 0, or 1 without memory. */
int NAME(inverse_adjoint)(const REAL *waypoints, const REAL *yaw, const REAL *v0, const REAL *grad, REAL *grad_waypoints,
                          REAL *grad_yaw, REAL *grad_v0, const double *constants, int64_t rows, int64_t horizon, double dt, double slow,
                          double most, int guard)
{
    const struct constants known = named(constants, horizon, dt, slow, most, guard), *c = &known;
    line *whole = malloc(sizeof(line) * (LINES + LINES_BACK) * (horizon + 1)), *room = whole;
    if (!whole) return 1;
    struct tracks w = room_for_tracks(&room, horizon);
    line *ga = lines(&room, horizon), *gk = lines(&room, horizon), (*gp)[2] = (line(*)[2])lines(&room, 2 * horizon);
    line *gv = lines(&room, horizon + 1), *gtheta = lines(&room, horizon + 1);
    factor_constants(c, w, horizon);
    for (int64_t row = 0; row < rows; row += LANES) {
        int many = rows - row < LANES ? (int)(rows - row) : LANES;
        int64_t place = row * horizon;
        NAME(take_tracks)(waypoints + 2 * place, yaw + place, v0 + row, many, horizon, w);
        invert(c, w, horizon);
        for (int64_t t = 0; t < horizon && many < LANES; t++) EACH_LANE ga[t][l] = gk[t][l] = 0;
        for (int l = 0; l < many; l++) {
            const REAL *from = grad + 2 * (place + l * horizon);
            for (int64_t t = 0; t < horizon; t++) ga[t][l] = from[2 * t], gk[t][l] = from[2 * t + 1];
        }
        pull(c, w, horizon, ga, gk, gv, gtheta, gp);
        for (int l = 0; l < many; l++) {
            REAL *p = grad_waypoints + 2 * (place + l * horizon), *heading = grad_yaw + place + l * horizon;
            for (int64_t t = 0; t < horizon; t++) {
                p[2 * t] = (REAL)gp[t][0][l], p[2 * t + 1] = (REAL)gp[t][1][l];
                heading[t] = (REAL)gtheta[t + 1][l];
            }
            grad_v0[row + l] = (REAL)gv[0][l];
        }
    }
    free(whole);
    return 0;
}

#endif
