/* Symmetric positive definite banded systems in C11, float64, as kinematics/banded.py defines them: time first, a column for each
   row of the batch. M = L D L^T; LANES columns go side by side, with what they need of earlier steps in the cache. */
#include <stdint.h>
#include <stdlib.h>

#define LANES 8
#define WIDEST 3 /* diagonals below the first */
#define EACH_LANE for (int l = 0; l < LANES; l++)

/* `many` numbers of a step into a line of lanes: of a batch (apart 1), or one for all of it (apart 0). */
static inline void take(const double *from, int64_t apart, int many, double rest, double *lane)
{
    EACH_LANE lane[l] = l < many ? from[l * apart] : rest;
}

static inline void put(const double *lane, int many, double *to)
{
    for (int l = 0; l < many; l++) to[l] = lane[l];
}

/* L below its diagonal, (T, WIDEST) lines, and 1 / D, T lines, of M[i, i - k] = bands[k][i]. */
static void factor(const double *const bands[], const int64_t apart[], int width, int64_t horizon, int64_t batch, int64_t column,
                   int many, double (*lower)[WIDEST][LANES], double (*inverse)[LANES])
{
    double below[WIDEST + 1][WIDEST + 1][LANES]; /* L D of the last steps, [step % 4][k] */
    for (int64_t i = 0; i < horizon; i++) {
        int reach = i < width ? (int)i : width;
        double (*now)[LANES] = below[i % (WIDEST + 1)];
        for (int k = reach; k >= 0; k--) {
            const double *from = bands[k] + (apart[k] ? i * batch + column : i);
            take(from, apart[k], many, k ? 0 : 1, now[k]);
            for (int j = k + 1; j <= reach; j++) {
                const double *earlier = below[(i - k) % (WIDEST + 1)][j - k], *low = lower[i][j - 1];
                EACH_LANE now[k][l] -= low[l] * (k ? earlier[l] : now[j][l]);
            }
            if (k) EACH_LANE lower[i][k - 1][l] = now[k][l] * inverse[i - k][l];
        }
        EACH_LANE inverse[i][l] = 1 / now[0][l];
    }
}

/* x of L D L^T x = b, in place. */
static void substitute(double (*lower)[WIDEST][LANES], double (*inverse)[LANES], int width, int64_t horizon, double (*x)[LANES])
{
    for (int64_t i = 1; i < horizon; i++)
        for (int k = 1; k <= width && k <= i; k++) EACH_LANE x[i][l] -= lower[i][k - 1][l] * x[i - k][l];
    for (int64_t i = horizon - 1; i >= 0; i--) {
        EACH_LANE x[i][l] *= inverse[i][l];
        for (int k = 1; k <= width && i + k < horizon; k++) EACH_LANE x[i][l] -= lower[i + k][k - 1][l] * x[i + k][l];
    }
}

/* right (T, B) -> x (T, B). With bands: they are factored first, and L (width, T, B) and 1 / D (T, B) kept where that is wanted.
   Without bands: by what was kept. 0, or 1 where memory has ended. */
int banded(const double *first, const double *second, const double *third, const double *fourth, const double *right, double *x,
           double *kept_lower, double *kept_inverse, const int64_t *apart, int64_t width, int64_t horizon, int64_t batch)
{
    const double *const bands[] = {first, second, third, fourth};
    double *room = malloc(sizeof(double) * horizon * LANES * (WIDEST + 2));
    if (!room) return 1;
    double (*lower)[WIDEST][LANES] = (double (*)[WIDEST][LANES])room;
    double (*inverse)[LANES] = (double (*)[LANES])(room + horizon * WIDEST * LANES), (*found)[LANES] = inverse + horizon;
    for (int64_t column = 0; column < batch; column += LANES) {
        int many = batch - column < LANES ? (int)(batch - column) : LANES;
        if (first) factor(bands, apart, (int)width, horizon, batch, column, many, lower, inverse);
        for (int64_t i = 0; i < horizon; i++) {
            int64_t place = i * batch + column;
            take(right + place, 1, many, 0, found[i]);
            for (int k = 0; k < width && kept_lower; k++) {
                double *kept = kept_lower + k * horizon * batch + place;
                if (first && i > k) put(lower[i][k], many, kept);
                else if (!first) take(kept, 1, many, 0, lower[i][k]);
            }
            if (kept_inverse && first) put(inverse[i], many, kept_inverse + place);
            else if (kept_inverse) take(kept_inverse + place, 1, many, 1, inverse[i]);
        }
        substitute(lower, inverse, (int)width, horizon, found);
        for (int64_t i = 0; i < horizon; i++) put(found[i], many, x + i * batch + column);
    }
    free(room);
    return 0;
}
