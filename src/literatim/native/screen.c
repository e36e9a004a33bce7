/* Logits of which the likeliest are exact, by an int8 copy of the output matrix (models/screen.py says why and how).
 *
 * The copy is packed as blocks of LANES ids, and in a block four inputs at a time: [V / 16][K / 4][16][4]. For
 * processors with AVX-512 and VNNI; others would take longer for it than for the matrix itself.
 */
#include "common.h"

#if defined(__AVX512VNNI__)

enum { SCREEN_PHASES = 3, SCREEN_ROWS = 6, SCREEN_BLOCKS = 4, PIECE = 1024, CHAINS = 4 };
/* PIECE: ids looked through at once; CHAINS: sums of an exact product */

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
    const void *hidden;   /* (M, K) in the dtype of `weight` */
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

/* x.w of one id, from the weights as they are: `size` bytes of each. */
static float exact(int half, const char *x, const char *w, int64_t size) {
    vf sums[CHAINS][PARTS];
    EACH(i, CHAINS) EACH(p, PARTS) sums[i][p] = (vf){0};
    for (int64_t at = 0; at < size; at += CHAINS * LINE)
        EACH(i, CHAINS) {
            const int64_t left = size - at - i * LINE;
            const char *with = x + at + i * LINE, *by = w + at + i * LINE;
            char lines[2][LINE] = {0};
            if (left <= 0) continue;
            if (left < LINE) with = memcpy(lines[0], with, left), by = memcpy(lines[1], by, left);
            EACH(p, PARTS) sums[i][p] = add_product(half, sums[i][p], load(by + p * WIDTH), load(with + p * WIDTH));
        }
    EACH(p, PARTS) sums[0][p] = (sums[0][p] + sums[1][p]) + (sums[2][p] + sums[3][p]);
    return sum_lanes(sums[0]);
}

/* One phase: states to uint8 (128 is zero) with a scale, and how far a logit of the copy may be off. */
static void quantise(Worker *worker, const Screen *screen, const Choice *choice) {
    const int64_t inputs = screen->inputs, filled = (inputs + 3) / 4 * 4;
    for (int64_t m; (m = next_job(worker)) < choice->rows;) {
        uint8_t *codes = choice->codes + m * filled;
        float top = 1e-30f, size = 0, lost = 0;
        for (int64_t k = 0; k < inputs; k++) {
            const float x = element(choice->hidden, m * inputs + k, (int)screen->half);
            top = fabsf(x) > top ? fabsf(x) : top;
            size += x * x;
        }
        const float scale = top / 127;
        for (int64_t k = 0; k < filled; k++) {
            const float x = k < inputs ? element(choice->hidden, m * inputs + k, (int)screen->half) : 0;
            const float code = rintf(x / scale), apart = x - code * scale;
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

/* Sums of four products in each lane. As text: gcc 12 copies each sum to and fro around its own function for it. */
INLINE vi add_fours(vi sum, vi x, vi codes) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(codes));
    return sum;
}

/* Sums of so many rows and blocks, in the units of the ids' scales. */
INLINE void sums_of(const int m_count, const int blocks, const Screen *screen, const Choice *choice, int64_t m,
                    int64_t block, float *out) {
    const int64_t fours = (screen->inputs + 3) / 4;
    const char *w = (const char *)screen->codes + block * fours * LINE;
    const char *x = (const char *)choice->codes + m * fours * 4;
    vi sums[SCREEN_ROWS][SCREEN_BLOCKS], codes[SCREEN_BLOCKS];
    EACH(i, m_count) EACH(b, blocks) sums[i][b] = (vi){0};
    for (int64_t k = 0; k < fours; k++, w += LINE, x += 4) {
        EACH(b, blocks) codes[b] = *(const vi *)(w + b * fours * LINE);
        EACH(i, m_count) {
            const vi four = (vi)everywhere(x + i * fours * 4);
            EACH(b, blocks) sums[i][b] = add_fours(sums[i][b], four, codes[b]);
        }
    }
    EACH(i, m_count) EACH(b, blocks) {
        const vi offset = *(const vi *)(screen->offsets + (block + b) * LANES);
        const vf sum = __builtin_convertvector(sums[i][b] - offset, vf);
        store(out + (i * SCREEN_BLOCKS + b) * LANES, sum * choice->scales[m + i]);
    }
}

typedef void Sums(const Screen *, const Choice *, int64_t, int64_t, float *);

#define SUMS(m, b)                                                                                                     \
    static void sums_##m##_##b(const Screen *screen, const Choice *choice, int64_t row, int64_t block, float *out) {   \
        sums_of(m, b, screen, choice, row, block, out);                                                                \
    }
SUMS(1, 1) SUMS(2, 1) SUMS(3, 1) SUMS(4, 1) SUMS(5, 1) SUMS(6, 1)
SUMS(1, 4) SUMS(2, 4) SUMS(3, 4) SUMS(4, 4) SUMS(5, 4) SUMS(6, 4)
static Sums *const sums_by_1[] = {0, sums_1_1, sums_2_1, sums_3_1, sums_4_1, sums_5_1, sums_6_1};
static Sums *const sums_by_4[] = {0, sums_1_4, sums_2_4, sums_3_4, sums_4_4, sums_5_4, sums_6_4};

/* The sums of `count` ids to logits, with what is allowed; returns the best of them. */
static float scale(float *sums, const float *scales, const float *allowed, int64_t count) {
    const vf least = all(-INFINITY);
    vf most = least;
    int64_t n = 0;
    for (; n + LANES <= count; n += WIDTH / 4) {
        const vf value = load(sums + n) * load(scales + n) + load(allowed + n);
        most = (vf)(((vi)value & (value > most)) | ((vi)most & ~(value > most)));
        store(sums + n, value);
    }
    float top = -INFINITY;
    for (int i = 0; i < WIDTH / 4; i++) top = most[i] > top ? most[i] : top;
    for (; n < count; n++) {
        sums[n] = sums[n] * scales[n] + allowed[n];
        top = sums[n] > top ? sums[n] : top;
    }
    return top;
}

/* One phase: all logits, those of the text by the copy; `tops` are the best of these that each thread has seen. */
static void multiply_all(Worker *worker, const Screen *screen, const Choice *choice) {
    const int64_t text = (screen->text + LANES - 1) / LANES, rest = (screen->ids - screen->text + LANES - 1) / LANES;
    const int64_t jobs = (text + SCREEN_BLOCKS - 1) / SCREEN_BLOCKS, more = (rest + SCREEN_BLOCKS - 1) / SCREEN_BLOCKS;
    const int64_t row_size = screen->inputs * (screen->half ? 2 : 4), block_size = LANES * row_size;
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
            if (of_text && blocks == SCREEN_BLOCKS) sums_by_4[rows](screen, choice, row, block, sums);
            else if (of_text)
                for (int64_t b = 0; b < blocks; b++) sums_by_1[rows](screen, choice, row, block + b, sums + b * LANES);
            else
                multiply((int)screen->half, (const char *)choice->hidden + row * row_size, row_size, rows,
                         (const char *)screen->rest + block * block_size, steps_of((int)screen->half, screen->inputs),
                         block_size, blocks, sums, SCREEN_BLOCKS * LANES);
            for (int64_t i = 0; i < rows; i++) {
                float *out = choice->out + (row + i) * screen->ids + first, *from = sums + i * SCREEN_BLOCKS * LANES;
                if (of_text) {
                    const float top = scale(from, screen->scales + first, choice->allowed + first, count);
                    tops[row + i] = top > tops[row + i] ? top : tops[row + i];
                }
                memcpy(out, from, count * sizeof(float));
            }
        }
    }
    wait_for_all(worker);
}

/* One phase: the exact logits of text ids that may be the likeliest. */
static void settle(Worker *worker, const Screen *screen, const Choice *choice) {
    const int64_t pieces = (screen->text + PIECE - 1) / PIECE, size = screen->inputs * (screen->half ? 2 : 4);
    for (int64_t job; (job = next_job(worker)) < pieces * choice->rows;) {
        const int64_t m = job / pieces, first = job % pieces * PIECE;
        const int64_t count = screen->text - first < PIECE ? screen->text - first : PIECE;
        float *out = choice->out + m * screen->ids + first, top = -INFINITY;
        for (int64_t i = 0; i < worker->team; i++) {
            const float seen = choice->tops[i * choice->rows + m];
            top = seen > top ? seen : top;
        }
        const float least = top - 2 * choice->bounds[m];
        int32_t found[PIECE];
        int64_t candidates = 0;
        for (int64_t n = 0; n < count; n += LANES) {
            const int64_t some = count - n < LANES ? count - n : LANES;
            int any = 0;
            for (int64_t i = 0; i < some; i++) any |= out[n + i] >= least;
            for (int64_t i = 0; any && i < some; i++)
                if (out[n + i] >= least && out[n + i] > -INFINITY) found[candidates++] = (int32_t)(n + i);
        }
        for (int64_t i = 0; i < candidates; i++) {
            const char *weights = (const char *)screen->weight + (first + found[i]) * size;
            if (i + 1 < candidates) /* they lie apart: the next one comes from memory meanwhile */
                for (int64_t at = 0; at < size; at += 64)
                    __builtin_prefetch((const char *)screen->weight + (first + found[i + 1]) * size + at);
            out[found[i]] = exact((int)screen->half, (const char *)choice->hidden + m * size, weights, size);
        }
    }
}

static void work(void *given) {
    Worker self = join(given);
    const Task *task = self.shared->task;
    quantise(&self, task->screen, task->choice);
    multiply_all(&self, task->screen, task->choice);
    settle(&self, task->screen, task->choice);
    leave(&self);
}

void literatim_choose(const Screen *screen, const Choice *choice, const Pool *pool) {
    Task task = {screen, choice};
    together(pool, work, &task, choice->jobs, SCREEN_PHASES);
}
#endif
