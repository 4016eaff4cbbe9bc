/* The arithmetic of an encoder. Compiled once for each kind of processor, with NAME the name
   of its table: AVX2, with VNNI also its instruction for 8-bit products, with WIDE AVX-512. */
#include "encoder.h"

#ifdef EMULATED /* by tests, on processors without these instructions */
#include EMULATED
#else
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* --- vectors --------------------------------------------------------------------------- */

#ifdef WIDE
#define LANES 16
#else
#define LANES 8
#endif
#define PANEL (2 * LANES)

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int8_t vb __attribute__((vector_size(LANES), aligned(1), may_alias));

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf x) { *(vf *)p = x; }
INLINE vf bytes(const int8_t *p) { return __builtin_convertvector(*(const vb *)p, vf); }
INLINE vf floats(vi x) { return __builtin_convertvector(x, vf); }
INLINE vi four(const uint8_t *p) {
  int32_t x;
  memcpy(&x, p, 4);
  return (vi){0} + x;
}

#ifdef WIDE
enum { ROWS = 8, TOGETHER = 12 };
INLINE vf all(float x) { return (vf)_mm512_set1_ps(x); }
INLINE vf larger(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf times_plus(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vi nearest(vf x) { return (vi)_mm512_cvtps_epi32((__m512)x); }
INLINE void put_bytes(uint8_t *p, vi x) {
  __m512i positive = _mm512_max_epi32((__m512i)x, _mm512_setzero_si512());
  _mm_storeu_si128((__m128i *)p, _mm512_cvtusepi32_epi8(positive));
}
INLINE vi dot(vi sum, vi a, vi b) {
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
}
#else
enum { ROWS = 4, TOGETHER = 6 };
INLINE vf all(float x) { return (vf)_mm256_set1_ps(x); }
INLINE vf larger(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf times_plus(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE vi nearest(vf x) { return (vi)_mm256_cvtps_epi32((__m256)x); }
INLINE void put_bytes(uint8_t *p, vi x) {
  __m256i y = (__m256i)x;
  __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
  _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
#ifdef VNNI
INLINE vi dot(vi sum, vi a, vi b) {
  return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
}
#else
/* Pairs are added in 16 bits: exact for weights of 7 bits, -63 to 63. */
INLINE vi dot(vi sum, vi a, vi b) {
  __m256i pairs = _mm256_maddubs_epi16((__m256i)a, (__m256i)b);
  return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#endif
#endif

/* Sums over a row are kept in 16 parts and added up in one order, whatever the vectors'
   length: the same bits then come out on every processor. */
enum { PARTS = 16 };
typedef struct {
  vf part[PARTS / LANES];
} Sum;

INLINE float total(Sum s) {
  float x[PARTS];
  memcpy(x, &s, sizeof x);
  for (int half = PARTS / 2; half; half /= 2)
    for (int i = 0; i < half; i++) x[i] += x[i + half];
  return x[0];
}

INLINE float highest(vf x) {
  float most = x[0];
  for (int i = 1; i < LANES; i++) most = x[i] > most ? x[i] : most;
  return most;
}

/* e to the x, for x up to 88; Cephes' polynomial. */
INLINE vf exponential(vf x) {
  x = larger(x, all(-87.3f));
  vi power = nearest(x * all(1.44269504f));
  vf n = floats(power);
  x = times_plus(n, all(-0.693359375f), x);
  x = times_plus(n, all(2.12194440e-4f), x);
  vf p = all(1.9875691500e-4f);
  p = times_plus(p, x, all(1.3981999507e-3f));
  p = times_plus(p, x, all(8.3334519073e-3f));
  p = times_plus(p, x, all(4.1665795894e-2f));
  p = times_plus(p, x, all(1.6666665459e-1f));
  p = times_plus(p, x, all(5.0000001201e-1f));
  p = times_plus(p, x * x, x) + all(1.0f);
  return (vf)((vi)p + (power << 23));
}

/* x / 2 (1 + erf(x / sqrt 2)); erf is formula 7.1.26 of Abramowitz and Stegun, to 1.5e-7. */
INLINE vf gelu(vf x) {
  vi sign = (vi)x & INT32_MIN;
  vf a = (vf)((vi)x & INT32_MAX) * all(0.70710678f);
  vf t = all(1.0f) / times_plus(a, all(0.3275911f), all(1.0f));
  vf p = all(1.061405429f);
  p = times_plus(p, t, all(-1.453152027f));
  p = times_plus(p, t, all(1.421413741f));
  p = times_plus(p, t, all(-0.284496736f));
  p = times_plus(p, t, all(0.254829592f));
  vf erf = all(1.0f) - p * t * exponential(-a * a);
  return all(0.5f) * x * (all(1.0f) + (vf)((vi)erf | sign));
}

INLINE void put_rounded(uint8_t *p, vf x, Rounding r) {
  put_bytes(p, nearest(x * all(r.inverse)) + r.zero);
}

/* --- linear layers in integers --------------------------------------------------------- */

enum { TO_HEADS, TO_SUM, TO_GELU, TO_GATE };

typedef struct {
  float *out; /* TO_HEADS: [3 * heads][rows][head]; TO_SUM: [rows][outputs], added to */
  size_t rows;
  int head;
  uint8_t *rounded; /* TO_GELU: [rows][outputs]; TO_GATE: [rows][outputs / 2] */
  const float *even;
  Rounding rounding;
} To;

INLINE vf value(const Linear *l, int column, vi sum) {
  vf x = floats(sum - *(const vi *)(l->offset + column));
  return times_plus(x, load(l->scale + column), load(l->bias + column));
}

INLINE void put_gated(const Linear *l, int row, int column, const vi *sum, const To *to) {
  vf x = gelu(value(l, column, sum[0])) * value(l, column + LANES, sum[1]);
  if (to->even) x *= load(to->even + column / 2);
  put_rounded(to->rounded + ((size_t)row * (size_t)l->outputs + (size_t)column) / 2, x,
              to->rounding);
}

INLINE void put(int kind, const Linear *l, int row, int column, vi sum, const To *to) {
  vf x = value(l, column, sum);
  size_t at = (size_t)row * (size_t)l->outputs + (size_t)column;
  if (kind == TO_HEADS) {
    size_t head = (size_t)(column / to->head) * to->rows + (size_t)row;
    store(to->out + head * (size_t)to->head + column % to->head, x);
  } else if (kind == TO_SUM) {
    store(to->out + at, x + load(to->out + at));
  } else {
    x = gelu(x);
    if (to->even) x *= load(to->even + column);
    put_rounded(to->rounded + at, x, to->rounding);
  }
}

/* Longer inputs are added up in parts, so that a panel of weights stays in the first cache. */
enum { DEEP = 512 };

typedef struct {
  const uint8_t *inputs;
  const int8_t *weights;
  int32_t *sums; /* of earlier parts: [rows][PANEL] */
  int quads, first, last;
} Part;

INLINE void tile(int kind, int rows, const Linear *l, const Part *part, int row, int column,
                 int32_t *sums, const To *to) {
  vi sum[ROWS][2];
  for (int r = 0; r < rows; r++)
    for (int h = 0; h < 2; h++)
      sum[r][h] = part->first ? (vi){0} : *(vi *)(sums + r * PANEL + h * LANES);
  const uint8_t *a = part->inputs + (size_t)row * (size_t)l->inputs;
  const int8_t *b = part->weights;
  size_t stride = (size_t)l->inputs;
  for (int k = 0; k < part->quads; k++, a += 4, b += 4 * PANEL) {
    vi b0 = *(const vi *)b, b1 = *(const vi *)(b + 4 * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      vi x = four(a + r * stride);
      sum[r][0] = dot(sum[r][0], x, b0);
      sum[r][1] = dot(sum[r][1], x, b1);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int h = 0; h < 2; h++)
      if (part->last && kind == TO_GATE) {
        if (h == 0) put_gated(l, row + r, column, sum[r], to);
      } else if (part->last)
        put(kind, l, row + r, column + h * LANES, sum[r][h], to);
      else
        *(vi *)(sums + r * PANEL + h * LANES) = sum[r][h];
}

/* Rows begin..end (MOST_ROWS at most) of the layer's outputs column..until. */
INLINE void product(int kind, const Linear *l, const uint8_t *inputs, int begin, int end,
                    int column, int until, const To *to) {
  int32_t sums[MOST_ROWS * PANEL];
  for (; column < until; column += PANEL)
    for (int k = 0; k < l->inputs; k += DEEP) {
      int deep = l->inputs - k < DEEP ? l->inputs - k : DEEP;
      Part part = {.inputs = inputs + k,
                   .weights = l->weights + (size_t)column * (size_t)l->inputs + k * PANEL,
                   .quads = deep / 4,
                   .first = k == 0,
                   .last = k + deep == l->inputs};
      int row = begin;
      for (; row + ROWS <= end; row += ROWS)
        tile(kind, ROWS, l, &part, row, column, sums + (row - begin) * PANEL, to);
      for (; row < end; row++)
        tile(kind, 1, l, &part, row, column, sums + (row - begin) * PANEL, to);
    }
}

/* Writes the row rounded for the next product, and over itself if it is to be kept. */
static void normalise(const Norm *n, float *x, uint8_t *rounded, int width, int keep) {
  Sum sum = {0}, squares = {0};
  for (int i = 0; i < width; i += PARTS)
    for (int p = 0; p < PARTS / LANES; p++) sum.part[p] += load(x + i + p * LANES);
  vf mean = all(total(sum) / (float)width);
  for (int i = 0; i < width; i += PARTS)
    for (int p = 0; p < PARTS / LANES; p++) {
      vf d = load(x + i + p * LANES) - mean;
      squares.part[p] = times_plus(d, d, squares.part[p]);
    }
  vf inverse = all(1.0f / sqrtf(total(squares) / (float)width + n->epsilon));
  for (int i = 0; i < width; i += LANES) {
    vf d = (load(x + i) - mean) * inverse;
    if (rounded)
      put_rounded(rounded + i, times_plus(d, load(n->even_weight + i), load(n->even_bias + i)),
                  n->rounding);
    if (keep) store(x + i, times_plus(d, load(n->weight + i), load(n->bias + i)));
  }
}

/* --- attention, in floating point ------------------------------------------------------ */

/* s = A B for `count` rows of A and one panel of the columns of B. */
INLINE void multiply(int count, int depth, const float *a, size_t a_stride, const float *b,
                     size_t b_stride, vf s[][2]) {
  for (int r = 0; r < count; r++) s[r][0] = s[r][1] = (vf){0};
  for (int k = 0; k < depth; k++, b += b_stride) {
    vf b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 12
    for (int r = 0; r < count; r++) {
      vf x = all(a[r * a_stride + k]);
      s[r][0] = times_plus(x, b0, s[r][0]);
      s[r][1] = times_plus(x, b1, s[r][1]);
    }
  }
}

/* Scores of some queries against one panel of keys. */
INLINE void scores(int count, const float *q, int head, const float *keys, float scale, float *out,
                   size_t width) {
  vf s[TOGETHER][2];
  multiply(count, head, q, (size_t)head, keys, PANEL, s);
  for (int r = 0; r < count; r++)
    for (int h = 0; h < 2; h++) store(out + r * width + h * LANES, s[r][h] * all(scale));
}

/* Turns the scores `from`..`until` of a row into weights and returns the inverse of their sum. */
static float soften(float *row, int from, int until, size_t width) {
  for (int j = 0; j < from; j++) row[j] = -INFINITY;
  for (size_t j = (size_t)until; j < width; j++) row[j] = -INFINITY;
  vf most = load(row);
  for (size_t j = LANES; j < width; j += LANES) most = larger(most, load(row + j));
  most = all(highest(most));
  Sum sum = {0};
  for (size_t j = 0; j < width; j += PARTS)
    for (int p = 0; p < PARTS / LANES; p++) {
      vf weights = exponential(load(row + j + p * LANES) - most);
      store(row + j + p * LANES, weights);
      sum.part[p] += weights;
    }
  return 1.0f / total(sum);
}

/* One panel of the columns of `values`, weighed for some queries. */
INLINE void mix(int count, const float *weights, size_t width, const float *inverse, int tokens,
                const float *values, int head, Rounding rounding, uint8_t *out, size_t stride) {
  vf s[TOGETHER][2];
  multiply(count, tokens, weights, width, values, (size_t)head, s);
  for (int r = 0; r < count; r++)
    for (int h = 0; h < 2; h++)
      put_rounded(out + r * stride + h * LANES, s[r][h] * all(inverse[r]), rounding);
}

/* `call(n)` for tiles of n rows, i being the first row of a tile. */
#define IN_TILES(rows, call)                                     \
  do {                                                           \
    int i = 0;                                                   \
    for (; i + TOGETHER <= (rows); i += TOGETHER) call(TOGETHER); \
    for (; i + 2 <= (rows); i += 2) call(2);                     \
    for (; i < (rows); i++) call(1);                             \
  } while (0)

static void pack_keys(const float *k, int tokens, int head, float *keys) {
  for (int j = 0; j < tokens; j += PANEL, keys += PANEL * head) {
    int some = tokens - j < PANEL ? tokens - j : PANEL;
    if (some < PANEL) memset(keys, 0, sizeof(float) * (size_t)(PANEL * head));
    for (int r = 0; r < some; r++, k += head)
      for (int d = 0; d < head; d++) keys[d * PANEL + r] = k[d];
  }
}

/* Rotary positions: each pair of numbers half a head apart is turned by its token's angles. */
static void turn(const Layer *l, float *x, int rows, int head) {
  int half = head / 2;
  for (int r = 0; r < rows; r++, x += head)
    for (int i = 0; i < half; i += LANES) {
      vf c = load(l->cosine + (size_t)r * (size_t)half + i);
      vf s = load(l->sine + (size_t)r * (size_t)half + i);
      vf a = load(x + i), b = load(x + half + i);
      store(x + i, times_plus(a, c, -(b * s)));
      store(x + half + i, times_plus(b, c, a * s));
    }
}

static int least(int a, int b) { return a < b ? a : b; }

static void attend(const Model *m, const Layer *l, float *qkv, size_t part, int tokens,
                   int queries, int from, int until, float *room, uint8_t *context) {
  int head = m->hidden / m->heads;
  size_t hidden = (size_t)m->hidden, most = (size_t)(tokens + PANEL - 1) / PANEL * PANEL;
  float *weights = room, *inverse = weights + QUERIES * most, *keys = inverse + QUERIES;
  for (int h = from; h < until; h++) {
    float *q = qkv + (size_t)h * part, *k = q + hidden / (size_t)head * part;
    const float *v = k + hidden / (size_t)head * part;
    uint8_t *out = context + h * head;
    if (l->cosine) {
      turn(l, q, queries, head);
      turn(l, k, tokens, head);
    }
    pack_keys(k, tokens, head, keys);
    for (int begin = 0; begin < queries; begin += QUERIES) {
      int rows = queries - begin < QUERIES ? queries - begin : QUERIES;
      /* The keys that these queries see begin at a multiple of every panel. */
      int seen = 0, end = tokens;
      if (l->window >= 0) {
        seen = begin > l->window ? (begin - l->window) / WIDEST_PANEL * WIDEST_PANEL : 0;
        end = least(tokens, begin + rows + l->window);
      }
      size_t width = (size_t)(end - seen + PANEL - 1) / PANEL * PANEL;
#define SCORES(n)                                                                           \
  scores(n, q + (size_t)i * head, head, keys + ((size_t)seen + j) * (size_t)head,           \
         m->score_scale, weights + (size_t)i * width + j, width)
      for (size_t j = 0; j < width; j += PANEL) IN_TILES(rows, SCORES);
      for (int i = 0; i < rows; i++) {
        int first = 0, last = end - seen;
        if (l->window >= 0) {
          int row = begin + i - seen;
          first = row > l->window ? row - l->window : 0;
          last = least(last, row + l->window + 1);
        }
        inverse[i] = soften(weights + (size_t)i * width, first, last, width);
      }
#define MIX(n)                                                                              \
  mix(n, weights + (size_t)i * width, width, inverse + i, end - seen,                       \
      v + (size_t)seen * head + c, head, l->context, out + (size_t)i * hidden + c, hidden)
      for (int c = 0; c < head; c += PANEL) IN_TILES(rows, MIX);
      q += (size_t)rows * (size_t)head, out += (size_t)rows * hidden;
    }
  }
}

/* --- the steps of a layer -------------------------------------------------------------- */

static void embed(const Model *m, const Sequence *s, int begin, int end, float *h, uint8_t *x) {
  size_t hidden = (size_t)m->hidden;
  for (size_t row = (size_t)begin; row < (size_t)end; row++) {
    size_t word = (size_t)s->ids[row] * hidden;
    size_t at = s->places ? (size_t)s->places[row] : row;
    const float *place = m->places ? m->places + at * hidden : NULL;
    const float *type = m->types ? m->types + (size_t)s->types[row] * hidden : NULL;
    for (size_t i = 0; i < hidden; i += LANES) {
      vf w;
      if (m->words)
        w = bytes(m->words + word + i) * all(m->word_scales[s->ids[row]]);
      else
        w = load(m->word_floats + word + i);
      if (type) w += load(type + i);
      if (place) w += load(place + i);
      store(h + row * hidden + i, w);
    }
    normalise(&m->first, h + row * hidden, x + row * hidden, m->hidden, 1);
  }
}

static void project(const Model *m, const Linear *l, const uint8_t *x, int begin, int end,
                    int column, int until, size_t rows, float *qkv) {
  To to = {.out = qkv, .rows = rows, .head = m->hidden / m->heads};
  product(TO_HEADS, l, x, begin, end, column, until, &to);
}

static void forward(const Model *m, const Layer *l, int last, const uint8_t *context, int begin,
                    int end, float *h, uint8_t *x, uint8_t *inner) {
  size_t hidden = (size_t)m->hidden, rows = (size_t)(end - begin);
  context += (size_t)begin * hidden, h += (size_t)begin * hidden, x += (size_t)begin * hidden;
  To sum = {.out = h};
  To up = {.rounded = inner, .even = l->even, .rounding = l->gelu};
  product(TO_SUM, &l->out, context, 0, (int)rows, 0, m->hidden, &sum);
  for (size_t r = 0; r < rows; r++)
    normalise(&l->middle, h + r * hidden, x + r * hidden, m->hidden, !m->before);
  if (l->gated)
    product(TO_GATE, &l->up, x, 0, (int)rows, 0, l->up.outputs, &up);
  else
    product(TO_GELU, &l->up, x, 0, (int)rows, 0, m->inner, &up);
  product(TO_SUM, &l->down, inner, 0, (int)rows, 0, m->hidden, &sum);
  for (size_t r = 0; r < rows; r++)
    normalise(&l->end, h + r * hidden, last ? NULL : x + r * hidden, m->hidden,
              last || !m->before);
}

/* One row of a small layer in floating point. */
static void dense(int bent, const float *x, const float *weight, const float *bias, int inputs,
                  int outputs, float *y) {
  for (int o = 0; o < outputs; o++, weight += inputs) {
    Sum sum = {0};
    for (int i = 0; i < inputs; i += PARTS)
      for (int p = 0; p < PARTS / LANES; p++) {
        int at = i + p * LANES;
        sum.part[p] = times_plus(load(x + at), load(weight + at), sum.part[p]);
      }
    float z = total(sum) + bias[o];
    if (bent == TANH) {
      /* tanh z = 1 - 2 / (e^2z + 1), beyond 20 only 1 is left. */
      vf bounded = all(z > 20 ? 20 : z < -20 ? -20 : z);
      z = (all(1.0f) - all(2.0f) / (exponential(bounded + bounded) + all(1.0f)))[0];
    } else if (bent == GELU) {
      z = gelu(all(z))[0];
    } else if (bent == RELU) {
      z = z > 0 ? z : 0;
    }
    y[o] = z;
  }
}

const Kernels NAME = {PANEL, embed, project, attend, forward, dense, normalise};
