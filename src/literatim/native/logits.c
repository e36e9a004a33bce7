/* All logits of some states: by an output matrix that is packed, or as it lies in a checkpoint, and then packed piece by
 * piece on the way. */
#include "common.h"

enum { BLOCKS = 4, ROWS = 64 }; /* of one piece, whose results stay in a core's cache */

typedef struct {
    const void *weight;  /* (V, K) */
    const char *packed;  /* the same, or null */
    const void *hidden;  /* (M, K), in the same dtype */
    float *out;          /* (M, V) */
    int64_t ids, inputs, rows, half;
    char *scratch;       /* (threads, `scratch_size`) bytes: room for a packed piece, then for its results */
    int64_t scratch_size;
    _Atomic int32_t *jobs; /* one */
} Logits;

static void work(void *given) {
    Worker self = join(given);
    const Logits *task = self.shared->task;
    const int64_t inputs = task->inputs, unit = task->half ? 2 : 4;
    char *piece = task->scratch + self.me * task->scratch_size;
    float *sums = (float *)(piece + BLOCKS * LANES * inputs * unit);
    for (int64_t n; (n = next_job(&self) * (int64_t)(BLOCKS * LANES)) < task->ids;) {
        const int64_t count = task->ids - n < BLOCKS * LANES ? task->ids - n : BLOCKS * LANES;
        const char *packed = task->packed ? task->packed + n * inputs * unit : piece;
        if (!task->packed) pack((int)task->half, (const char *)task->weight + n * inputs * unit, inputs, count, inputs, piece);
        for (int64_t m = 0; m < task->rows; m += ROWS) {
            const int64_t rows = task->rows - m < ROWS ? task->rows - m : ROWS;
            multiply((int)task->half, (const char *)task->hidden + m * inputs * unit, inputs * unit, rows, packed,
                     steps_of((int)task->half, inputs), LANES * inputs * unit, (count + LANES - 1) / LANES, sums,
                     BLOCKS * LANES);
            for (int64_t i = 0; i < rows; i++)
                memcpy(task->out + (m + i) * task->ids + n, sums + i * BLOCKS * LANES, count * sizeof(float));
        }
    }
    leave(&self);
}

void literatim_logits(Logits *task, const Pool *pool) { together(pool, work, task, task->jobs, 1); }

/* A matrix (N, K) as it lies in a checkpoint, packed; columns beyond N are left as they are. */
void literatim_pack(int64_t half, const void *from, int64_t outputs, int64_t inputs, void *to) {
    pack((int)half, from, inputs, outputs, inputs, to);
}

/* Of the structures that library.py fills. */
const int literatim_kernels_7 = 7;
