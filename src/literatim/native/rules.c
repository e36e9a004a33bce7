/* Whisper's rules on what may come next (decode/rules.py says which they are), and the likeliest token under them: by
 * one thread for each row, in an order that no other row changes. */
#include "common.h"

typedef struct {
    float *logits;                             /* (M, V) */
    const float *allowed;                      /* (V,): 0 or -inf */
    const int32_t *stamps;                     /* (B,): the last timestamp, `begin` - 1 before there is one */
    const uint8_t *last, *penultimate;         /* (B,): whether those tokens were timestamps */
    const int32_t *after;                      /* (B, K): tokens after these, before each of which logits stand too */
    int64_t rows, tried, ids, eot;             /* M = B (K + 1), K, V */
    int64_t begin, end;                        /* timestamps from `begin` to before `end`; `begin` < 0: none */
    int32_t *out;                              /* (M,): the likeliest; or null, and the logits are masked */
    _Atomic int32_t *jobs;                     /* one */
} Pick;

enum { SMALL = 1 << 16 }; /* logits for which other threads are not worth the waking */

typedef struct {
    float value;
    int64_t id;
} Best;

/* The first of the largest from `first` to before `end`; NaN is none. */
static Best best_of(const float *x, const float *allowed, int64_t first, int64_t end) {
    vf top[PARTS];
    int64_t at = first;
    Best best = {-INFINITY, first};
    EACH(p, PARTS) top[p] = all(-INFINITY);
    for (; at + LANES <= end; at += LANES) EACH(p, PARTS) {
        vf value = load(x + at + p * (WIDTH / 4)) + load(allowed + at + p * (WIDTH / 4));
        top[p] = (vf)(((vi)value & (value > top[p])) | ((vi)top[p] & ~(value > top[p])));
    }
    float lanes[LANES];
    EACH(p, PARTS) store(lanes + p * (WIDTH / 4), top[p]);
    for (int i = 0; i < LANES; i++) best.value = lanes[i] > best.value ? lanes[i] : best.value;
    for (; at < end; at++) best.value = x[at] + allowed[at] > best.value ? x[at] + allowed[at] : best.value;
    for (at = first; best.value > -INFINITY && at < end; at++)
        if (x[at] + allowed[at] == best.value) {
            best.id = at;
            break;
        }
    return best;
}

/* log of the sum of e^x, whose largest is `top`. */
static float log_of_sum(const float *x, const float *allowed, int64_t first, int64_t end, float top) {
    vf sums[PARTS];
    EACH(p, PARTS) sums[p] = (vf){0};
    for (int64_t at = first; at < end; at += LANES) {
        float lanes[LANES];
        for (int i = 0; i < LANES; i++) lanes[i] = at + i < end ? x[at + i] + allowed[at + i] - top : -INFINITY;
        EACH(p, PARTS) {
            vf value = load(lanes + p * (WIDTH / 4));
            sums[p] += (vf)((vi)exponential(value) & (value > -87.0f));
        }
    }
    return top + logf(sum_lanes(sums));
}

static void forbid(float *x, int64_t first, int64_t end) {
    for (int64_t at = first; at < end; at++) x[at] = -INFINITY;
}

/* The likeliest of a row; where they are wanted, its logits under the rules. */
static int64_t rule(const Pick *task, int64_t m, int masked) {
    float *x = task->logits + m * task->ids;
    const int64_t row = m / (task->tried + 1);
    const int32_t *token = task->after + row * task->tried, *until = token + m % (task->tried + 1);
    const int stamped = task->begin >= 0;
    int last = stamped && task->last[row], penultimate = stamped && task->penultimate[row];
    int64_t newest = stamped ? task->stamps[row] : 0;
    for (; token < until; token++) {
        penultimate = last;
        last = stamped && *token >= task->begin && *token < task->end;
        newest = last ? *token : newest;
    }
    const int opened = last && penultimate, closing = last && !penultimate;
    const int64_t begin = stamped ? task->begin : task->ids, end = stamped ? task->end : task->ids;
    const int64_t after = stamped ? newest + !closing : end, least = after < begin ? begin : after;
    const int64_t from = opened || least > end ? end : least;
    const Best text = best_of(x, task->allowed, closing ? task->eot : 0, begin);
    const Best stamp = best_of(x, task->allowed, from, end);
    /* when the timestamps together outweigh the likeliest text, one of them comes */
    const int outweigh = stamp.value > -INFINITY &&
                         (stamp.value > text.value || log_of_sum(x, task->allowed, from, end, stamp.value) > text.value);
    if (masked) {
        for (int64_t at = 0; at < task->ids; at++) x[at] += task->allowed[at];
        forbid(x, 0, outweigh ? begin : closing ? task->eot : 0);
        forbid(x, begin, from);
    }
    return outweigh ? stamp.id : text.id;
}

static void work(void *given) {
    Worker self = join(given);
    const Pick *task = self.shared->task;
    for (int64_t m; (m = next_job(&self)) < task->rows;) {
        const int64_t id = rule(task, m, !task->out);
        if (task->out) task->out[m] = (int32_t)id;
    }
    leave(&self);
}

void literatim_pick(Pick *task, const Pool *pool) {
    const Pool alone = {0, 0, 0, 1};
    together(task->rows * task->ids < SMALL ? &alone : pool, work, task, task->jobs, 1);
}
