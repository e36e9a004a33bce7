/* What a Conformer's layers do between their products, in float32: attention among all steps with rotary positions, and
 * the gated convolution of each channel in time with the batch norm and SiLU after it. */
#include "common.h"

/* Queries of one job, whose scores stay in a core's caches; rows and blocks of columns of a tile, as many sums as there
 * are registers for; steps of one job that are packed, gated or convolved; steps convolved at once. */
enum { QUERIES = 48, GROUP = 6, BLOCKS = WIDTH == 64 ? 4 : 1, STEPS = 32, SPAN = WIDTH == 64 ? 8 : 4 };

typedef struct {
    const float *qkv;             /* (S, 3, H, C) */
    const float *cosines, *sines; /* (S, C / 2) */
    float *out;                   /* (S, H, C) */
    int64_t steps, heads, channels;
    float scale;          /* of the scores */
    float *keys, *values; /* room: (H, S', C) and (H, C', S), packed; S' and C' are filled up to blocks */
    float *scratch;       /* (threads, `scratch_size`): room for queries (Q, C), their scores (Q, S') and sums (Q, C') */
    int64_t scratch_size;
    _Atomic int32_t *jobs; /* two */
} Attention;

INLINE int64_t filled(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

/* Channel i turned together with channel i + C / 2, and scaled. */
static void turn(const Attention *task, const float *from, int64_t step, float scale, float *to) {
    const int64_t half = task->channels / 2;
    const float *cosines = task->cosines + step * half, *sines = task->sines + step * half;
    for (int64_t i = 0; i < half; i++) {
        const float first = from[i], second = from[half + i];
        to[i] = (first * cosines[i] - second * sines[i]) * scale;
        to[half + i] = (second * cosines[i] + first * sines[i]) * scale;
    }
}

/* Keys and values of one head from so many steps on, packed. */
static void pack_steps(const Attention *task, int64_t head, int64_t first, float *turned) {
    const int64_t channels = task->channels, inner = task->heads * channels, room = filled(task->steps);
    float *keys = task->keys + head * room * channels, *values = task->values + head * filled(channels) * task->steps;
    for (int64_t at = first; at < first + STEPS && at < task->steps; at += LANES) {
        const int64_t count = task->steps - at < LANES ? task->steps - at : LANES;
        memset(turned, 0, LANES * channels * sizeof *turned);
        for (int64_t i = 0; i < count; i++) {
            const float *key = task->qkv + (at + i) * 3 * inner + inner + head * channels, *value = key + inner;
            turn(task, key, at + i, 1.0f, turned + i * channels);
            for (int64_t c = 0; c < channels; c += LANES) {
                vf parts[PARTS];
                take(parts, value + c, channels - c);
                EACH(p, PARTS) store(values + c * task->steps + (at + i) * LANES + p * (WIDTH / 4), parts[p]);
            }
        }
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < LANES; i++) keys[at * channels + c * LANES + i] = turned[i * channels + c];
    }
}

/* (M, K) times so many blocks of columns, up to BLOCKS of them by GROUP rows at once. */
static void multiply_tiles(const float *x, int64_t x_row, int64_t m_count, const float *w, int64_t inputs,
                           int64_t blocks, float *out, int64_t out_row) {
    for (int64_t b = 0, taken; b < blocks; b += taken) {
        taken = blocks - b >= BLOCKS ? BLOCKS : 1;
        for (int64_t m = 0, rows; m < m_count; m += rows) {
            rows = m_count - m < GROUP ? m_count - m : GROUP;
            TILES[0][taken][rows]((const char *)(x + m * x_row), x_row * 4, (const char *)(w + b * LANES * inputs),
                                  inputs, inputs * LINE, out + m * out_row + b * LANES, out_row);
        }
    }
}

/* Queries of one head from so many steps on. */
static void attend_from(const Attention *task, int64_t head, int64_t first, float *scratch) {
    const int64_t channels = task->channels, inner = task->heads * channels, room = filled(task->steps);
    const int64_t wide = filled(channels), count = task->steps - first < QUERIES ? task->steps - first : QUERIES;
    const float *keys = task->keys + head * room * channels, *values = task->values + head * wide * task->steps;
    float *queries = scratch, *scores = queries + QUERIES * channels, *sums = scores + QUERIES * room, whole[QUERIES];
    for (int64_t q = 0; q < count; q++)
        turn(task, task->qkv + (first + q) * 3 * inner + head * channels, first + q, task->scale, queries + q * channels);
    multiply_tiles(queries, channels, count, keys, channels, room / LANES, scores, room);
    for (int64_t q = 0; q < count; q++) whole[q] = soften(scores + q * room, task->steps, room, 0);
    multiply_tiles(scores, room, count, values, task->steps, wide / LANES, sums, wide);
    for (int64_t q = 0; q < count; q++) {
        float *out = task->out + (first + q) * inner + head * channels;
        for (int64_t c = 0; c < channels; c++) out[c] = sums[q * wide + c] / whole[q];
    }
}

static void attend(void *given) {
    Worker self = join(given);
    const Attention *task = self.shared->task;
    float *scratch = task->scratch + self.me * task->scratch_size;
    const int64_t parts = (task->steps + STEPS - 1) / STEPS, blocks = (task->steps + QUERIES - 1) / QUERIES;
    for (int64_t at; (at = next_job(&self)) < task->heads * parts;)
        pack_steps(task, at / parts, at % parts * STEPS, scratch);
    wait_for_all(&self);
    for (int64_t at; (at = next_job(&self)) < task->heads * blocks;)
        attend_from(task, at / blocks, at % blocks * QUERIES, scratch);
    leave(&self);
}

void literatim_attend(Attention *task, const Pool *pool) { together(pool, attend, task, task->jobs, 2); }

typedef struct {
    const float *x;              /* (S, 2, D): values and their gates */
    const float *weight;         /* (K, D'); D' is filled up to blocks */
    const float *factor, *shift; /* (D'): of the convolution's result */
    float *out;                  /* (S, D) */
    int64_t steps, width, kernel, before; /* `before`: zeros before the first step */
    float *gated;                         /* room: (K - 1 + S + SPAN, D') */
    _Atomic int32_t *jobs;                /* two */
} Gated;

/* x / (1 + e^-x) where `x` is `y`, in general y's part of x. */
INLINE vf gate(vf x, vf y) {
    const vf small = exponential((vf)((vi)y | (int32_t)0x80000000)), one = all(1.0f);
    const vf over = (vf)(((vi)one & (y >= 0.0f)) | ((vi)small & ~(y >= 0.0f)));
    return x * over / (one + small);
}

/* Values times what their gates let through, from so many rows of `gated` on; zeros where there is no step. */
static void open_gates(const Gated *task, int64_t first) {
    const int64_t width = task->width, wide = filled(width), rows = task->steps + task->kernel - 1;
    for (int64_t row = first; row < first + STEPS && row < rows; row++) {
        const int64_t step = row - task->before;
        float *out = task->gated + row * wide;
        if (step < 0 || step >= task->steps) {
            memset(out, 0, wide * sizeof *out);
            continue;
        }
        const float *x = task->x + step * 2 * width;
        for (int64_t c = 0; c < width; c += LANES) {
            vf values[PARTS], gates[PARTS];
            take(values, x + c, width - c);
            take(gates, x + width + c, width - c);
            EACH(p, PARTS) store(out + c + p * (WIDTH / 4), gate(values[p], gates[p]));
        }
    }
}

/* Up to SPAN steps of LANES channels. */
static void convolve_block(const Gated *task, int64_t step, int64_t c) {
    const int64_t wide = filled(task->width), left = task->width - c;
    const float *x = task->gated + step * wide + c, *weight = task->weight + c;
    vf sums[SPAN][PARTS];
    EACH(i, SPAN) EACH(p, PARTS) sums[i][p] = (vf){0};
    for (int64_t k = 0; k < task->kernel; k++, x += wide, weight += wide) EACH(p, PARTS) {
        const vf w = load(weight + p * (WIDTH / 4));
        EACH(i, SPAN) sums[i][p] = fused(load(x + i * wide + p * (WIDTH / 4)), w, sums[i][p]);
    }
    for (int64_t i = 0; i < SPAN && step + i < task->steps; i++) {
        float lanes[LANES];
        EACH(p, PARTS) {
            const int64_t at = c + p * (WIDTH / 4);
            const vf y = fused(sums[i][p], load(task->factor + at), load(task->shift + at));
            store(lanes + p * (WIDTH / 4), gate(y, y));
        }
        copy(task->out + (step + i) * task->width + c, lanes, left * 4, LINE);
    }
}

static void convolve(void *given) {
    Worker self = join(given);
    const Gated *task = self.shared->task;
    const int64_t rows = task->steps + task->kernel - 1;
    for (int64_t at; (at = next_job(&self) * (int64_t)STEPS) < rows;) open_gates(task, at);
    wait_for_all(&self);
    for (int64_t at; (at = next_job(&self) * (int64_t)STEPS) < task->steps;)
        for (int64_t step = at; step < at + STEPS && step < task->steps; step += SPAN)
            for (int64_t c = 0; c < task->width; c += LANES) convolve_block(task, step, c);
    leave(&self);
}

void literatim_convolve_gated(Gated *task, const Pool *pool) { together(pool, convolve, task, task->jobs, 2); }
