/* Batches of banded systems, as kinematics/banded.py defines them: time first, a column for each row of the batch. */
#include <stdlib.h>

#include "banded.h"

static inline void put(const double *from, int many, double *to)
{
    for (int l = 0; l < many; l++) to[l] = from[l];
}

/* right (T, B) -> x (T, B). With bands: they are factored first, and L (width, T, B) and 1 / D (T, B) kept where that is wanted.
   Without bands: by what was kept. 0, or 1 where memory has ended. */
int banded(const double *first, const double *second, const double *third, const double *fourth, const double *right, double *x,
           double *kept_lower, double *kept_inverse, const int64_t *apart, int64_t width, int64_t horizon, int64_t batch)
{
    const double *const bands[] = {first, second, third, fourth};
    line *room = malloc(sizeof(line) * horizon * (WIDEST + 2));
    if (!room) return 1;
    struct factors own = {(line(*)[WIDEST])room, room + horizon * WIDEST};
    line *found = own.inverse + horizon;
    for (int64_t column = 0; column < batch; column += LANES) {
        int many = batch - column < LANES ? (int)(batch - column) : LANES;
        if (first) factor(bands, apart, (int)width, horizon, batch, column, many, own);
        for (int64_t i = 0; i < horizon; i++) {
            int64_t place = i * batch + column;
            take(right + place, 1, many, 0, found[i]);
            for (int k = 0; k < width && kept_lower; k++) {
                double *kept = kept_lower + k * horizon * batch + place;
                if (first && i > k) put(own.lower[i][k], many, kept);
                else if (!first) take(kept, 1, many, 0, own.lower[i][k]);
            }
            if (kept_inverse && first) put(own.inverse[i], many, kept_inverse + place);
            else if (kept_inverse) take(kept_inverse + place, 1, many, 1, own.inverse[i]);
        }
        substitute(own, (int)width, horizon, found);
        for (int64_t i = 0; i < horizon; i++) put(found[i], many, x + i * batch + column);
    }
    free(room);
    return 0;
}
