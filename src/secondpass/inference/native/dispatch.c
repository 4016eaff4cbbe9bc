/* Which of the compiled kernels this processor can run. */
#include "encoder.h"

#include <cpuid.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

extern const Kernels avx2, avxvnni, avx512vnni;

enum { AVX2, AVXVNNI, AVX512VNNI };
#ifdef EMULATED
enum { ALL_FIT = 1 };
#else
enum { ALL_FIT = 0 };
#endif

/* What the processor has and the system keeps when it switches tasks (Intel, Software
   Developer's Manual, volume 1, 14.3 and 15.3). Not the compiler's __builtin_cpu_supports: its
   names differ between versions, and what some compilers link for it knows nothing. */
static int has(int level) {
  unsigned a, b, c, d, eax, edx;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0; /* xgetbv */
  __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  int fma = c >> 12 & 1;
  if ((eax & 0x06) != 0x06 || !fma || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  int avx2 = b >> 5 & 1, parts = (b >> 16 & 1) && (b >> 17 & 1) && b >> 30 == 3; /* F DQ BW VL */
  if (level == AVX512VNNI) return (eax & 0xe6) == 0xe6 && parts && (c >> 11 & 1);
  if (level == AVXVNNI) return avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
  return avx2;
}

/* The kernels of a name ("avx2"), or the fastest for ""; NULL where there are none. */
EXPORT const Kernels *secondpass_kernels(const char *name) {
  struct {
    const char *name;
    const Kernels *kernels;
    int fits;
  } all[] = {
      {"avx512vnni", &avx512vnni, ALL_FIT || has(AVX512VNNI)},
      {"avxvnni", &avxvnni, ALL_FIT || has(AVXVNNI)},
      {"avx2", &avx2, has(AVX2)},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].fits && (!*name || !strcmp(name, all[i].name))) return all[i].kernels;
  return NULL;
}

EXPORT const char *secondpass_name(const Kernels *kernels) {
  return kernels == &avx2 ? "avx2" : kernels == &avxvnni ? "avxvnni" : "avx512vnni";
}

EXPORT int secondpass_panel(const Kernels *kernels) { return kernels->panel; }

/* Multiplies in registers alone, `integer` or in floating point, and returns the number of
   operations: its time is the least that these instructions take. */
EXPORT double secondpass_spin(const Kernels *kernels, int integer, int rounds) {
  return kernels->spin(integer, rounds);
}

/* Of the sources that this was compiled from. */
EXPORT const char *secondpass_digest(void) { return DIGEST; }
