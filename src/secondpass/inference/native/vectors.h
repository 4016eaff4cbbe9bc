/* Vectors of floats and integers, in the instructions of one kind of processor: WIDE is
   AVX-512, VNNI has an instruction for 8-bit products. Any of them gives the same bits. */
#ifndef SECONDPASS_VECTORS_H
#define SECONDPASS_VECTORS_H

#include "encoder.h"

#ifdef EMULATED /* by tests, on processors without these instructions */
#include EMULATED
#else
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

static inline int least(int a, int b) { return a < b ? a : b; }

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
INLINE vf all(float x) { return (vf)_mm512_set1_ps(x); }
INLINE vf larger(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf smaller(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
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
INLINE vf all(float x) { return (vf)_mm256_set1_ps(x); }
INLINE vf larger(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf smaller(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
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

/* Folds eight numbers, the upper half onto the lower one, until one is left. */
#define FOLD(x, fold)                                                                     \
  do {                                                                                    \
    __m128 half_ = fold##_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));     \
    half_ = fold##_ps(half_, _mm_movehl_ps(half_, half_));                                \
    return _mm_cvtss_f32(fold##_ps(half_, _mm_shuffle_ps(half_, half_, 1)));              \
  } while (0)

INLINE float total(Sum s) {
  __m256 x[2];
  memcpy(x, &s, sizeof x);
  x[0] = _mm256_add_ps(x[0], x[1]);
  FOLD(x[0], _mm_add);
}

INLINE float highest(vf most) {
  __m256 x[LANES / 8];
  memcpy(x, &most, sizeof x);
  for (int i = 1; i < LANES / 8; i++) x[0] = _mm256_max_ps(x[0], x[i]);
  FOLD(x[0], _mm_max);
}

/* e to the x, for x up to 88; a polynomial with a relative error of 9e-8. */
INLINE vf exponential(vf x) {
  /* What is added to so large a number is rounded to an integer, in its lowest bits. */
  const float big = 0x1.8p23f;
  x = larger(x, all(-87.3f));
  vf shifted = times_plus(x, all(1.44269504f), all(big));
  x = times_plus(shifted - all(big), all(-0.693147181f), x);
  vf p = all(8.290272225e-03f);
  p = times_plus(p, x, all(4.189816105e-02f));
  p = times_plus(p, x, all(1.666763814e-01f));
  p = times_plus(p, x, all(4.999914783e-01f));
  p = times_plus(p, x, all(9.999997063e-01f));
  p = times_plus(p, x, all(1.0f));
  return (vf)((vi)p + ((vi)shifted << 23));
}

/* x times the share of the normal distribution below x. Its distance from a half is x times a
   ratio of polynomials in x squared, to 2e-9; beyond 5.2 it is a half. */
INLINE vf gelu(vf x) {
  vf y = smaller(x * x, all(27.04f));
  vf p = all(2.403902538e-08f);
  p = times_plus(p, y, all(6.462557121e-06f));
  p = times_plus(p, y, all(1.651521382e-04f));
  p = times_plus(p, y, all(4.657556920e-03f));
  p = times_plus(p, y, all(3.335725416e-02f));
  p = times_plus(p, y, all(3.989421547e-01f));
  vf q = all(1.242983273e-06f);
  q = times_plus(q, y, all(7.316633328e-05f));
  q = times_plus(q, y, all(1.863399508e-03f));
  q = times_plus(q, y, all(2.839000511e-02f));
  q = times_plus(q, y, all(2.502795484e-01f));
  q = times_plus(q, y, all(1.0f));
  vf bounded = larger(smaller(x, all(5.2f)), all(-5.2f));
  return x * (bounded * p / q + all(0.5f));
}

INLINE void put_rounded(uint8_t *p, vf x, Rounding r) {
  put_bytes(p, nearest(x * all(r.inverse)) + r.zero);
}

#endif
