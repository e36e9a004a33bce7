/* What the kernels share: the team of threads, vectors, and the product with a packed matrix.
 *
 * Every number is summed in an order that nothing but its own row's content decides: not how many rows or queries come
 * with it, not how many threads there are, not how wide the processor's vectors are.
 *
 * Packed matrices lie as blocks of LANES columns: [N / 16][K / 2][16][2] in bfloat16 ("half"), so that one 32-bit lane
 * holds two inputs, and [N / 16][K][16] in float32. What is multiplied with them is in the same dtype.
 */
#ifndef LITERATIM_COMMON_H
#define LITERATIM_COMMON_H

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

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
    uint32_t before; /* how the thread counted */
} Worker;

/* From now on numbers below 2^-126 are zero; returns how it was. */
INLINE uint32_t flush(void) {
#if defined(__x86_64__)
    const uint32_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040); /* of results and of operands */
    return before;
#else
    return 0;
#endif
}

INLINE Worker join(Shared *shared) {
    const Pool *pool = shared->pool;
    const int together = pool->parallel && pool->most > 1;
    return (Worker){shared, together ? pool->thread() : 0, together ? pool->count() : 1, 0, flush()};
}

INLINE void leave(const Worker *worker) {
    (void)worker;
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(worker->before);
#endif
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

/* Up to `whole` bytes: as many as that are mostly wanted, which takes a moment where their number is known. */
INLINE void copy(void *to, const void *from, int64_t size, const int64_t whole) {
    if (size >= whole) memcpy(to, from, whole);
    else memcpy(to, from, size);
}

INLINE vf load(const void *from) { return *(const vf *)from; }
INLINE void store(void *to, vf values) { *(vf *)to = values; }
INLINE vf all(float value) { return value - (vf){0}; }

/* a b + c, rounded once. It is said where: a compiler that may fuse as it likes (-ffp-contract) does not do the same for
 * all widths of vectors. */
INLINE vf fused(vf a, vf b, vf c) {
#if WIDTH == 64
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif WIDTH == 32
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    EACH(i, WIDTH / 4) c[i] = fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

/* The greater one; b where one is no number. */
INLINE vf greater(vf a, vf b) {
#if WIDTH == 64
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif WIDTH == 32
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return (vf)(((vi)a & (a > b)) | ((vi)b & ~(a > b)));
#endif
}

/* e^x for -87 <= x <= 0.7, to an ulp or two: x = n ln 2 + r, and Taylor's series of r. */
INLINE vf exponential(vf x) {
    /* 1.5 * 2^23: adding it rounds to an integer, whose bits are the sum's last ones; 127 is an exponent's bias */
    const vf magic = all(12582912.0f + 127.0f);
    x = greater(all(-87.0f), x);
    const vf rounded = fused(x, all(1.44269504f), magic), n = rounded - magic;
    const vf r = fused(n, all(2.12194440e-4f), fused(n, all(-0.693359375f), x));
    static const float series[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    vf p = all(1.0f / 5040);
    EACH(i, 7) p = fused(p, r, all(series[i]));
    return p * (vf)((vi)rounded << 23);
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

INLINE float element(const void *matrix, int64_t at, int half) {
    return half ? from_half(((const uint16_t *)matrix)[at]) : ((const float *)matrix)[at];
}

/* The bits of bfloat16, in the lower half of each lane. */
INLINE vi to_halves(vf values) {
    const vi bits = (vi)values, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (rounded & (values == values)) | (0x7fc0 & (values != values));
}

/* Up to LANES numbers, zeros after them. */
INLINE void take(vf *parts, const float *from, int64_t count) {
    float lanes[LANES] = {0};
    if (count < LANES) {
        memcpy(lanes, from, count * sizeof(float));
        from = lanes;
    }
    EACH(p, PARTS) parts[p] = load(from + p * (WIDTH / 4));
}

/* e^(s - max) of the first `count` of scores, zeros up to `size`, in their place and in the model's dtype; returns
 * their sum. */
__attribute__((unused)) /* by all of the files */
static float soften(float *scores, int64_t count, int64_t size, int half) {
    enum { ROUNDS = 4 }; /* of the search at once: each waits for its last */
    vf top[ROUNDS][PARTS], sums[PARTS];
    const vf least = all(-INFINITY);
    for (int64_t at = count; at < size; at++) scores[at] = -INFINITY;
    EACH(p, PARTS) sums[p] = (vf){0};
    EACH(i, ROUNDS) EACH(p, PARTS) top[i][p] = least;
    int64_t found = 0;
    for (; found + ROUNDS * LANES <= size; found += ROUNDS * LANES) EACH(i, ROUNDS) EACH(p, PARTS)
        top[i][p] = greater(load(scores + found + i * LANES + p * (WIDTH / 4)), top[i][p]);
    for (; found < size; found += LANES) EACH(p, PARTS)
        top[0][p] = greater(load(scores + found + p * (WIDTH / 4)), top[0][p]);
    EACH(i, ROUNDS) EACH(p, PARTS) top[0][p] = greater(top[i][p], top[0][p]);
    float lanes[LANES], most = -INFINITY;
    EACH(p, PARTS) store(lanes + p * (WIDTH / 4), top[0][p]);
    for (int i = 0; i < LANES; i++) most = lanes[i] > most ? lanes[i] : most;
    for (int64_t at = 0; at < size; at += LANES) {
        vf weights[PARTS];
        EACH(p, PARTS) {
            vf value = load(scores + at + p * (WIDTH / 4));
            weights[p] = (vf)((vi)exponential(value - most) & ~(value == least));
            if (half) weights[p] = (vf)(to_halves(weights[p]) << 16);
            sums[p] += weights[p];
        }
        if (half) /* never further than it was read */
            for (int i = 0; i < LANES; i++)
                ((uint16_t *)scores)[at + i] = (uint16_t)((vi)weights[i / (WIDTH / 4)] >> 16)[i % (WIDTH / 4)];
        else EACH(p, PARTS) store(scores + at + p * (WIDTH / 4), weights[p]);
    }
    return sum_lanes(sums);
}

/* ---- products ---- */

/* A product goes along its inputs step by step: 4 bytes of a row by LINE bytes of a block, which is one input in
 * float32 and two in bfloat16. */
enum { LINE = 4 * LANES };

INLINE int64_t steps_of(int half, int64_t inputs) { return half ? (inputs + 1) / 2 : inputs; }

/* sum + w x. Of two inputs the second is added first, and rounded: so does the processors' instruction for bfloat16
 * (vdpbf16ps), for which what is below 2^-126 is zero (`flush`). */
INLINE vf add_product(const int half, vf sum, vf w, vf x) {
    if (!half) return fused(w, x, sum);
#if defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)x);
#else
    const vi second = (vi){0} + (int32_t)0xffff0000;
    sum = fused((vf)((vi)w & second), (vf)((vi)x & second), sum);
    return fused((vf)((vi)w << 16), (vf)((vi)x << 16), sum);
#endif
}

/* Four bytes of a row for all lanes. */
INLINE vf everywhere(const char *x) {
    float value;
    memcpy(&value, x, 4);
    return value - (vf){0};
}

/* M rows of x, `x_row` bytes apart, times blocks of LANES columns each. */
INLINE void tile(const int m_count, const int blocks, const int half, const char *x, int64_t x_row, const char *w,
                 int64_t steps, int64_t w_block, float *out, int64_t out_row) {
    const int64_t ahead = w_block < AHEAD ? blocks * w_block : AHEAD; /* of short blocks to those that come next */
    vf sums[6][4][PARTS], weights[4][PARTS];
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS) sums[m][b][p] = (vf){0};
    for (int64_t k = 0; k < steps; k++, w += LINE, x += 4) {
        EACH(b, blocks) {
            /* with fewer rows the processor's own guess is as good */
            if (half && m_count > 2) __builtin_prefetch(w + b * w_block + ahead);
            EACH(p, PARTS) weights[b][p] = load(w + b * w_block + p * WIDTH);
        }
        EACH(m, m_count) {
            const vf value = everywhere(x + m * x_row);
            EACH(b, blocks) EACH(p, PARTS) sums[m][b][p] = add_product(half, sums[m][b][p], weights[b][p], value);
        }
    }
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS)
        store(out + m * out_row + b * LANES + p * (WIDTH / 4), sums[m][b][p]);
}

/* As `tile` for some of the steps: adds to sums (M, 4, LANES). `next` are the blocks that come after, of which each
 * step brings so many `bytes` nearer. */
INLINE void tile_part(const int m_count, const int blocks, const int half, const char *x, int64_t x_row, const char *w,
                      int64_t steps, int64_t w_block, float *held, const char *next, int64_t bytes) {
    vf sums[6][4][PARTS], weights[4][PARTS];
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS)
        sums[m][b][p] = load(held + (m * 4 + b) * LANES + p * (WIDTH / 4));
    for (int64_t k = 0; k < steps; k++, w += LINE, x += 4, next += bytes) {
        EACH(b, blocks) {
            __builtin_prefetch(next + b * w_block);
            EACH(p, PARTS) weights[b][p] = load(w + b * w_block + p * WIDTH);
        }
        EACH(m, m_count) {
            const vf value = everywhere(x + m * x_row);
            EACH(b, blocks) EACH(p, PARTS) sums[m][b][p] = add_product(half, sums[m][b][p], weights[b][p], value);
        }
    }
    EACH(m, m_count) EACH(b, blocks) EACH(p, PARTS)
        store(held + (m * 4 + b) * LANES + p * (WIDTH / 4), sums[m][b][p]);
}

typedef void Tile(const char *, int64_t, const char *, int64_t, int64_t, float *, int64_t);
typedef void Part(const char *, int64_t, const char *, int64_t, int64_t, float *, const char *, int64_t);

#define TILE(name, half, m, b)                                                                                         \
    static void name##_##m##_##b(const char *x, int64_t x_row, const char *w, int64_t steps, int64_t w_block,          \
                                 float *out, int64_t out_row) {                                                        \
        tile(m, b, half, x, x_row, w, steps, w_block, out, out_row);                                                   \
    }
#define PART(name, half, m, b)                                                                                         \
    static void name##_part_##m##_##b(const char *x, int64_t x_row, const char *w, int64_t steps, int64_t w_block,     \
                                      float *sums, const char *next, int64_t bytes) {                                  \
        tile_part(m, b, half, x, x_row, w, steps, w_block, sums, next, bytes);                                         \
    }
#define TILES_OF(name, half, b)                                                                                        \
    TILE(name, half, 1, b) TILE(name, half, 2, b) TILE(name, half, 3, b)                                               \
    TILE(name, half, 4, b) TILE(name, half, 5, b) TILE(name, half, 6, b)                                               \
    static Tile *const name##_by_##b[] = {0, name##_1_##b, name##_2_##b, name##_3_##b,                                 \
                                          name##_4_##b, name##_5_##b, name##_6_##b};
#define PARTS_OF(name, half, b)                                                                                        \
    PART(name, half, 1, b) PART(name, half, 2, b) PART(name, half, 3, b)                                               \
    PART(name, half, 4, b) PART(name, half, 5, b) PART(name, half, 6, b)                                               \
    static Part *const name##_parts_by_##b[] = {0, name##_part_1_##b, name##_part_2_##b, name##_part_3_##b,            \
                                                name##_part_4_##b, name##_part_5_##b, name##_part_6_##b};

TILES_OF(whole, 0, 1)
TILES_OF(whole, 0, 2)
TILES_OF(whole, 0, 4)
TILES_OF(halves, 1, 1)
TILES_OF(halves, 1, 2)
TILES_OF(halves, 1, 4)
PARTS_OF(whole, 0, 1)
PARTS_OF(whole, 0, 4)
PARTS_OF(halves, 1, 1)
PARTS_OF(halves, 1, 4)

static Tile *const *const TILES[2][5] = {{0, whole_by_1, whole_by_2, 0, whole_by_4},
                                         {0, halves_by_1, halves_by_2, 0, halves_by_4}};
static Part *const *const PART_TILES[2][5] = {{0, whole_parts_by_1, 0, 0, whole_parts_by_4},
                                              {0, halves_parts_by_1, 0, 0, halves_parts_by_4}};

/* How many rows are multiplied at once, and by how many blocks; of more rows than these, how many at a time, and by how
 * many blocks: as many sums as there are registers for. */
#if defined(__AVX512BF16__)
enum { ROWS_AT_ONCE = 6, ROWS_OF_MANY = 6, BLOCKS_OF_MANY = 4 };
static const int WIDE[] = {0, 4, 4, 4, 4, 4, 4};
#elif WIDTH == 64
enum { ROWS_AT_ONCE = 4, ROWS_OF_MANY = 4, BLOCKS_OF_MANY = 4 };
static const int WIDE[] = {0, 4, 4, 4, 4};
#else
enum { ROWS_AT_ONCE = 4, ROWS_OF_MANY = 4, BLOCKS_OF_MANY = 1 };
static const int WIDE[] = {0, 4, 2, 1, 1};
#endif
enum { CHUNK = 64, MANY = 48 }; /* steps, and rows, worked on before others: both stay in a core's caches */

/* Up to MANY rows times one or four blocks: all rows by a CHUNK of the weights before the next one, which comes from
 * memory meanwhile. */
static void multiply_many(int half, const char *x, int64_t x_row, int64_t m_count, const char *w, int64_t steps,
                          int64_t w_block, int64_t blocks, float *out, int64_t out_row) {
    Part *const *const parts = PART_TILES[half][blocks];
    const int64_t groups = (m_count + ROWS_OF_MANY - 1) / ROWS_OF_MANY;
    float sums[MANY * 4 * LANES];
    memset(sums, 0, m_count * 4 * LINE);
    for (int64_t k = 0; k < steps; k += CHUNK) {
        const int64_t some = steps - k < CHUNK ? steps - k : CHUNK;
        const char *next = steps - k > CHUNK ? w + (k + CHUNK) * LINE : w + blocks * w_block;
        for (int64_t group = 0, m = 0, rows; m < m_count; group++, m += rows) {
            rows = (m_count - m + groups - group - 1) / (groups - group);
            parts[rows](x + m * x_row + 4 * k, x_row, w + k * LINE, some, w_block, sums + m * 4 * LANES,
                        next + group * some * LINE / groups, LINE / groups);
        }
    }
    for (int64_t m = 0; m < m_count; m++)
        copy(out + m * out_row, sums + m * 4 * LANES, blocks * LINE, 4 * LINE);
}

/* (M, K), rows `x_row` bytes apart, times so many blocks of columns. */
__attribute__((unused)) /* by all of the files */
static void multiply(int half, const void *x, int64_t x_row, int64_t m_count, const char *w, int64_t steps,
                     int64_t w_block, int64_t blocks, float *out, int64_t out_row) {
    if (m_count <= ROWS_AT_ONCE) {
        for (int64_t b = 0, taken; b < blocks; b += taken) {
            taken = blocks - b >= WIDE[m_count] ? WIDE[m_count] : 1;
            TILES[half][taken][m_count](x, x_row, w + b * w_block, steps, w_block, out + b * LANES, out_row);
        }
        return;
    }
    for (int64_t m = 0; m < m_count; m += MANY)
        for (int64_t b = 0, taken; b < blocks; b += taken) {
            taken = blocks - b >= BLOCKS_OF_MANY ? BLOCKS_OF_MANY : 1;
            multiply_many(half, (const char *)x + m * x_row, x_row, m_count - m < MANY ? m_count - m : MANY,
                          w + b * w_block, steps, w_block, taken, out + m * out_row + b * LANES, out_row);
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
