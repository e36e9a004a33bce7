/* Dynamic time warping: the path with the largest sum through a matrix of scores. */
#include "common.h"

enum { BOTH, DOWN, ALONG };

/* Scores (N, S), and room for S + 1 sums and N S ways. The path from the last cell back to the first is written to
 * `found`, row and column of each, for which there must be room for N + S; returns how many.
 *
 * Sums are float32, and of equal ways the one along a row is taken, as in openai/whisper. */
int64_t literatim_warp(const float *scores, int64_t rows, int64_t columns, float *sums, char *ways, int64_t *found) {
    sums[0] = 0;
    for (int64_t j = 1; j <= columns; j++) sums[j] = INFINITY;
    for (int64_t i = 0; i < rows; i++) {
        float both = sums[0], along = INFINITY;
        sums[0] = INFINITY;
        for (int64_t j = 0; j < columns; j++) {
            const float down = sums[j + 1];
            const int way = both < down && both < along ? BOTH : down < both && down < along ? DOWN : ALONG;
            along = (way == BOTH ? both : way == DOWN ? down : along) - scores[i * columns + j];
            ways[i * columns + j] = (char)way;
            sums[j + 1] = along;
            both = down;
        }
    }
    int64_t count = 0;
    for (int64_t i = rows - 1, j = columns - 1; i >= 0 && j >= 0; count++) {
        const char way = ways[i * columns + j];
        found[2 * count] = i;
        found[2 * count + 1] = j;
        i -= way != ALONG;
        j -= way != DOWN;
    }
    return count;
}
