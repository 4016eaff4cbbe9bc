/* AVX-512 on any processor: SIMDe (Debian's libsimde-dev), and two that its release lacks. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <math.h>

typedef union {
  simde__m512 floats;
  simde__m512i integers;
  float f[16];
  int32_t i[16];
  uint32_t u[16];
} Lanes;

#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32 emulated_cvtps_epi32
static inline simde__m512i emulated_cvtps_epi32(simde__m512 x) {
  Lanes from = {.floats = x}, to;
  for (int k = 0; k < 16; k++) to.i[k] = (int32_t)lrintf(from.f[k]);
  return to.integers;
}

#undef _mm512_cvtusepi32_epi8
#define _mm512_cvtusepi32_epi8 emulated_cvtusepi32_epi8
static inline __m128i emulated_cvtusepi32_epi8(simde__m512i x) {
  Lanes from = {.integers = x};
  union {
    __m128i whole;
    uint8_t u[16];
  } to;
  for (int k = 0; k < 16; k++) to.u[k] = (uint8_t)(from.u[k] > 255 ? 255 : from.u[k]);
  return to.whole;
}

#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32
