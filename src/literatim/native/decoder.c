/* A Transformer decoder's step on a CPU: embeddings to the last norm in one call.
 *
 * By the order of all sums (common.h) a token is the same alone and in any batch, tried by itself or with others.
 * Weights, keys and values are float32 or bfloat16 ("half"), and what they are multiplied with is rounded to the same
 * once, where it is made; sums, the residual and all else are float32. The keys of attention are a packed matrix whose
 * columns are positions, the values one whose inputs are positions.
 *
 * Letters of shapes as in models/whisper.py; Cp is C filled up to LANES.
 */
#include "common.h"

#define QUERIES 12 /* attended to at once, so that their scores stay in a core's cache */

typedef struct {
    const void *weight; /* packed (K, N) */
    const float *bias;  /* (N filled up), or zeros */
    int64_t inputs, outputs;
} Linear;

typedef struct {
    const float *weight, *bias; /* (D,) */
} Norm;

typedef struct {
    Norm before_text;
    Linear qkv, out;
    Norm before_sound;
    Linear query, out_sound;
    Norm before_mlp;
    Linear fc1, fc2;
} Layer;

typedef struct {
    int64_t width, heads, layers, half, places;
    const void *tokens, *positions; /* (V, D), (P, D) */
    const Layer *layer;
    Norm norm;
} Model;

/* Strides in bytes, of a layer, a row and a head. */
typedef struct {
    char *keys, *values;
    int64_t layer, row, head, size; /* `size`: positions there are places for */
} Memory;

typedef struct {
    const int32_t *tokens, *lengths; /* (B, K), (B,) */
    int64_t rows, fed, heard;        /* B, K, S */
    Memory text, sound;
    float *x, *wide;                    /* (B K, D), and (B K, 3 D) or in the model's dtype (B K, F) */
    void *narrow;                       /* (B K, D) in the model's dtype */
    float *scratch;                     /* per thread */
    int64_t wide_row, narrow_row;       /* bytes from row to row */
    int64_t scratch_size;               /* floats of one thread */
    _Atomic int32_t *jobs;              /* PHASES L + 2 */
    void *out;                          /* (B, K, D) in the model's dtype */
    const int32_t *watched;             /* (L, H): which of the heads of interest it is, or -1; null where none is */
    float *seen;                        /* (A, B, K, S): scores over the sound of the heads of interest */
} Step;

/* What is worked on. */
typedef struct {
    const Model *model;
    const Step *step;
} Task;

INLINE const Model *model_of(const Worker *worker) { return ((const Task *)worker->shared->task)->model; }
INLINE const Step *step_of(const Worker *worker) { return ((const Task *)worker->shared->task)->step; }

/* x (1 + erf(x / sqrt 2)) / 2, with erf(t) = 1 - exp(-t P(t)); P was fitted to 2e-9 of erf on [0, 4]. */
INLINE vf gelu(vf x) {
    static const float fit[] = {-8.043825800996274e-06f,  0.00010602668044157326f, -0.0005879508098587394f,
                                0.0015767603181302547f,   -5.8781715779332444e-05f, -0.019217142835259438f,
                                0.10279920697212219f,     0.6366161108016968f,     1.1283793449401855f};
    vf t = (vf)((vi)(x * 0.707106781f) & 0x7fffffff);
    t = (vf)(((vi)t & ~(t > 4.0f)) | ((vi)all(4.0f) & (t > 4.0f)));
    vf p = all(fit[0]);
    for (int i = 1; i < 9; i++) p = fused(p, t, all(fit[i]));
    vf rest = exponential(-t * p); /* erfc(t) */
    vf half = x * 0.5f;
    return (vf)(((vi)(half * (2.0f - rest)) & ~(x < 0.0f)) | ((vi)(half * rest) & (x < 0.0f)));
}

enum { STORE, GELU, ADD };
enum { PHASES = 11 }; /* of a layer */
enum { COLUMNS = 4, ROWS = 48 }; /* blocks and rows of one job's piece, whose results stay in a core's cache */

/* So many numbers in the model's dtype; `from` has whole LANES of them. */
INLINE void put_all(void *to, const float *from, int64_t count, int half) {
    for (int64_t at = 0; at < count && !half; at += LANES)
        copy((float *)to + at, from + at, (count - at) * 4, LANES * 4);
    for (int64_t at = 0; at < count && half; at += LANES) {
        uint16_t lanes[LANES];
        EACH(p, PARTS) {
            const vi bits = to_halves(load(from + at + p * (WIDTH / 4)));
            for (int i = 0; i < WIDTH / 4; i++) lanes[p * (WIDTH / 4) + i] = (uint16_t)bits[i];
        }
        copy((uint16_t *)to + at, lanes, (count - at) * 2, LANES * 2);
    }
}

/* Bias, and what is done with the result (rows, width) before it is written to `out`. */
static void finish(const float *from, int64_t rows, int64_t width, const float *bias, int how, int half, char *out,
                   int64_t out_row) {
    for (int64_t m = 0; m < rows; m++, from += COLUMNS * LANES, out += out_row) {
        float row[COLUMNS * LANES];
        for (int64_t n = 0; n < COLUMNS * LANES; n += WIDTH / 4) {
            vf value = load(from + n) + load(bias + n);
            store(row + n, how == GELU ? gelu(value) : value);
        }
        if (how == ADD)
            for (int64_t n = 0; n < width; n++) ((float *)out)[n] += row[n];
        else put_all(out, row, width, how == GELU && half);
    }
}

/* One phase: x (M, K) in the model's dtype times a linear layer, shared by the team; with GELU, `out` is in that dtype
 * too. Rows are so many bytes apart. */
static void linear(Worker *worker, const Linear *layer, const void *x, int64_t x_row, int64_t m_count, int how,
                   void *out, int64_t out_row, float *scratch) {
    const int half = (int)model_of(worker)->half;
    const int64_t steps = steps_of(half, layer->inputs), block = steps * LINE, unit = how == GELU && half ? 2 : 4;
    const int64_t blocks = (layer->outputs + LANES - 1) / LANES;
    const int64_t each = blocks >= 2 * COLUMNS * worker->team ? COLUMNS : 2;
    for (int64_t b; (b = each * next_job(worker)) < blocks;) {
        const int64_t some = blocks - b < each ? blocks - b : each, left = layer->outputs - b * LANES;
        for (int64_t m = 0; m < m_count; m += ROWS) {
            const int64_t rows = m_count - m < ROWS ? m_count - m : ROWS;
            multiply(half, (const char *)x + m * x_row, x_row, rows, (const char *)layer->weight + b * block, steps,
                     block, some, scratch, COLUMNS * LANES);
            finish(scratch, rows, left < some * LANES ? left : some * LANES, layer->bias + b * LANES, how, half,
                   (char *)out + m * out_row + b * LANES * unit, out_row);
        }
    }
    wait_for_all(worker);
}

INLINE void give(void *to, const vf *parts, int64_t count, int half) {
    float lanes[LANES];
    EACH(p, PARTS) store(lanes + p * (WIDTH / 4), parts[p]);
    put_all(to, lanes, count < LANES ? count : LANES, half);
}

/* One phase: rows (M, D) less their mean, by their deviation (eps 1e-5), times weight plus bias; `out` in the model's
 * dtype, its rows so many bytes apart. */
static void normalise(Worker *worker, const Norm *norm, const float *x, int64_t m_count, char *out, int64_t out_row) {
    const int64_t width = model_of(worker)->width, half = model_of(worker)->half;
    for (int64_t m; (m = next_job(worker)) < m_count;) {
        const float *row = x + m * width;
        vf sums[PARTS], squares[PARTS], values[PARTS], weights[PARTS], biases[PARTS];
        EACH(p, PARTS) sums[p] = squares[p] = (vf){0};
        for (int64_t at = 0; at < width; at += LANES) {
            take(values, row + at, width - at);
            EACH(p, PARTS) sums[p] += values[p];
        }
        const float mean = sum_lanes(sums) / width;
        for (int64_t at = 0; at < width; at += LANES) {
            float apart[LANES] = {0};
            take(values, row + at, width - at);
            EACH(p, PARTS) values[p] -= mean;
            give(apart, values, width - at, 0);
            take(values, apart, LANES);
            EACH(p, PARTS) squares[p] = fused(values[p], values[p], squares[p]);
        }
        const float by = 1.0f / sqrtf(sum_lanes(squares) / width + 1e-5f);
        for (int64_t at = 0; at < width; at += LANES) {
            take(values, row + at, width - at);
            take(weights, norm->weight + at, width - at);
            take(biases, norm->bias + at, width - at);
            EACH(p, PARTS) values[p] = fused((values[p] - mean) * by, weights[p], biases[p]);
            give(out + m * out_row + at * (half ? 2 : 4), values, width - at, (int)half);
        }
    }
    wait_for_all(worker);
}

/* ---- attention ---- */

/* One position's key and value (C,) into a head's packed ones, which have places for `filled` channels and for `size`
 * positions. */
INLINE void remember(const int half, const float *key, const float *value, int64_t t, int64_t channels, int64_t filled,
                     int64_t size, char *keys, char *values) {
    const int64_t unit = half ? 2 : 4;
    keys += t / LANES * filled * LANES * unit + t % LANES * 4;
    values += half ? t / 2 * LINE + t % 2 * 2 : t * LINE;
    for (int64_t c = 0; c < channels; c += LANES, values += size * LANES * unit) {
        const int64_t some = channels - c < LANES ? channels - c : LANES;
        float row[2][LANES] = {0};
        char of_key[LINE], of_value[LINE];
        copy(row[0], key + c, some * 4, LANES * 4);
        copy(row[1], value + c, some * 4, LANES * 4);
        put_all(of_key, row[0], LANES, half);
        put_all(of_value, row[1], LANES, half);
        for (int64_t i = 0; i < steps_of(half, some); i++)
            memcpy(keys + (steps_of(half, c) + i) * LINE, of_key + i * 4, 4);
        for (int64_t i = 0; i < some; i++) {
            if (half && t % 2 == 0) memset(values + i * 4 + 2, 0, 2); /* what is not there yet must be no NaN */
            memcpy(values + i * 4, of_value + i * unit, unit);
        }
    }
}

/* Queries (K, C) of one head, `scale`d, over its first positions, `first` + the query's number + 1 of them or, where
 * `step` is 0, `first`. Rows are so many bytes apart; `out` is in the model's dtype. `seen`, unless it is null, is given
 * the scores (K, first) before the softmax. */
static void attend(int half, const char *query, int64_t query_row, int64_t count, int64_t channels, float scale,
                   const char *keys, const char *values, int64_t size, int64_t first, int step, char *out,
                   int64_t out_row, float *seen, float *scratch) {
    const int64_t filled = (channels + LANES - 1) / LANES * LANES, unit = half ? 2 : 4;
    for (int64_t done = 0; done < count; done += QUERIES) {
        const int64_t some = count - done < QUERIES ? count - done : QUERIES;
        const int64_t last = step ? first + done + some : first, blocks = (last + LANES - 1) / LANES;
        float *scaled = scratch, *scores = scaled + QUERIES * filled, *sums = scores + QUERIES * size;
        float by[QUERIES];
        for (int64_t q = 0; q < some; q++) {
            const float *from = (const float *)(query + (done + q) * query_row);
            float row[LANES];
            for (int64_t c = 0; c < filled; c += LANES) {
                for (int64_t i = 0; i < LANES; i++) row[i] = c + i < channels ? from[c + i] * scale : 0;
                put_all((char *)scaled + (q * filled + c) * unit, row, LANES, half);
            }
        }
        multiply(half, scaled, filled * unit, some, keys, steps_of(half, filled), filled * LANES * unit, blocks, scores,
                 size);
        for (int64_t q = 0; q < some && seen; q++)
            memcpy(seen + (done + q) * first, scores + q * size, first * sizeof(float));
        for (int64_t q = 0; q < some; q++)
            by[q] = 1.0f / soften(scores + q * size, step ? first + done + q + 1 : first, blocks * LANES, half);
        multiply(half, scores, size * 4, some, values, steps_of(half, last), size * LANES * unit, filled / LANES, sums,
                 filled);
        for (int64_t q = 0; q < some; q++, sums += filled) {
            for (int64_t c = 0; c < channels; c++) sums[c] *= by[q];
            put_all(out + (done + q) * out_row, sums, channels, half);
        }
    }
}

/* One phase: the new keys and values of qkv (B K, 3 D) into the text's memory, and attention over it. */
static void attend_text(Worker *worker, int64_t index, float *scratch) {
    const Model *model = model_of(worker);
    const Step *step = step_of(worker);
    const int half = (int)model->half;
    const int64_t heads = model->heads, channels = model->width / heads, unit = half ? 2 : 4;
    const int64_t filled = (channels + LANES - 1) / LANES * LANES, size = step->text.size;
    const float scale = 1.0f / sqrtf((float)channels);
    for (int64_t job; (job = next_job(worker)) < step->rows * heads;) {
        const int64_t row = job / heads, head = job % heads, length = step->lengths[row];
        const int64_t place = index * step->text.layer + row * step->text.row + head * step->text.head;
        char *keys = step->text.keys + place, *values = step->text.values + place;
        const char *queries = (const char *)step->wide + row * step->fed * step->wide_row + head * channels * 4;
        for (int64_t k = 0; k < step->fed; k++) {
            const float *key = (const float *)(queries + k * step->wide_row) + model->width;
            const float *value = key + model->width;
            if (half) remember(1, key, value, length + k, channels, filled, size, keys, values);
            else remember(0, key, value, length + k, channels, filled, size, keys, values);
        }
        attend(half, queries, step->wide_row, step->fed, channels, scale, keys, values, size, length, 1,
               (char *)step->narrow + row * step->fed * step->narrow_row + head * channels * unit, step->narrow_row,
               0, scratch);
    }
    wait_for_all(worker);
}

/* One phase: queries (B K, D) in `wide` over the sound. */
static void attend_sound(Worker *worker, int64_t index, float *scratch) {
    const Model *model = model_of(worker);
    const Step *step = step_of(worker);
    const int64_t heads = model->heads, channels = model->width / heads, unit = model->half ? 2 : 4;
    const float scale = 1.0f / sqrtf((float)channels);
    for (int64_t job; (job = next_job(worker)) < step->rows * heads;) {
        const int64_t row = job / heads, head = job % heads, at = row * step->fed;
        const int64_t place = index * step->sound.layer + row * step->sound.row + head * step->sound.head;
        const int64_t watched = step->watched ? step->watched[index * heads + head] : -1;
        float *seen = watched < 0 ? 0 : step->seen + (watched * step->rows + row) * step->fed * step->heard;
        attend((int)model->half, (const char *)step->wide + at * step->wide_row + head * channels * 4, step->wide_row,
               step->fed, channels, scale, step->sound.keys + place, step->sound.values + place, step->sound.size,
               step->heard, 0, (char *)step->narrow + at * step->narrow_row + head * channels * unit,
               step->narrow_row, seen, scratch);
    }
    wait_for_all(worker);
}

/* ---- the step ---- */

/* One phase: token and position. */
static void embed(Worker *worker) {
    const Model *model = model_of(worker);
    const Step *step = step_of(worker);
    for (int64_t m; (m = next_job(worker)) < step->rows * step->fed;) {
        int64_t place = step->lengths[m / step->fed] + m % step->fed;
        if (place >= model->places) place = model->places - 1;
        const int64_t token = (int64_t)step->tokens[m] * model->width;
        for (int64_t at = 0; at < model->width; at++)
            step->x[m * model->width + at] = element(model->tokens, token + at, model->half) +
                                             element(model->positions, place * model->width + at, model->half);
    }
    wait_for_all(worker);
}

static void work(void *given) {
    Worker self = join(given), *worker = &self;
    const Model *model = model_of(worker);
    const Step *step = step_of(worker);
    const int64_t rows = step->rows * step->fed, width = model->width, row = width * 4;
    const int64_t wide = step->wide_row, narrow = step->narrow_row;
    float *scratch = step->scratch + self.me * step->scratch_size;
    embed(worker);
    for (int64_t index = 0; index < model->layers; index++) {
        const Layer *layer = model->layer + index;
        normalise(worker, &layer->before_text, step->x, rows, step->narrow, narrow);
        linear(worker, &layer->qkv, step->narrow, narrow, rows, STORE, step->wide, wide, scratch);
        attend_text(worker, index, scratch);
        linear(worker, &layer->out, step->narrow, narrow, rows, ADD, step->x, row, scratch);
        normalise(worker, &layer->before_sound, step->x, rows, step->narrow, narrow);
        linear(worker, &layer->query, step->narrow, narrow, rows, STORE, step->wide, wide, scratch);
        attend_sound(worker, index, scratch);
        linear(worker, &layer->out_sound, step->narrow, narrow, rows, ADD, step->x, row, scratch);
        normalise(worker, &layer->before_mlp, step->x, rows, step->narrow, narrow);
        linear(worker, &layer->fc1, step->narrow, narrow, rows, GELU, step->wide, wide, scratch);
        linear(worker, &layer->fc2, step->wide, wide, rows, ADD, step->x, row, scratch);
    }
    normalise(worker, &model->norm, step->x, rows, step->out, width * (model->half ? 2 : 4));
    leave(worker);
}

void literatim_step(const Model *model, const Step *step, const Pool *pool) {
    Task task = {model, step};
    together(pool, work, &task, step->jobs, PHASES * model->layers + 2);
}

/* ---- listening ---- */

/* Rows of a matrix (T, C), as the inputs of a packed one that has places for `size`; whole blocks of C. */
INLINE void pack_inputs(const int half, const void *from, int64_t row, int64_t count, int64_t channels, int64_t size,
                        void *to) {
    for (int64_t c = 0; c < channels; c += LANES)
        for (int64_t t = 0; t < count; t++)
            for (int64_t lane = 0; lane < LANES; lane++) {
                const int64_t place = c * size + t / 2 * 2 * LANES + (half ? lane * 2 + t % 2 : t % 2 * LANES + lane);
                if (half) ((uint16_t *)to)[place] = ((const uint16_t *)from)[t * row + c + lane];
                else ((float *)to)[place] = ((const float *)from)[t * row + c + lane];
            }
}

/* Encoder states' keys and values (S, 2, H, Cp) of one layer into a row of the sound's memory. */
void literatim_listen(int64_t half, const void *from, int64_t count, int64_t heads, int64_t filled, const Memory *sound,
                      int64_t layer, int64_t row) {
    const int64_t place = layer * sound->layer + row * sound->row, size = half ? 2 : 4;
    for (int64_t head = 0; head < heads; head++) {
        const char *keys = (const char *)from + head * filled * size, *values = keys + heads * filled * size;
        char *to_keys = sound->keys + place + head * sound->head, *to_values = sound->values + place + head * sound->head;
        pack((int)half, keys, 2 * heads * filled, count, filled, to_keys);
        if (half) {
            pack_inputs(1, values, 2 * heads * filled, count, filled, sound->size, to_values);
        } else {
            pack_inputs(0, values, 2 * heads * filled, count, filled, sound->size, to_values);
        }
    }
}
