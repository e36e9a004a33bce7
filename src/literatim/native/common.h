/* What the kernels share: the team of threads, vectors, and the product with a packed matrix.
 *
 * Every number is summed in an order that nothing but its own row's content decides: not how many rows or queries come
 * with it, not how many threads there are, not how wide the processor's vectors are.
 *
 * Packed matrices lie as blocks of LANES columns, and in a block two inputs at a time: [N / 16][K / 2][16][2] in
 * bfloat16 ("half"), so that one 32-bit lane holds both, and [N / 16][K / 2][2][16] in float32.
 */
#ifndef LITERATIM_COMMON_H
#define LITERATIM_COMMON_H

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX2__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#define PARTS (LANES * 4 / WIDTH)
#define AHEAD 4096 /* bytes */
#define PAIR 128   /* bytes of two inputs for LANES columns, float32; half of it in bfloat16 */

#define INLINE static inline __attribute__((always_inline))
#define EACH(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)

typedef float vf __attribute__((vector_size(WIDTH), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(WIDTH), aligned(4), may_alias));


/* The pool of threads: GOMP_parallel, omp_get_thread_num and omp_get_num_threads of the OpenMP library that torch has
 * loaded. A second pool would have to share the cores with that one's threads, which go on spinning for a while after
 * each of torch's operators. */
typedef struct {
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
    int32_t (*thread)(void), (*count)(void);
    int64_t most; /* threads */
} Pool;

/* What a team works on together; `jobs`: of each phase the next one. */
typedef struct {
    const Pool *pool;
    void *task;
    _Atomic int32_t *jobs, arrived;
} Shared;

/* What one thread knows of its team: it goes through phases, in each of which jobs are taken in turn. */
typedef struct {
    Shared *shared;
    int32_t me, team, phase;
} Worker;

INLINE Worker join(Shared *shared) {
    const Pool *pool = shared->pool;
    const int together = pool->parallel && pool->most > 1;
    return (Worker){shared, together ? pool->thread() : 0, together ? pool->count() : 1, 0};
}

/* Do `work` on `task` by all threads, in so many phases. */
INLINE void together(const Pool *pool, void (*work)(void *), void *task, _Atomic int32_t *jobs, int64_t phases) {
    Shared shared = {pool, task, jobs, 0};
    memset((void *)jobs, 0, phases * sizeof *jobs);
    if (pool->parallel && pool->most > 1) pool->parallel(work, &shared, (unsigned)pool->most, 0);
    else work(&shared);
}

INLINE int32_t next_job(const Worker *worker) {
    return atomic_fetch_add_explicit(&worker->shared->jobs[worker->phase], 1, memory_order_relaxed);
}

INLINE void wait_for_all(Worker *worker) {
    worker->phase++;
    if (worker->team == 1) return;
    _Atomic int32_t *arrived = &worker->shared->arrived;
    const int32_t wanted = worker->phase * worker->team;
    atomic_fetch_add_explicit(arrived, 1, memory_order_acq_rel);
    for (int turns = 0; atomic_load_explicit(arrived, memory_order_acquire) < wanted; turns++) {
        if (turns > 4000) sched_yield();
#if defined(__x86_64__)
        else __builtin_ia32_pause();
#endif
    }
}

/* ---- numbers ---- */

INLINE vf load(const void *from) { return *(const vf *)from; }
INLINE void store(void *to, vf values) { *(vf *)to = values; }
INLINE vf all(float value) { return value - (vf){0}; }

INLINE vf two_to(vf n) { return (vf)((__builtin_convertvector(n, vi) + 127) << 23); }

/* e^x for -87 <= x <= 0.7, to an ulp or two: x = n ln 2 + r, and Taylor's series of r. */
INLINE vf exponential(vf x) {
    const vf magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    x = (vf)(((vi)x & (x > -87.0f)) | ((vi)all(-87.0f) & ~(x > -87.0f) & (x == x)) | ((vi)x & (x != x)));
    vf n = (x * 1.44269504f + magic) - magic;
    vf r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    vf p = all(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * two_to(n);
}

INLINE float sum_lanes(const vf *parts) {
    float lanes[LANES];
    EACH(p, PARTS) store(lanes + p * (WIDTH / 4), parts[p]);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

INLINE float from_half(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

INLINE uint16_t to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value != value) return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

INLINE float element(const void *matrix, int64_t at, int half) {
    return half ? from_half(((const uint16_t *)matrix)[at]) : ((const float *)matrix)[at];
}

INLINE void put(void *matrix, int64_t at, float value, int half) {
    if (half) ((uint16_t *)matrix)[at] = to_half(value);
    else ((float *)matrix)[at] = value;
}

/* ---- products ---- */

/* Part `p` of the LANES weights of the k-th pair of inputs. */
INLINE void take_pair(const int half, const char *block, int64_t k, int p, vf *first, vf *second) {
    const char *at = block + k * (half ? PAIR / 2 : PAIR) + p * WIDTH;
    if (half) {
        const vi both = *(const vi *)at;
        *first = (vf)(both << 16);
        *second = (vf)(both & (int32_t)0xffff0000);
    } else {
        *first = load(at);
        *second = load(at + PAIR / 2);
    }
}

/* M rows of x times blocks of LANES columns each; the even and the odd inputs are summed apart, in their order. */
INLINE void tile(const int m_count, const int blocks, const int half, const float *x, int64_t x_row, const char *w,
                 int64_t pairs, int64_t w_block, float *out, int64_t out_row) {
    vf even[6][4][PARTS], odd[6][4][PARTS];
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS) even[m][b][p] = odd[m][b][p] = (vf){0};
    for (int64_t k = 0; k < pairs; k++) {
        EACH(b, blocks) EACH(p, PARTS) {
            vf first, second;
            take_pair(half, w + b * w_block, k, p, &first, &second);
            /* with fewer rows the processor's own guess is as good */
            if (half && m_count > 2) __builtin_prefetch(w + b * w_block + k * (PAIR / 2) + p * WIDTH + AHEAD);
            EACH(m, m_count) {
                even[m][b][p] += first * x[m * x_row + 2 * k];
                odd[m][b][p] += second * x[m * x_row + 2 * k + 1];
            }
        }
    }
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS)
        store(out + m * out_row + b * LANES + p * (WIDTH / 4), even[m][b][p] + odd[m][b][p]);
}

typedef void Tile(const float *, int64_t, const char *, int64_t, int64_t, float *, int64_t);

#define TILE(name, half, m, b)                                                                                         \
    static void name##_##m##_##b(const float *x, int64_t x_row, const char *w, int64_t pairs, int64_t w_block,         \
                                 float *out, int64_t out_row) {                                                        \
        tile(m, b, half, x, x_row, w, pairs, w_block, out, out_row);                                                   \
    }
/* How many rows are multiplied at once, how many at a time of more rows than that, and by how many blocks: as many sums
 * as there are registers for. WIDE: blocks for so many rows. */
#if WIDTH == 64
enum { ROWS_AT_ONCE = 6, ROWS_OF_MANY = 4, BLOCKS_OF_MANY = 2 };
static const int WIDE[] = {0, 4, 4, 4, 2, 2, 2};
#define WIDER(name, half)                                                                                              \
    TILE(name, half, 1, 4) TILE(name, half, 2, 4) TILE(name, half, 3, 4) TILE(name, half, 4, 2)                        \
    TILE(name, half, 5, 2) TILE(name, half, 6, 2)                                                                      \
    static Tile *const name##_wide[] = {0, name##_1_4, name##_2_4, name##_3_4, name##_4_2, name##_5_2, name##_6_2};
#else
enum { ROWS_AT_ONCE = 3, ROWS_OF_MANY = 3, BLOCKS_OF_MANY = 1 };
static const int WIDE[] = {0, 2, 1, 1};
#define WIDER(name, half)                                                                                              \
    TILE(name, half, 1, 2) static Tile *const name##_wide[] = {0, name##_1_2, name##_2_1, name##_3_1};
#endif
#define TILES(name, half)                                                                                              \
    TILE(name, half, 1, 1) TILE(name, half, 2, 1) TILE(name, half, 3, 1) TILE(name, half, 4, 1)                        \
    TILE(name, half, 5, 1) TILE(name, half, 6, 1) WIDER(name, half)                                                    \
    static Tile *const name##_one[] = {0, name##_1_1, name##_2_1, name##_3_1, name##_4_1, name##_5_1, name##_6_1};

TILES(whole, 0)
TILES(halves, 1)

enum { CHUNK = 64, MANY = 48 }; /* pairs of inputs, and rows, worked on before others: both stay in a core's caches */

/* As `tile` for a CHUNK of the inputs: adds to sums (M, 2, blocks, LANES), the even and the odd ones. `next` are the
 * blocks that come after, of which each pair brings `step` bytes nearer. */
INLINE void tile_part(const int m_count, const int blocks, const int half, const float *x, int64_t x_row, const char *w,
                      int64_t pairs, int64_t w_block, float *sums, const char *next, int64_t step) {
    vf even[4][2][PARTS], odd[4][2][PARTS];
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS) {
        const float *at = sums + (m * 4 + b) * LANES + p * (WIDTH / 4);
        even[m][b][p] = load(at);
        odd[m][b][p] = load(at + 2 * LANES);
    }
    for (int64_t k = 0; k < pairs; k++) {
        EACH(b, blocks) {
            __builtin_prefetch(next + b * w_block + k * step);
            EACH(p, PARTS) {
                vf first, second;
                take_pair(half, w + b * w_block, k, p, &first, &second);
                EACH(m, m_count) {
                    even[m][b][p] += first * x[m * x_row + 2 * k];
                    odd[m][b][p] += second * x[m * x_row + 2 * k + 1];
                }
            }
        }
    }
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS) {
        float *at = sums + (m * 4 + b) * LANES + p * (WIDTH / 4);
        store(at, even[m][b][p]);
        store(at + 2 * LANES, odd[m][b][p]);
    }
}

typedef void Part(const float *, int64_t, const char *, int64_t, int64_t, float *, const char *, int64_t);

#define PART(name, half, m, b)                                                                                         \
    static void name##_part_##m##_##b(const float *x, int64_t x_row, const char *w, int64_t pairs, int64_t w_block,    \
                                      float *sums, const char *next, int64_t step) {                                   \
        tile_part(m, b, half, x, x_row, w, pairs, w_block, sums, next, step);                                          \
    }
#define PARTS_OF(name, half)                                                                                           \
    PART(name, half, 1, 1) PART(name, half, 2, 1) PART(name, half, 3, 1) PART(name, half, 4, 1)                        \
    PART(name, half, 1, 2) PART(name, half, 2, 2) PART(name, half, 3, 2) PART(name, half, 4, 2)                        \
    static Part *const name##_parts[2][5] = {                                                                          \
        {0, name##_part_1_1, name##_part_2_1, name##_part_3_1, name##_part_4_1},                                       \
        {0, name##_part_1_2, name##_part_2_2, name##_part_3_2, name##_part_4_2}};

PARTS_OF(whole, 0)
PARTS_OF(halves, 1)

/* Up to MANY rows times one or two blocks: all rows by a CHUNK of the weights before the next one, which comes from
 * memory meanwhile. */
static void multiply_many(int half, const float *x, int64_t x_row, int64_t m_count, const char *w, int64_t pairs,
                          int64_t w_block, int64_t blocks, float *out, int64_t out_row) {
    const int64_t unit = half ? PAIR / 2 : PAIR, groups = (m_count + ROWS_OF_MANY - 1) / ROWS_OF_MANY;
    float sums[MANY * 4 * LANES];
    memset(sums, 0, m_count * 4 * LANES * sizeof(float));
    for (int64_t k = 0; k < pairs; k += CHUNK) {
        const int64_t some = pairs - k < CHUNK ? pairs - k : CHUNK;
        const char *next = pairs - k > CHUNK ? w + (k + CHUNK) * unit : w + blocks * w_block;
        for (int64_t group = 0, m = 0, rows; m < m_count; group++, m += rows) {
            rows = (m_count - m + groups - group - 1) / (groups - group);
            (half ? halves_parts : whole_parts)[blocks - 1][rows](x + m * x_row + 2 * k, x_row, w + k * unit, some,
                                                                   w_block, sums + m * 4 * LANES,
                                                                   next + group * some * unit / groups, unit / groups);
        }
    }
    for (int64_t m = 0; m < m_count; m++)
        EACH(b, 2) if (b < blocks) EACH(p, PARTS) {
            const float *at = sums + (m * 4 + b) * LANES + p * (WIDTH / 4);
            store(out + m * out_row + b * LANES + p * (WIDTH / 4), load(at) + load(at + 2 * LANES));
        }
}

/* (M, K) times so many blocks of columns. */
static void multiply(int half, const float *x, int64_t x_row, int64_t m_count, const char *w, int64_t pairs,
                     int64_t w_block, int64_t blocks, float *out, int64_t out_row) {
    if (m_count <= ROWS_AT_ONCE) {
        Tile *const wide = (half ? halves_wide : whole_wide)[m_count], *const one = (half ? halves_one : whole_one)[m_count];
        for (int64_t b = 0, taken; b < blocks; b += taken) {
            taken = blocks - b >= WIDE[m_count] ? WIDE[m_count] : 1;
            (taken == 1 ? one : wide)(x, x_row, w + b * w_block, pairs, w_block, out + b * LANES, out_row);
        }
        return;
    }
    for (int64_t m = 0; m < m_count; m += MANY)
        for (int64_t b = 0, taken; b < blocks; b += taken) {
            taken = blocks - b >= BLOCKS_OF_MANY ? BLOCKS_OF_MANY : 1;
            multiply_many(half, x + m * x_row, x_row, m_count - m < MANY ? m_count - m : MANY, w + b * w_block, pairs,
                          w_block, taken, out + m * out_row + b * LANES, out_row);
        }
}

/* Rows of a matrix (N, K), `row` elements apart, as the columns of a packed one. */
INLINE void pack_columns(const int half, const void *from, int64_t row, int64_t columns, int64_t inputs, void *to) {
    const int64_t size = half ? 2 : 4, pair = 2 * size;
    for (int64_t n = 0; n < columns; n += LANES)
        for (int64_t k = 0; k < inputs; k += 2) {
            const char *at = (const char *)from + (n * row + k) * size;
            char *block = (char *)to + (n * inputs + k * LANES) * size;
            for (int64_t lane = 0; lane < LANES && n + lane < columns; lane++)
                if (half) memcpy(block + lane * pair, at + lane * row * size, pair);
                else {
                    memcpy(block + lane * size, at + lane * row * size, size);
                    memcpy(block + (LANES + lane) * size, at + (lane * row + 1) * size, size);
                }
        }
}

INLINE void pack(int half, const void *from, int64_t row, int64_t columns, int64_t inputs, void *to) {
    if (half) pack_columns(1, from, row, columns, inputs, to);
    else pack_columns(0, from, row, columns, inputs, to);
}

#endif
