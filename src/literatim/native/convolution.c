/* Convolutions of maps that lie pixel by pixel, (B, H, W, C), with a border of zeros half a filter wide.
 *
 * Filters of 3 x 3 and stride 1 by Winograd's algorithm F(2 x 2, 3 x 3) (Lavin and Gray, 2016): a tile of 2 x 2 results
 * needs 16 products of each channel instead of 36. All others by the product of what a filter sees with the filters.
 *
 * What a map gives does not depend on the maps beside it: each pixel, or tile, is summed on its own.
 */
#include "common.h"

enum { SIDE = 4, POINTS = SIDE * SIDE, AT_ONCE = MANY, BLOCKS = 4, ROWS = 6, BORDER = 4096 };

typedef struct {
    const char *x;       /* (B, H, W, C) */
    const char *weight;  /* packed: tiled 16 matrices (C', C), the transformed filters, else one, (C', k * k * C) */
    const float *bias;   /* (C') */
    const char *kept;    /* (B, H', W', C') to be added, or null */
    char *out;           /* the same shape; may be `kept` */
    int64_t rows, height, width, inputs, down, across, outputs; /* B, H, W, C, H', W', C': a multiple of LANES */
    int64_t kernel, stride, tiled, half, relu; /* tiled: C is a multiple of LANES, too, and at most BORDER */
    char *scratch;       /* (threads, `scratch_size`) bytes */
    int64_t scratch_size;
    _Atomic int32_t *jobs; /* one */
} Convolution;

typedef uint16_t narrow __attribute__((vector_size(WIDTH / 2), aligned(2), may_alias));

INLINE vf widened(const int half, const char *from) {
    return half ? (vf)(__builtin_convertvector(*(const narrow *)from, vi) << 16) : load(from);
}

INLINE void narrowed(const int half, char *to, vf values) {
    if (!half) store(to, values);
#if defined(__AVX512BF16__)
    else *(narrow *)to = (narrow)_mm512_cvtneps_pbh((__m512)values);
#else
    else *(narrow *)to = __builtin_convertvector(to_halves(values), narrow);
#endif
}

/* What follows the sums of a pixel's channels from `column` on. */
INLINE void settle(const Convolution *task, const int half, int64_t pixel, int64_t column, vf value) {
    const int64_t at = (pixel * task->outputs + column) * (half ? 2 : 4);
    if (task->kept) value += widened(half, task->kept + at);
    if (task->relu) value = (vf)((vi)value & ~(value < 0.0f)); /* NaN stays */
    narrowed(half, task->out + at, value);
}

/* ---- tiles ---- */

/* Map, and of a tile's first result line and column. */
typedef struct {
    int64_t row, y, x;
} Place;

INLINE Place place_of(const Convolution *task, int64_t tile) {
    const int64_t across = (task->across + 1) / 2, down = (task->down + 1) / 2;
    return (Place){tile / across / down, tile / across % down * 2, tile % across * 2};
}

/* B' d B of each channel of some tiles: (16, tiles, C). */
INLINE void enter(const Convolution *task, const int half, int64_t first, int64_t count, char *to) {
    static const char nothing[4 * BORDER];
    const int64_t unit = half ? 2 : 4, size = task->inputs * unit, point = count * size;
    for (int64_t tile = 0; tile < count; tile++) {
        const Place place = place_of(task, first + tile);
        const char *from[POINTS];
        for (int64_t i = 0; i < SIDE; i++)
            for (int64_t j = 0; j < SIDE; j++) {
                const int64_t y = place.y + i - 1, x = place.x + j - 1;
                const int inside = y >= 0 && y < task->height && x >= 0 && x < task->width;
                const int64_t pixel = (place.row * task->height + y) * task->width + x;
                from[i * SIDE + j] = inside ? task->x + pixel * size : nothing;
            }
        for (int64_t c = 0; c < size; c += WIDTH / 4 * unit) {
            vf d[SIDE][SIDE], t[SIDE][SIDE];
            EACH(i, SIDE) EACH(j, SIDE) d[i][j] = widened(half, from[i * SIDE + j] + c);
            EACH(j, SIDE) {
                t[0][j] = d[0][j] - d[2][j];
                t[1][j] = d[1][j] + d[2][j];
                t[2][j] = d[2][j] - d[1][j];
                t[3][j] = d[1][j] - d[3][j];
            }
            char *at = to + tile * size + c;
            EACH(i, SIDE) {
                narrowed(half, at + (i * SIDE + 0) * point, t[i][0] - t[i][2]);
                narrowed(half, at + (i * SIDE + 1) * point, t[i][1] + t[i][2]);
                narrowed(half, at + (i * SIDE + 2) * point, t[i][2] - t[i][1]);
                narrowed(half, at + (i * SIDE + 3) * point, t[i][1] - t[i][3]);
            }
        }
    }
}

/* A' m A of each channel of some tiles; `m` is (16, tiles, `columns`). */
INLINE void give(const Convolution *task, const int half, int64_t first, int64_t count, const float *m, int64_t column,
                 int64_t columns) {
    const int64_t point = count * columns;
    for (int64_t tile = 0; tile < count; tile++, m += columns) {
        const Place place = place_of(task, first + tile);
        const int64_t pixel = (place.row * task->down + place.y) * task->across + place.x;
        const int below = place.y + 1 < task->down, right = place.x + 1 < task->across;
        for (int64_t c = 0; c < columns; c += WIDTH / 4) {
            vf s[2][SIDE];
            const vf bias = load(task->bias + column + c);
            EACH(j, SIDE) {
                const vf one = load(m + (SIDE + j) * point + c), two = load(m + (2 * SIDE + j) * point + c);
                s[0][j] = load(m + j * point + c) + one + two;
                s[1][j] = one - two - load(m + (3 * SIDE + j) * point + c);
            }
            EACH(i, 2) {
                if (i && !below) break;
                const int64_t line = pixel + i * task->across;
                settle(task, half, line, column + c, s[i][0] + s[i][1] + s[i][2] + bias);
                if (right) settle(task, half, line + 1, column + c, s[i][1] - s[i][2] - s[i][3] + bias);
            }
        }
    }
}

INLINE void by_tiles(const Convolution *task, const int half, int64_t first, int64_t count, char *scratch) {
    const int64_t size = task->inputs * (half ? 2 : 4), steps = steps_of(half, task->inputs), block = steps * LINE;
    const int64_t blocks = task->outputs / LANES;
    float *sums = (float *)(scratch + POINTS * count * size);
    enter(task, half, first, count, scratch);
    for (int64_t b = 0, taken; b < blocks; b += taken) {
        taken = blocks - b >= BLOCKS ? BLOCKS : blocks - b >= 2 ? 2 : 1;
        for (int64_t i = 0; i < POINTS; i++)
            for (int64_t tile = i * count, some; tile < (i + 1) * count; tile += some) {
                some = (i + 1) * count - tile < ROWS ? (i + 1) * count - tile : ROWS;
                TILES[half][taken][some](scratch + tile * size, size, task->weight + (i * blocks + b) * block, steps,
                                         block, sums + tile * taken * LANES, taken * LANES);
            }
        give(task, half, first, count, sums, b * LANES, taken * LANES);
    }
}

/* ---- pixels ---- */

/* What the filters see of some pixels: (pixels, k * k * C), and a zero where that is odd. */
INLINE void gather(const Convolution *task, int64_t unit, int64_t first, int64_t count, char *to, int64_t row) {
    const int64_t size = task->inputs * unit, kernel = task->kernel, border = kernel / 2;
    for (int64_t i = 0; i < count; i++) {
        const int64_t pixel = first + i, map = pixel / task->across / task->down;
        const int64_t top = pixel / task->across % task->down * task->stride - border;
        const int64_t left = pixel % task->across * task->stride - border;
        const int64_t from = left < 0 ? -left : 0, past = left + kernel - task->width;
        const int64_t until = past > 0 ? kernel - past : kernel;
        char *at = to + i * row;
        for (int64_t y = top; y < top + kernel; y++, at += kernel * size) {
            const int inside = y >= 0 && y < task->height;
            const char *line = task->x + ((map * task->height + y) * task->width + left) * size;
            if (!inside || from || until < kernel) memset(at, 0, kernel * size);
            if (inside) memcpy(at + from * size, line + from * size, (until - from) * size);
        }
        memset(at, 0, to + i * row + row - at);
    }
}

INLINE void by_pixels(const Convolution *task, const int half, int64_t first, int64_t count, char *scratch) {
    const int64_t seen = task->kernel * task->kernel * task->inputs, steps = steps_of(half, seen + seen % 2);
    const int64_t row = 4 * steps, blocks = task->outputs / LANES;
    float *sums = (float *)(scratch + count * row);
    gather(task, half ? 2 : 4, first, count, scratch, row);
    for (int64_t b = 0, taken; b < blocks; b += taken) {
        taken = blocks - b >= BLOCKS ? BLOCKS : blocks - b;
        multiply(half, scratch, row, count, task->weight + b * steps * LINE, steps, steps * LINE, taken, sums,
                 taken * LANES);
        for (int64_t i = 0; i < count; i++)
            for (int64_t c = 0; c < taken * LANES; c += WIDTH / 4)
                settle(task, half, first + i, b * LANES + c,
                       load(sums + i * taken * LANES + c) + load(task->bias + b * LANES + c));
    }
}

/* ---- both ---- */

static void work(void *given) {
    Worker self = join(given);
    const Convolution *task = self.shared->task;
    const int64_t down = task->tiled ? (task->down + 1) / 2 : task->down;
    const int64_t across = task->tiled ? (task->across + 1) / 2 : task->across;
    const int64_t all_of_them = task->rows * down * across;
    const int64_t rounds = (all_of_them + self.team * AT_ONCE - 1) / (self.team * AT_ONCE);
    const int64_t even = rounds * self.team; /* so that no thread waits long for another */
    const int64_t groups = even < all_of_them ? even : all_of_them;
    char *scratch = task->scratch + self.me * task->scratch_size;
    for (int64_t job; (job = next_job(&self)) < groups;) {
        const int64_t first = all_of_them * job / groups, count = all_of_them * (job + 1) / groups - first;
        if (task->tiled && task->half) by_tiles(task, 1, first, count, scratch);
        else if (task->tiled) by_tiles(task, 0, first, count, scratch);
        else if (task->half) by_pixels(task, 1, first, count, scratch);
        else by_pixels(task, 0, first, count, scratch);
    }
    leave(&self);
}

void literatim_convolve(Convolution *task, const Pool *pool) { together(pool, work, task, task->jobs, 1); }
