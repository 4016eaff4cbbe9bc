/* A transformer encoder with 8-bit products: what Python hands over, and what runs it. */
#ifndef SECONDPASS_ENCODER_H
#define SECONDPASS_ENCODER_H

#include <stddef.h>
#include <stdint.h>

/* outputs = (inputs (u8) x weights (s8) - offset) * scale + bias */
typedef struct {
  const int8_t *weights; /* [outputs / panel][inputs / 4][panel][4] */
  const int32_t *offset; /* zero point of the inputs times the sum of a column */
  const float *scale, *bias;
  int32_t inputs, outputs; /* multiples of 4 and of the panel */
} Linear;

/* An activation x becomes the integer x * inverse + zero, 0 to 255. */
typedef struct {
  float inverse;
  int32_t zero;
} Rounding;

/* One normalisation with two sets of factors: as it is, and rounded for the next product. */
typedef struct {
  const float *weight, *bias, *even_weight, *even_bias;
  float epsilon;
  Rounding rounding;
} Norm;

/* With `gated`, the columns of `up` alternate: half a panel of inputs of GELU, half a panel
   of what its output is multiplied by. */
typedef struct {
  Linear query_key_value, out, up, down;
  Rounding context;  /* of what attention gives */
  const float *even; /* factors behind GELU and gate, or NULL */
  Rounding gelu;
  Norm middle, end;
  int32_t gated;
  int32_t window; /* tokens on each side that a token attends to, or -1: all */
  const float *cosine, *sine; /* rotary positions, [positions][head / 2], or NULL */
} Layer;

typedef struct {
  int32_t hidden, heads, inner, layers;
  int32_t vocabulary, positions, kinds;
  int32_t first_only; /* the last layer is wanted of the first token alone */
  int32_t before;     /* norms are before the halves of a layer, not after them */
  float score_scale;
  const int8_t *words; /* with a scale for each, or NULL where `word_floats` has them */
  const float *word_scales, *word_floats;
  const float *places, *types; /* or NULL */
  Norm first;
  const Layer *layer;
} Model;

/* `out` gets rows of `width` floats: one a token, or one alone if the model is `first_only`. */
typedef struct {
  const int32_t *ids, *types;
  const int32_t *places; /* rows of the table of positions, or NULL: they count from 0 */
  int32_t tokens;
  float *out;
} Sequence;

/* The arithmetic, in the instructions of one kind of processor. Rows are tokens; begin and
   end count within the rows that are worked on together. `part` is the distance between
   heads, and between query, key and value, in `qkv`: [3][heads][rows][head]. */
typedef struct {
  int panel;
  void (*embed)(const Model *, const Sequence *, int begin, int end, float *h, uint8_t *x);
  void (*project)(const Model *, const Linear *, const uint8_t *x, int begin, int end,
                  int column, int until, size_t rows, float *qkv);
  void (*attend)(const Model *, const Layer *, float *qkv, size_t part, int tokens,
                 int queries, int head, int until, float *room, uint8_t *context);
  void (*forward)(const Model *, const Layer *, int last, const uint8_t *context, int begin,
                  int end, float *h, uint8_t *x, uint8_t *inner);
  void (*dense)(int bent, const float *x, const float *weight, const float *bias, int inputs,
                int outputs, float *y);
  void (*normalize)(const Norm *, float *x, uint8_t *rounded, int rows, int width, int keep);
  double (*spin)(int integer, int rounds);
} Kernels;

enum { STRAIGHT, TANH, GELU, RELU }; /* what `dense` is bent by */

enum { MOST_ROWS = 64, QUERIES = 24, WIDEST_PANEL = 32 };

/* Floats of room that `attend` needs for a sequence. */
static inline size_t attention_room(const Model *m, int tokens) {
  size_t width = (size_t)(tokens + WIDEST_PANEL - 1) / WIDEST_PANEL * WIDEST_PANEL;
  return (width + 1) * QUERIES + width * (size_t)(m->hidden / m->heads);
}

#endif
