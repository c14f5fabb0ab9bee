/* One token of a Qwen2-family decoder: int8 weights, float32 numbers, one thread.
 *
 * The same arithmetic as decoder_step.py, which explains it; what is faster is that a weight is
 * read as one byte instead of four, and that no interpreter runs between the products. Weights are
 * exactly those of the int8 checkpoint. The vector they are multiplied by is rounded with one
 * scale, so that products add up exactly in 32-bit integers: to 16 bits up to 511 columns, to one
 * bit less for each doubling (`largest_level`).
 *
 * A matrix that an adapter changed is float32, column by column as decoder_weights.py lays it out.
 *
 * Legend as in decoder.py: D width, Q = heads * d, K = key-value heads * d, F inner width,
 * V vocabulary. The Python side is kernel/step.py; both change together with KERNEL_VERSION.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(_WIN32)
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

#define KERNEL_VERSION 1

/* [rows, columns]: either rows of int8 with a scale each, or float32 columns. */
typedef struct {
    const int8_t *levels;
    const float *row_scales;
    const float *columns_of;
    int64_t rows;
    int64_t columns;
} Matrix;

typedef struct {
    Matrix qkv, out, gate_up, down;
    const float *qkv_bias, *attention_norm, *mlp_norm;
} Layer;

typedef struct {
    int64_t n_layers, width, n_heads, n_kv_heads, head_dim, inner_width, capacity;
    float norm_epsilon, softmax_scale;
    const Layer *layers;
    Matrix head;
    const float *final_norm;
    /* room to work in */
    float *hidden, *normed, *added, *qkv_row, *mixed, *gate_up_row, *scores;
    int16_t *rounded;
} Model;

EXPORTED int64_t code2lora_kernel_version(void) { return KERNEL_VERSION; }

static float dot(const float *a, const float *b, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Products of `x` with the four rows that start at `levels`. */
static void dot_rows(const int8_t *levels, int64_t columns, const int16_t *x, int32_t sums[4])
{
    const int8_t *row[4] = {levels, levels + columns, levels + 2 * columns, levels + 3 * columns};
    int64_t at = 0;
#if defined(__AVX512BW__)
    __m512i wide[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512()};
    for (; at + 32 <= columns; at += 32) {
        const __m512i v = _mm512_loadu_si512((const void *)(x + at));
        for (int i = 0; i < 4; i++) {
            const __m256i bytes = _mm256_loadu_si256((const __m256i *)(row[i] + at));
            wide[i] = _mm512_add_epi32(wide[i], _mm512_madd_epi16(v, _mm512_cvtepi8_epi16(bytes)));
        }
    }
    for (int i = 0; i < 4; i++) sums[i] = _mm512_reduce_add_epi32(wide[i]);
#elif defined(__AVX2__)
    __m256i wide[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256()};
    for (; at + 16 <= columns; at += 16) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(x + at));
        for (int i = 0; i < 4; i++) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *)(row[i] + at));
            wide[i] = _mm256_add_epi32(wide[i], _mm256_madd_epi16(v, _mm256_cvtepi8_epi16(bytes)));
        }
    }
    for (int i = 0; i < 4; i++) {
        __m128i half = _mm_add_epi32(_mm256_castsi256_si128(wide[i]),
                                     _mm256_extracti128_si256(wide[i], 1));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
        sums[i] = _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
    }
#else
    for (int i = 0; i < 4; i++) sums[i] = 0;
#endif
    for (; at < columns; at++)
        for (int i = 0; i < 4; i++) sums[i] += (int32_t)x[at] * row[i][at];
}

/* The largest level of a vector, such that no 32-bit sum of `columns` products overflows. */
static float largest_level(int64_t columns)
{
    const float without_overflow = 2147483647.0f / (128.0f * (float)columns) - 1.0f;
    return without_overflow < 32767.0f ? without_overflow : 32767.0f;
}

static void times_levels(const Matrix *matrix, const float *x, int16_t *rounded, float *y)
{
    float largest = 0, poison = 0;
    for (int64_t i = 0; i < matrix->columns; i++) {
        const float size = fabsf(x[i]);
        largest = size > largest ? size : largest;
        poison += 0 * x[i]; /* not 0 where something is not finite */
    }
    if (poison != 0) {
        for (int64_t row = 0; row < matrix->rows; row++) y[row] = poison;
        return;
    }
    if (largest == 0) {
        memset(y, 0, (size_t)matrix->rows * sizeof(float));
        return;
    }
    const float to_level = largest_level(matrix->columns) / largest, from_level = 1 / to_level;
    for (int64_t i = 0; i < matrix->columns; i++) rounded[i] = (int16_t)rintf(x[i] * to_level);
    for (int64_t row = 0; row < matrix->rows; row += 4) {
        int32_t sums[4];
        dot_rows(matrix->levels + row * matrix->columns, matrix->columns, rounded, sums);
        for (int i = 0; i < 4; i++)
            y[row + i] = (float)sums[i] * from_level * matrix->row_scales[row + i];
    }
}

static void times_columns(const Matrix *matrix, const float *x, float *restrict y)
{
    memset(y, 0, (size_t)matrix->rows * sizeof(float));
    for (int64_t column = 0; column < matrix->columns; column++) {
        const float *restrict of = matrix->columns_of + column * matrix->rows;
        const float by = x[column];
        for (int64_t i = 0; i < matrix->rows; i++) y[i] += by * of[i];
    }
}

static void times(const Model *model, const Matrix *matrix, const float *x, float *y)
{
    if (matrix->levels)
        times_levels(matrix, x, model->rounded, y);
    else
        times_columns(matrix, x, y);
}

static void norm(const Model *model, const float *weight)
{
    const float *hidden = model->hidden;
    const float mean_square = dot(hidden, hidden, model->width) / (float)model->width;
    const float scale = 1 / sqrtf(mean_square + model->norm_epsilon);
    for (int64_t i = 0; i < model->width; i++) model->normed[i] = hidden[i] * weight[i] * scale;
}

static void add_to_hidden(const Model *model)
{
    for (int64_t i = 0; i < model->width; i++) model->hidden[i] += model->added[i];
}

/* e^x for x <= 0, as Cephes' expf has it (relative error 2e-7); compilers make a loop of it wide. */
static inline float exp_of_negative(float x)
{
    x = x < -87.0f ? -87.0f : x;
    const float n = rintf(x * 1.44269504f);
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const union { int32_t bits; float number; } power = {((int32_t)n + 127) << 23};
    return (p * r * r + r + 1) * power.number;
}

static void rotate(float *heads, int64_t n, int64_t head_dim, const float *cos, const float *sin)
{
    const int64_t half = head_dim / 2;
    for (int64_t head = 0; head < n; head++, heads += head_dim)
        for (int64_t i = 0; i < half; i++) {
            const float first = heads[i], second = heads[i + half];
            heads[i] = first * cos[i] - second * sin[i];
            heads[i + half] = second * cos[i] + first * sin[i];
        }
}

/* One query head over `seen` keys and values, both [seen, d]. */
static void attend_head(const Model *model, const float *query, const float *keys,
                        const float *values, int64_t seen, float *restrict mixed)
{
    const int64_t d = model->head_dim;
    float *scores = model->scores, largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < seen; i++) {
        scores[i] = dot(query, keys + i * d, d) * model->softmax_scale;
        largest = scores[i] > largest ? scores[i] : largest;
    }
    for (int64_t i = 0; i < seen; i++) scores[i] = exp_of_negative(scores[i] - largest);
    for (int64_t i = 0; i < seen; i++) sum += scores[i];
    memset(mixed, 0, (size_t)d * sizeof(float));
    for (int64_t i = 0; i < seen; i++)
        for (int64_t j = 0; j < d; j++) mixed[j] += scores[i] * values[i * d + j];
    for (int64_t j = 0; j < d; j++) mixed[j] /= sum;
}

static void attend(const Model *model, const Layer *layer, int64_t position, float *keys,
                   float *values, const float *cos, const float *sin)
{
    const int64_t d = model->head_dim, n_kv = model->n_kv_heads, n_heads = model->n_heads;
    float *row = model->qkv_row;
    times(model, &layer->qkv, model->normed, row);
    for (int64_t i = 0; i < layer->qkv.rows; i++) row[i] += layer->qkv_bias[i];
    rotate(row, n_heads + n_kv, d, cos, sin);
    for (int64_t kv = 0; kv < n_kv; kv++) {
        float *of_keys = keys + kv * model->capacity * d;
        float *of_values = values + kv * model->capacity * d;
        memcpy(of_keys + position * d, row + (n_heads + kv) * d, (size_t)d * sizeof(float));
        memcpy(of_values + position * d, row + (n_heads + n_kv + kv) * d,
               (size_t)d * sizeof(float));
        for (int64_t head = kv * (n_heads / n_kv); head < (kv + 1) * (n_heads / n_kv); head++)
            attend_head(model, row + head * d, of_keys, of_values, position + 1,
                        model->mixed + head * d);
    }
    times(model, &layer->out, model->mixed, model->added);
    add_to_hidden(model);
}

static void feed_forward(const Model *model, const Layer *layer)
{
    float *gate = model->gate_up_row, *up = gate + model->inner_width;
    times(model, &layer->gate_up, model->normed, gate);
    for (int64_t i = 0; i < model->inner_width; i++) {
        const float small = exp_of_negative(-fabsf(gate[i])); /* silu, whatever the sign */
        const float sigmoid = (gate[i] < 0 ? small : 1.0f) / (1.0f + small);
        gate[i] *= sigmoid * up[i];
    }
    times(model, &layer->down, gate, model->added);
    add_to_hidden(model);
}

/* `hidden` holds the last layer's output. Writes [V] logits. */
EXPORTED void code2lora_logits(const Model *model, float *logits)
{
    norm(model, model->final_norm);
    times(model, &model->head, model->normed, logits);
}

/* `hidden` holds the token's embedding. Keys and values are [L, K, capacity, d]; those at `position`
 * are written. `cos` and `sin` are of that position, [d / 2]. Writes [V] logits, unless null. */
EXPORTED void code2lora_decode_step(const Model *model, int64_t position, float *keys,
                                    float *values, const float *cos, const float *sin,
                                    float *logits)
{
    const int64_t of_layer = model->n_kv_heads * model->capacity * model->head_dim;
    for (int64_t i = 0; i < model->n_layers; i++) {
        const Layer *layer = model->layers + i;
        norm(model, layer->attention_norm);
        attend(model, layer, position, keys + i * of_layer, values + i * of_layer, cos, sin);
        norm(model, layer->mlp_norm);
        feed_forward(model, layer);
    }
    if (logits) code2lora_logits(model, logits);
}
