/* The arithmetic of an encoder. Compiled once for each kind of processor, with NAME the name
   of its table: AVX2, with VNNI also its instruction for 8-bit products, with WIDE AVX-512. */
#include "vectors.h"

/* Rows of a tile of products in integers and in floating point, as many as registers hold. */
#ifdef WIDE
enum { ROWS = 12, TOGETHER = 12 };
#elif defined VNNI
enum { ROWS = 6, TOGETHER = 6 };
#else
enum { ROWS = 4, TOGETHER = 6 };
#endif

/* `call(n)` for tiles of n rows, n being a constant to the compiler and i a tile's first row.
   Tiles are as even as they can be: one of few rows would wait for its own sums. */
#define IN_TILES(rows, most, call)                         \
  do {                                                     \
    int tiles_ = ((rows) + (most) - 1) / (most);           \
    for (int i = 0, n_; tiles_; i += n_, tiles_--) {       \
      n_ = ((rows) - i) / tiles_;                          \
      switch (n_) { CASES(call) }                          \
    }                                                      \
  } while (0)
#define CASE(n, call) \
  case n:             \
    call(n);          \
    break;
#define SIX_CASES(call)                           \
  CASE(1, call) CASE(2, call) CASE(3, call)       \
  CASE(4, call) CASE(5, call) CASE(6, call)
#ifdef WIDE
#define CASES(call)                               \
  SIX_CASES(call)                                 \
  CASE(7, call) CASE(8, call) CASE(9, call)       \
  CASE(10, call) CASE(11, call) CASE(12, call)
#else
#define CASES(call) SIX_CASES(call)
#endif

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

/* What a vector of the sums of some columns stands for. */
typedef struct {
  vi offset;
  vf scale, bias;
} Columns;

INLINE Columns columns(const Linear *l, int column) {
  return (Columns){*(const vi *)(l->offset + column), load(l->scale + column),
                   load(l->bias + column)};
}

INLINE vf value(Columns c, const int32_t *sums) {
  return times_plus(floats(*(const vi *)sums - c.offset), c.scale, c.bias);
}

/* One panel of some rows, from their sums, [rows][PANEL]. */
INLINE void put_gated(const Linear *l, int row, int rows, int column, const int32_t *sums,
                      const To *to) {
  Columns up = columns(l, column), gate = columns(l, column + LANES);
  vf even = to->even ? load(to->even + column / 2) : all(1.0f);
  size_t stride = (size_t)l->outputs / 2;
  uint8_t *out = to->rounded + (size_t)row * stride + column / 2;
  Rounding rounding = to->rounding;
  for (int r = 0; r < rows; r++, sums += PANEL, out += stride)
    put_rounded(out, gelu(value(up, sums)) * value(gate, sums + LANES) * even, rounding);
}

/* Half a panel of some rows. */
INLINE void put(int kind, const Linear *l, int row, int rows, int column, const int32_t *sums,
                const To *to) {
  Columns c = columns(l, column);
  vf even = kind == TO_GELU && to->even ? load(to->even + column) : all(1.0f);
  Rounding rounding = to->rounding;
  size_t stride = (size_t)l->outputs, at = (size_t)row * stride + (size_t)column;
  if (kind == TO_HEADS) {
    stride = (size_t)to->head;
    at = ((size_t)(column / to->head) * to->rows + (size_t)row) * stride + column % to->head;
  }
  for (int r = 0; r < rows; r++, sums += PANEL, at += stride) {
    vf x = value(c, sums);
    if (kind == TO_SUM) x += load(to->out + at);
    if (kind == TO_GELU)
      put_rounded(to->rounded + at, gelu(x) * even, rounding);
    else
      store(to->out + at, x);
  }
}

/* Adds the products of some rows with one part of a panel of weights to sums, [rows][PANEL].
   Meanwhile it fetches weights that are needed soon: a line every `step` bytes from `next`. */
INLINE void add_products(int rows, const uint8_t *a, size_t stride, const int8_t *b, int quads,
                         int first, int32_t *sums, const int8_t *next, size_t step) {
  vi sum[ROWS][2];
  for (int r = 0; r < rows; r++)
    for (int h = 0; h < 2; h++)
      sum[r][h] = first ? (vi){0} : *(const vi *)(sums + r * PANEL + h * LANES);
  for (int k = 0; k < quads; k++, a += 4, b += 4 * PANEL, next += step) {
    __builtin_prefetch(next);
    vi b0 = *(const vi *)b, b1 = *(const vi *)(b + 4 * LANES);
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
      vi x = four(a + r * stride);
      sum[r][0] = dot(sum[r][0], x, b0);
      sum[r][1] = dot(sum[r][1], x, b1);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int h = 0; h < 2; h++) *(vi *)(sums + r * PANEL + h * LANES) = sum[r][h];
}

/* Longer inputs are added up in parts, so that a panel of weights stays in the first cache. */
enum { DEEP = 512 };

/* Rows begin..end (MOST_ROWS at most) of the layer's outputs column..until. */
INLINE void product(int kind, const Linear *l, const uint8_t *inputs, int begin, int end,
                    int column, int until, const To *to) {
  int32_t sums[MOST_ROWS * PANEL];
  size_t stride = (size_t)l->inputs;
  for (; column < until; column += PANEL)
    for (int k = 0; k < l->inputs; k += DEEP) {
      int deep = least(l->inputs - k, DEEP), last = k + deep == l->inputs;
      const uint8_t *a = inputs + (size_t)begin * stride + k;
      const int8_t *b = l->weights + (size_t)column * stride + k * PANEL;
      /* The next part follows this one, and each tile fetches its share of it. */
      const int8_t *next = b + deep * PANEL;
#define ADD(n)                                                                             \
  add_products(n, a + (size_t)i * stride, stride, b, deep / 4, k == 0, sums + i * PANEL,   \
               next + i * deep * PANEL / (end - begin), (size_t)(4 * PANEL * n / (end - begin)))
      IN_TILES(end - begin, ROWS, ADD);
      if (!last) continue;
      if (kind == TO_GATE) {
        put_gated(l, begin, end - begin, column, sums, to);
      } else {
        put(kind, l, begin, end - begin, column, sums, to);
        put(kind, l, begin, end - begin, column + LANES, sums + LANES, to);
      }
    }
}

/* --- normalization --------------------------------------------------------------------- */

enum { ABREAST = 4 }; /* rows, because the sums of one alone would wait for each other */

/* Writes some rows rounded for the next product, and over themselves if they are to be kept. */
INLINE void normalise_rows(int rows, const Norm *n, float *x, uint8_t *rounded, int width,
                           int keep) {
  Sum sum[ABREAST] = {0}, squares[ABREAST] = {0};
  vf mean[ABREAST], inverse[ABREAST];
  for (int i = 0; i < width; i += PARTS)
    for (int r = 0; r < rows; r++)
      for (int p = 0; p < PARTS / LANES; p++)
        sum[r].part[p] += load(x + r * width + i + p * LANES);
  for (int r = 0; r < rows; r++) mean[r] = all(total(sum[r]) / (float)width);
  for (int i = 0; i < width; i += PARTS)
    for (int r = 0; r < rows; r++)
      for (int p = 0; p < PARTS / LANES; p++) {
        vf d = load(x + r * width + i + p * LANES) - mean[r];
        squares[r].part[p] = times_plus(d, d, squares[r].part[p]);
      }
  for (int r = 0; r < rows; r++)
    inverse[r] = all(1.0f / sqrtf(total(squares[r]) / (float)width + n->epsilon));
  for (int i = 0; i < width; i += LANES)
    for (int r = 0; r < rows; r++) {
      int at = r * width + i;
      vf d = (load(x + at) - mean[r]) * inverse[r];
      if (rounded)
        put_rounded(rounded + at, times_plus(d, load(n->even_weight + i), load(n->even_bias + i)),
                    n->rounding);
      if (keep) store(x + at, times_plus(d, load(n->weight + i), load(n->bias + i)));
    }
}

static void normalise(const Norm *n, float *x, uint8_t *rounded, int rows, int width, int keep) {
  for (int row = 0; row < rows;) {
    size_t at = (size_t)row * (size_t)width;
    uint8_t *to = rounded ? rounded + at : NULL;
    if (row + ABREAST <= rows) {
      normalise_rows(ABREAST, n, x + at, to, width, keep);
      row += ABREAST;
    } else {
      normalise_rows(1, n, x + at, to, width, keep);
      row++;
    }
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

/* Minus infinity for the lanes whose number, counted from `at`, is outside from..until. */
INLINE vf without(vf x, int at, int from, int until) {
  vi lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  vi inside = (lane + at >= from) & (lane + at < until);
  return (vf)(((vi)x & inside) | ((vi)all(-INFINITY) & ~inside));
}

/* Turns some rows of `width` scores into weights, and gives the inverse of each one's sum. Row
   i sees the keys from `first` + i - window to `first` + i + window, or all before `end`. */
static void soften(float *row, int rows, size_t width, int end, int first, int window,
                   float *inverse) {
  float most[QUERIES];
  Sum sums[QUERIES];
  size_t used = (size_t)(end + PARTS - 1) / PARTS * PARTS;
  float *x = row;
  for (int i = 0; i < rows; i++, x += width) {
    int from = 0, until = end;
    if (window >= 0) {
      from = first + i > window ? first + i - window : 0;
      until = least(end, first + i + window + 1);
    }
    for (int j = 0; j < from; j += LANES) store(x + j, without(load(x + j), j, from, until));
    for (int j = until / LANES * LANES; j < (int)used; j += LANES)
      store(x + j, without(load(x + j), j, from, until));
    vf high = load(x);
    for (size_t j = LANES; j < used; j += LANES) high = larger(high, load(x + j));
    most[i] = highest(high);
  }
  x = row;
  for (int i = 0; i < rows; i++, x += width) {
    vf high = all(most[i]);
    Sum sum = {0};
    for (size_t j = 0; j < used; j += PARTS)
      for (int p = 0; p < PARTS / LANES; p++) {
        vf weights = exponential(load(x + j + p * LANES) - high);
        store(x + j + p * LANES, weights);
        sum.part[p] += weights;
      }
    sums[i] = sum;
  }
  for (int i = 0; i < rows; i++) inverse[i] = 1.0f / total(sums[i]);
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

/* Eight rows of eight numbers become columns. */
INLINE void transpose(const float *from, size_t stride, float *to, size_t to_stride) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(from + (size_t)i * stride);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; j++) {
      a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
      a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xee);
    }
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(to + (size_t)i * to_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(to + (size_t)(i + 4) * to_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}

/* Keys become columns of panels, [tokens / PANEL][head][PANEL], with zeros behind the last. */
static void pack_keys(const float *k, int tokens, int head, float *keys) {
  for (int j = 0; j < tokens; j += PANEL, keys += PANEL * head) {
    int some = least(tokens - j, PANEL), r = 0;
    if (some < PANEL) memset(keys, 0, sizeof(float) * (size_t)(PANEL * head));
    for (; r + 8 <= some; r += 8, k += 8 * head)
      for (int d = 0; d < head; d += 8) transpose(k + d, (size_t)head, keys + d * PANEL + r, PANEL);
    for (; r < some; r++, k += head)
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
    int chunks = (queries + QUERIES - 1) / QUERIES;
    for (int begin = 0, rows; begin < queries; begin += rows, chunks--) {
      rows = (queries - begin) / chunks;
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
      for (size_t j = 0; j < width; j += PANEL) IN_TILES(rows, TOGETHER, SCORES);
      soften(weights, rows, width, end - seen, begin - seen, l->window, inverse);
#define MIX(n)                                                                              \
  mix(n, weights + (size_t)i * width, width, inverse + i, end - seen,                       \
      v + (size_t)seen * head + c, head, l->context, out + (size_t)i * hidden + c, hidden)
      for (int c = 0; c < head; c += PANEL) IN_TILES(rows, TOGETHER, MIX);
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
    normalise(&m->first, h + row * hidden, x + row * hidden, 1, m->hidden, 1);
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
  normalise(&l->middle, h, x, (int)rows, m->hidden, !m->before);
  if (l->gated)
    product(TO_GATE, &l->up, x, 0, (int)rows, 0, l->up.outputs, &up);
  else
    product(TO_GELU, &l->up, x, 0, (int)rows, 0, m->inner, &up);
  product(TO_SUM, &l->down, inner, 0, (int)rows, 0, m->hidden, &sum);
  normalise(&l->end, h, last ? NULL : x, (int)rows, m->hidden, last || !m->before);
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

/* Multiplies in registers alone, 8-bit integers or floats; returns the number of operations. */
static double spin(int integer, int rounds) {
  enum { SUMS = 12 }; /* enough that none waits for itself */
  vi sum[SUMS];
  vf product[SUMS];
  volatile float result;
  for (int i = 0; i < SUMS; i++) {
    sum[i] = (vi){0} + i;
    product[i] = all((float)i);
  }
  if (integer)
    for (int r = 0; r < rounds; r++)
#pragma GCC unroll 12
      for (int i = 0; i < SUMS; i++) sum[i] = dot(sum[i], sum[i], (vi){0} + 0x01010101);
  else
    for (int r = 0; r < rounds; r++)
#pragma GCC unroll 12
      for (int i = 0; i < SUMS; i++) product[i] = times_plus(product[i], all(0.5f), all(1.0f));
  for (int i = 0; i < SUMS; i++) result = product[i][0] + (float)sum[i][0];
  (void)result;
  return 2.0 * SUMS * LANES * (integer ? 4 : 1) * rounds;
}

const Kernels NAME = {PANEL, embed, project, attend, forward, dense, normalise, spin};
