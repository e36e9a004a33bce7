/* Several tokens proposed by a draft, one after the other, in one call.
 *
 * The structures of a step, of the logits and of the choice are those of decoder.c, logits.c or screen.c, and rules.c;
 * what one of them writes the next one reads, so that here they are only called in turn.
 */
#include "common.h"

void literatim_step(const void *model, const void *step, const Pool *pool);
void literatim_logits(const void *task, const Pool *pool);
void literatim_choose(const void *screen, const void *choice, const Pool *pool);
void literatim_pick(const void *task, const Pool *pool);

typedef struct {
    const void *model, *step;      /* of one token a row */
    const void *logits;            /* a task of logits.c, or null, and then: */
    const void *screen, *choice;   /* those of screen.c */
    const void *pick;              /* a task of rules.c, and what it reads and writes: */
    int32_t *stamps, *found;       /* (B,), (B,) */
    uint8_t *last, *penultimate;   /* (B,), (B,) */
    const int32_t *to_main, *to_own; /* what an id is to the main model, and the other way; null where it is the same */
    int32_t *fed, *lengths;        /* (B,): the step's tokens and lengths */
    int32_t *out;                  /* (B, K): the main model's ids */
    int64_t rows, most, begin, end;
} Draft;

void literatim_propose(const Draft *draft, const Pool *pool) {
    for (int64_t k = 0; k < draft->most; k++) {
        if (draft->logits) literatim_logits(draft->logits, pool);
#if defined(__AVX512VNNI__)
        else literatim_choose(draft->screen, draft->choice, pool);
#endif
        literatim_pick(draft->pick, pool);
        for (int64_t row = 0; row < draft->rows; row++) {
            const int32_t id = draft->found[row], known = draft->to_main ? draft->to_main[id] : id;
            const int32_t main = known < 0 ? 0 : known; /* where nothing at all was likely */
            const int stamped = draft->begin >= 0 && id >= draft->begin && id < draft->end;
            draft->penultimate[row] = draft->last[row];
            draft->last[row] = (uint8_t)stamped;
            if (stamped) draft->stamps[row] = id;
            draft->out[row * draft->most + k] = main;
            draft->fed[row] = draft->to_own ? draft->to_own[main] : main;
        }
        if (k + 1 == draft->most) return;
        literatim_step(draft->model, draft->step, pool);
        for (int64_t row = 0; row < draft->rows; row++) draft->lengths[row]++;
    }
}
