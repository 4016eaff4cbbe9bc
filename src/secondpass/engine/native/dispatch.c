/* Which of the compiled kernels this processor can run. */
#include "encoder.h"

#include <cpuid.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

extern const Kernels avx2, avxvnni, avx512vnni;

#ifdef EMULATED
enum { ALL_FIT = 1 };
#else
enum { ALL_FIT = 0 };
#endif

/* AVX-VNNI is leaf 7, subleaf 1, bit 4 of eax; older compilers have no name for it. */
static int has_avxvnni(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

/* The kernels of a name ("avx2"), or the fastest for ""; NULL where there are none. */
EXPORT const Kernels *secondpass_kernels(const char *name) {
  __builtin_cpu_init();
  int plain = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  struct {
    const char *name;
    const Kernels *kernels;
    int fits;
  } all[] = {
      {"avx512vnni", &avx512vnni,
       ALL_FIT || (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))},
      {"avxvnni", &avxvnni, ALL_FIT || (plain && has_avxvnni())},
      {"avx2", &avx2, plain},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].fits && (!*name || !strcmp(name, all[i].name))) return all[i].kernels;
  return NULL;
}

EXPORT const char *secondpass_name(const Kernels *kernels) {
  return kernels == &avx2 ? "avx2" : kernels == &avxvnni ? "avxvnni" : "avx512vnni";
}

EXPORT int secondpass_panel(const Kernels *kernels) { return kernels->panel; }

/* Of the sources that this was compiled from. */
EXPORT const char *secondpass_digest(void) { return DIGEST; }
