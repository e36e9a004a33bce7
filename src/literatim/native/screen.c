/* Logits of which the likeliest are exact, by an int8 copy of the output matrix (models/screen.py says why and how).
 *
 * The copy is packed as blocks of LANES ids, and in a block four inputs at a time: [V / 16][K / 4][16][4]. For
 * processors with AVX-512 and VNNI; others would take longer for it than for the matrix itself.
 */
#include "common.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

enum { SCREEN_PHASES = 3, SCREEN_ROWS = 4, SCREEN_BLOCKS = 4, PIECE = 1024 }; /* PIECE: ids looked through at once */

typedef struct {
    const int8_t *codes;
    const float *scales;    /* (V filled up): of each id */
    const int32_t *offsets; /* 128 times the sum of each id's codes */
    const void *weight;     /* (V, K) as it is */
    const void *rest;       /* packed: ids from `text` on, whose logits are all exact */
    int64_t inputs, text, ids, half;
    float error, norm;      /* the largest |w - w'| and |w'| */
} Screen;

typedef struct {
    const float *hidden;  /* (M, K) */
    const float *allowed; /* (V,): 0 or -inf */
    float *out;           /* (M, V) */
    int64_t rows;
    uint8_t *codes;                /* (M, K filled up to 4) */
    float *scales, *bounds, *tops; /* (M,), (M,), (threads, M) */
    float *scratch;                /* (threads, SCREEN_ROWS * SCREEN_BLOCKS * LANES) */
    _Atomic int32_t *jobs;         /* SCREEN_PHASES */
} Choice;

typedef struct {
    const Screen *screen;
    const Choice *choice;
} Task;

/* x.w of one id, from the weights as they are. */
static float exact(const Screen *screen, const float *x, int64_t id) {
    const int64_t inputs = screen->inputs, whole = inputs - inputs % LANES;
    vf sums[PARTS];
    float left = 0;
    EACH(p, PARTS) sums[p] = (vf){0};
    for (int64_t k = 0; k < whole; k += LANES) {
        float row[LANES];
        EACH(i, LANES) row[i] = element(screen->weight, id * inputs + k + i, screen->half);
        EACH(p, PARTS) sums[p] += load(row + p * (WIDTH / 4)) * load(x + k + p * (WIDTH / 4));
    }
    for (int64_t k = whole; k < inputs; k++) left += element(screen->weight, id * inputs + k, screen->half) * x[k];
    return sum_lanes(sums) + left;
}

/* One phase: states to uint8 (128 is zero) with a scale, and how far a logit of the copy may be off. */
static void quantise(Worker *worker, const Screen *screen, const Choice *choice) {
    const int64_t inputs = screen->inputs, filled = (inputs + 3) / 4 * 4;
    for (int64_t m; (m = next_job(worker)) < choice->rows;) {
        const float *x = choice->hidden + m * inputs;
        uint8_t *codes = choice->codes + m * filled;
        float top = 1e-30f, size = 0, lost = 0;
        for (int64_t k = 0; k < inputs; k++) {
            top = fabsf(x[k]) > top ? fabsf(x[k]) : top;
            size += x[k] * x[k];
        }
        const float scale = top / 127;
        for (int64_t k = 0; k < filled; k++) {
            const float code = k < inputs ? rintf(x[k] / scale) : 0, apart = k < inputs ? x[k] - code * scale : 0;
            codes[k] = (uint8_t)((int32_t)code + 128);
            lost += apart * apart;
        }
        choice->scales[m] = scale;
        /* |x.w - x'.w'| <= |x| |w - w'| + |x - x'| |w'|, and the roundings of three sums of so many products */
        const float rounding = 3 * (inputs + 8) * 6e-8f;
        choice->bounds[m] = sqrtf(size) * screen->error + (sqrtf(lost) + rounding * sqrtf(size)) * screen->norm;
    }
    wait_for_all(worker);
}

/* Sums of so many rows and blocks, in the units of the ids' scales. */
INLINE void sums_of(const int m_count, const int blocks, const Screen *screen, const Choice *choice, int64_t m,
                    int64_t block, float *out) {
    const int64_t fours = (screen->inputs + 3) / 4;
    const int8_t *w = screen->codes + block * fours * 4 * LANES;
    const uint8_t *x = choice->codes + m * fours * 4;
    __m512i sums[SCREEN_ROWS][SCREEN_BLOCKS];
    EACH(i, m_count) EACH(b, blocks) sums[i][b] = _mm512_setzero_si512();
    for (int64_t k = 0; k < fours; k++)
        EACH(b, blocks) {
            const __m512i codes = _mm512_loadu_si512(w + (b * fours + k) * 4 * LANES);
            EACH(i, m_count) {
                int32_t four;
                memcpy(&four, x + (i * fours + k) * 4, 4);
                sums[i][b] = _mm512_dpbusd_epi32(sums[i][b], _mm512_set1_epi32(four), codes);
            }
        }
    EACH(i, m_count) EACH(b, blocks) {
        const __m512i offset = _mm512_loadu_si512(screen->offsets + (block + b) * LANES);
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[i][b], offset));
        _mm512_storeu_ps(out + (i * SCREEN_BLOCKS + b) * LANES, _mm512_mul_ps(sum, _mm512_set1_ps(choice->scales[m + i])));
    }
}

#define SUMS(m)                                                                                                        \
    case m:                                                                                                            \
        if (blocks == SCREEN_BLOCKS) sums_of(m, SCREEN_BLOCKS, screen, choice, row, block, sums);                      \
        else                                                                                                           \
            for (int64_t b = 0; b < blocks; b++) sums_of(m, 1, screen, choice, row, block + b, sums + b * LANES);      \
        break;

/* One phase: all logits, those of the text by the copy; `tops` are the best of these that each thread has seen. */
static void multiply_all(Worker *worker, const Screen *screen, const Choice *choice) {
    const int64_t text = (screen->text + LANES - 1) / LANES, rest = (screen->ids - screen->text + LANES - 1) / LANES;
    const int64_t jobs = (text + SCREEN_BLOCKS - 1) / SCREEN_BLOCKS, more = (rest + SCREEN_BLOCKS - 1) / SCREEN_BLOCKS;
    const int64_t inputs = screen->inputs, pairs = inputs / 2, block_size = pairs * (screen->half ? PAIR / 2 : PAIR);
    float *tops = choice->tops + worker->me * choice->rows;
    float *sums = choice->scratch + worker->me * SCREEN_ROWS * SCREEN_BLOCKS * LANES;
    for (int64_t m = 0; m < choice->rows; m++) tops[m] = -INFINITY;
    for (int64_t job; (job = next_job(worker)) < jobs + more;) {
        const int of_text = job >= more; /* the exact ones first: they take longest */
        const int64_t block = (of_text ? job - more : job) * SCREEN_BLOCKS, last = of_text ? text : rest;
        const int64_t blocks = last - block < SCREEN_BLOCKS ? last - block : SCREEN_BLOCKS;
        const int64_t first = of_text ? block * LANES : screen->text + block * LANES;
        const int64_t end = of_text ? screen->text : screen->ids;
        const int64_t count = end - first < blocks * LANES ? end - first : blocks * LANES;
        for (int64_t row = 0; row < choice->rows; row += SCREEN_ROWS) {
            const int64_t rows = choice->rows - row < SCREEN_ROWS ? choice->rows - row : SCREEN_ROWS;
            if (of_text) switch (rows) { SUMS(1) SUMS(2) SUMS(3) SUMS(4) }
            else
                multiply((int)screen->half, choice->hidden + row * inputs, inputs, rows,
                         (const char *)screen->rest + block * block_size, pairs, block_size, blocks, sums,
                         SCREEN_BLOCKS * LANES);
            for (int64_t i = 0; i < rows; i++) {
                float *out = choice->out + (row + i) * screen->ids + first, *from = sums + i * SCREEN_BLOCKS * LANES;
                if (!of_text) {
                    memcpy(out, from, count * sizeof(float));
                    continue;
                }
                float top = tops[row + i];
                for (int64_t n = 0; n < count; n++) {
                    from[n] = from[n] * screen->scales[first + n] + choice->allowed[first + n];
                    top = from[n] > top ? from[n] : top;
                }
                memcpy(out, from, count * sizeof(float));
                tops[row + i] = top;
            }
        }
    }
    wait_for_all(worker);
}

/* One phase: the exact logits of text ids that may be the likeliest. */
static void settle(Worker *worker, const Screen *screen, const Choice *choice) {
    const int64_t pieces = (screen->text + PIECE - 1) / PIECE;
    for (int64_t job; (job = next_job(worker)) < pieces * choice->rows;) {
        const int64_t m = job / pieces, first = job % pieces * PIECE;
        const int64_t count = screen->text - first < PIECE ? screen->text - first : PIECE;
        float *out = choice->out + m * screen->ids + first, top = -INFINITY;
        for (int64_t i = 0; i < worker->team; i++) {
            const float seen = choice->tops[i * choice->rows + m];
            top = seen > top ? seen : top;
        }
        const float least = top - 2 * choice->bounds[m];
        for (int64_t n = 0; n < count; n += LANES) {
            const int64_t some = count - n < LANES ? count - n : LANES;
            int found = 0;
            for (int64_t i = 0; i < some; i++) found |= out[n + i] >= least;
            for (int64_t i = 0; found && i < some; i++)
                if (out[n + i] >= least && out[n + i] > -INFINITY)
                    out[n + i] = exact(screen, choice->hidden + m * screen->inputs, first + n + i);
        }
    }
}

static void work(void *given) {
    Worker self = join(given);
    const Task *task = self.shared->task;
    quantise(&self, task->screen, task->choice);
    multiply_all(&self, task->screen, task->choice);
    settle(&self, task->screen, task->choice);
}

void literatim_choose(const Screen *screen, const Choice *choice, const Pool *pool) {
    Task task = {screen, choice};
    together(pool, work, &task, choice->jobs, SCREEN_PHASES);
}
#endif
