/* Which thread does what.

   Sequences are worked on in units: one long sequence, or several short ones side by side.
   A unit goes through phases (embed; then attend and forward, layer by layer), each cut
   into tasks that any thread may take. No sequence is padded, and no row's arithmetic
   depends on how rows are cut, so that results are the same bits for any number of threads
   and any neighbours. */
#include "encoder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct {
  int first, sequences, rows;
  int phase, tasks, taken, done;
  int chunk, groups; /* rows of a task; tasks that the heads of a sequence are dealt to */
  int *begin;        /* the first row of each sequence, and the end */
  float *h, *qkv;
  uint8_t *x, *context;
} Unit;

typedef struct Call {
  const Kernels *kernels;
  const Model *model;
  const Sequence *sequences;
  const int32_t *keep; /* [layers + 1]: where a layer's states go in a row of `out`, or -1 */
  int width, count;
  int opened, left; /* sequences */
  int share;        /* threads that a unit should have work for */
  int open, most_open;
  Unit **units;     /* the first `open` are at work, the oldest first */
  int free_rooms;
  char **rooms;     /* one for each thread that may work at once */
  double *seconds;  /* NULL, or where times are added up: see secondpass_run */
  struct Call *next;
} Call;

/* A thread that sleeps: a helper, or the caller of `mine`. */
typedef struct Sleeper {
  pthread_cond_t wake;
  const Call *mine;
  struct Sleeper *next;
} Sleeper;

typedef struct {
  pthread_mutex_t lock;
  pthread_t *helpers;
  int threads, helping, running, ending;
  Call *calls; /* the oldest first */
  Sleeper *sleepers;
} Pool;

static int smaller(int a, int b) { return a < b ? a : b; }
static int larger(int a, int b) { return a > b ? a : b; }
static int up(int a, int b) { return (a + b - 1) / b; }

enum { SHORT = 2 * MOST_ROWS }; /* rows up to which sequences share a unit */

static int unit_at(const Sequence *s, int first, int count, int *rows) {
  int last = first;
  *rows = s[last++].tokens;
  while (last < count && *rows + s[last].tokens <= SHORT) *rows += s[last++].tokens;
  return last - first;
}

/* --- what a task does ------------------------------------------------------------------ */

static int last_phase(const Call *c) { return 2 * c->model->layers; }

/* Is a phase of the last layer, of which only the first tokens are wanted? */
static int only_first(const Call *c, int phase) {
  return c->model->first_only && phase + 1 >= last_phase(c);
}

static void enter(const Call *c, Unit *u, int phase) {
  u->phase = phase;
  u->taken = u->done = 0;
  if (phase % 2) {
    u->groups = smaller(c->model->heads, up(2 * c->share, u->sequences));
    u->tasks = u->sequences * u->groups;
    return;
  }
  int rows = phase && only_first(c, phase) ? u->sequences : u->rows;
  int chunks = c->share * up(rows, MOST_ROWS * c->share);
  u->chunk = smaller(up(up(rows, chunks), 4) * 4, MOST_ROWS);
  u->tasks = up(rows, u->chunk);
}

static void embed(const Call *c, const Unit *u, int begin, int end) {
  int hidden = c->model->hidden;
  for (int i = 0; i < u->sequences; i++) {
    int from = larger(u->begin[i], begin), until = smaller(u->begin[i + 1], end);
    if (from < until)
      c->kernels->embed(c->model, &c->sequences[u->first + i], from - u->begin[i],
                        until - u->begin[i], u->h + (size_t)u->begin[i] * hidden,
                        u->x + (size_t)u->begin[i] * hidden);
  }
}

/* Queries, keys and values of some rows; queries only of those that are asked for. */
static void project(const Call *c, const Unit *u, int layer, int begin, int end) {
  const Model *m = c->model;
  const Linear *l = &m->layer[layer].query_key_value;
  int few = only_first(c, 2 * layer + 1);
  c->kernels->project(m, l, u->x, begin, end, few ? m->hidden : 0, l->outputs, u->rows, u->qkv);
  for (int i = 0; few && i < u->sequences; i++)
    if (begin <= u->begin[i] && u->begin[i] < end)
      c->kernels->project(m, l, u->x, u->begin[i], u->begin[i] + 1, 0, m->hidden, u->rows, u->qkv);
}

static void attend(const Call *c, const Unit *u, int task, char *room) {
  const Model *m = c->model;
  int i = task / u->groups, group = task % u->groups, head = m->hidden / m->heads;
  int tokens = u->begin[i + 1] - u->begin[i], few = only_first(c, u->phase);
  c->kernels->attend(m, &m->layer[u->phase / 2], u->qkv + (size_t)u->begin[i] * head,
                     (size_t)u->rows * head, tokens, few ? 1 : tokens,
                     group * m->heads / u->groups, (group + 1) * m->heads / u->groups,
                     (float *)room, u->context + (size_t)(few ? i : u->begin[i]) * m->hidden);
}

static void keep(const Call *c, const Unit *u, int layer, int begin, int end) {
  int column = c->keep[layer], hidden = c->model->hidden;
  for (int i = 0; column >= 0 && i < u->sequences; i++) {
    int first = c->model->first_only ? i : u->begin[i];
    int until = smaller(c->model->first_only ? i + 1 : u->begin[i + 1], end);
    for (int row = larger(first, begin); row < until; row++)
      memcpy(c->sequences[u->first + i].out + (size_t)(row - first) * c->width + column,
             u->h + (size_t)row * hidden, sizeof(float) * hidden);
  }
}

/* The row after the last one of a task that embeds or goes forward. */
static int end_of(const Call *c, const Unit *u, int task) {
  int rows = u->phase && only_first(c, u->phase) ? u->sequences : u->rows;
  return smaller((task + 1) * u->chunk, rows);
}

static void perform(const Call *c, const Unit *u, int task, char *room) {
  const Model *m = c->model;
  if (u->phase % 2) {
    attend(c, u, task, room);
    return;
  }
  int layer = u->phase / 2, begin = task * u->chunk, end = end_of(c, u, task);
  if (layer == 0)
    embed(c, u, begin, end);
  else
    c->kernels->forward(m, &m->layer[layer - 1], layer == m->layers, u->context, begin, end, u->h,
                        u->x, (uint8_t *)room);
  keep(c, u, layer, begin, end);
}

/* Is there a layer that reads what this phase makes? */
static int leads_on(const Call *c, int phase) { return phase % 2 == 0 && phase < last_phase(c); }

/* While the rows of a task are at hand: what the next layer's attention needs of them. */
static void prepare(const Call *c, const Unit *u, int task) {
  if (leads_on(c, u->phase))
    project(c, u, u->phase / 2, task * u->chunk, end_of(c, u, task));
}

/* --- who does which task; all of it under the pool's lock ------------------------------ */

static void open_unit(Call *c) {
  Unit *u = c->units[c->open++];
  u->first = c->opened;
  u->sequences = unit_at(c->sequences, u->first, c->count, &u->rows);
  c->opened += u->sequences;
  u->begin[0] = 0;
  for (int i = 0; i < u->sequences; i++)
    u->begin[i + 1] = u->begin[i] + c->sequences[u->first + i].tokens;
  enter(c, u, 0);
}

static Unit *unit_with_work(Call *c) {
  for (int i = 0; i < c->open; i++)
    if (c->units[i]->taken < c->units[i]->tasks) return c->units[i];
  if (c->opened == c->count || c->open == c->most_open) return NULL;
  open_unit(c);
  return c->units[c->open - 1];
}

static void end_unit(Call *c, Unit *u) {
  int i = 0;
  while (c->units[i] != u) i++;
  memmove(c->units + i, c->units + i + 1, sizeof *c->units * (size_t)(--c->open - i));
  c->units[c->open] = u;
  c->left -= u->sequences;
}

/* The unit's phase is done: begin the next one. */
static void advance(Call *c, Unit *u) {
  if (u->phase == last_phase(c)) {
    end_unit(c, u);
    return;
  }
  size_t hidden = (size_t)c->model->hidden;
  if (c->model->first_only && u->phase + 1 == last_phase(c))
    for (int i = 1; i < u->sequences; i++)
      memcpy(u->h + i * hidden, u->h + u->begin[i] * hidden, sizeof(float) * hidden);
  enter(c, u, u->phase + 1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_for(const Call *c) { return c->seconds ? now() : 0; }

static void keep_times(const Call *c, int phase, double performing, double preparing) {
  if (!c->seconds) return;
  double *layer = c->seconds + phase / 2 * 3;
  layer[phase % 2 * 2] += performing;
  if (leads_on(c, phase)) layer[1] += preparing;
}

static void fall_asleep(Pool *p, const Call *mine) {
  Sleeper me = {.mine = mine, .next = p->sleepers};
  pthread_cond_init(&me.wake, NULL);
  p->sleepers = &me;
  pthread_cond_wait(&me.wake, &p->lock);
  for (Sleeper **s = &p->sleepers; *s; s = &(*s)->next)
    if (*s == &me) { /* nobody woke it */
      *s = me.next;
      break;
    }
  pthread_cond_destroy(&me.wake);
}

static void wake(Sleeper **at) {
  Sleeper *s = *at;
  *at = s->next;
  pthread_cond_signal(&s->wake);
}

/* Wakes as many threads as may work besides those that do: more would only wake to sleep. */
static void wake_workers(Pool *p, int working) {
  for (int free = p->threads - working; free > 0 && p->sleepers; free--) wake(&p->sleepers);
}

static void wake_caller(Pool *p, const Call *c) {
  for (Sleeper **s = &p->sleepers; *s; s = &(*s)->next)
    if ((*s)->mine == c) {
      wake(s);
      return;
    }
}

/* Works until the caller's call is done, or, as a helper, until the pool ends. */
static void work(Pool *p, const Call *mine) {
  while (mine ? mine->left > 0 : !p->ending) {
    Call *c = p->running < p->threads ? p->calls : NULL;
    Unit *u = NULL;
    while (c && !(u = unit_with_work(c))) c = c->next;
    if (!u) {
      fall_asleep(p, mine);
      continue;
    }
    int task = u->taken++, phase = u->phase;
    char *room = c->rooms[--c->free_rooms];
    p->running++;
    pthread_mutex_unlock(&p->lock);
    double begun = time_for(c);
    perform(c, u, task, room);
    double performed = time_for(c);
    prepare(c, u, task);
    double prepared = time_for(c);
    pthread_mutex_lock(&p->lock);
    keep_times(c, phase, performed - begun, prepared - performed);
    c->rooms[c->free_rooms++] = room;
    if (++u->done == u->tasks) {
      advance(c, u);
      if (!c->left && c != mine) wake_caller(p, c);
      wake_workers(p, p->running);
    }
    p->running--;
  }
}

static void *help(void *pool) {
  Pool *p = pool;
  pthread_mutex_lock(&p->lock);
  work(p, NULL);
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* --- what Python calls ----------------------------------------------------------------- */

/* A pool in which `threads` threads work at once: those that call, and helpers. */
EXPORT Pool *secondpass_pool(int threads) {
  Pool *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->threads = larger(threads, 1);
  p->helpers = calloc((size_t)p->threads, sizeof *p->helpers);
  pthread_mutex_init(&p->lock, NULL);
  while (p->helpers && p->helping < p->threads - 1 &&
         !pthread_create(&p->helpers[p->helping], NULL, help, p))
    p->helping++;
  return p;
}

/* Ends the helpers; nobody may be in a call. */
EXPORT void secondpass_pool_end(Pool *p) {
  pthread_mutex_lock(&p->lock);
  p->ending = 1;
  while (p->sleepers) wake(&p->sleepers);
  pthread_mutex_unlock(&p->lock);
  for (int i = 0; i < p->helping; i++) pthread_join(p->helpers[i], NULL);
  pthread_mutex_destroy(&p->lock);
  free(p->helpers);
  free(p);
}

typedef struct {
  char *at;
  size_t used;
} Arena;

/* Of an arena without memory, only counts. */
static void *some(Arena *a, size_t bytes) {
  void *found = a->at ? a->at + a->used : NULL;
  a->used += (bytes + 63) / 64 * 64;
  return found;
}

static void lay_out(Arena *a, Call *c, Unit *units, int rooms, int most_rows, int most_tokens) {
  const Model *m = c->model;
  size_t rows = (size_t)most_rows, hidden = (size_t)m->hidden;
  size_t room = sizeof(float) * attention_room(m, most_tokens);
  size_t inner = (size_t)MOST_ROWS * (size_t)m->inner;
  for (int i = 0; i < c->most_open; i++) {
    Unit u = {.begin = some(a, sizeof(int) * (rows + 1)),
              .h = some(a, sizeof(float) * rows * hidden),
              .qkv = some(a, sizeof(float) * rows * 3 * hidden),
              .x = some(a, rows * hidden),
              .context = some(a, rows * hidden)};
    if (a->at) units[i] = u, c->units[i] = &units[i];
  }
  for (int i = 0; i < rooms; i++) {
    char *at = some(a, room > inner ? room : inner);
    if (a->at) c->rooms[i] = at;
  }
}

enum { DONE, NO_MEMORY, BAD_INPUT };

static int bad(const Model *m, const Sequence *s) {
  if (s->tokens < 1 || s->tokens > m->positions) return 1;
  for (int i = 0; i < s->tokens; i++)
    if (s->ids[i] < 0 || s->ids[i] >= m->vocabulary || s->types[i] < 0 ||
        s->types[i] >= m->kinds ||
        (s->places && (s->places[i] < 0 || s->places[i] >= m->positions)))
      return 1;
  return 0;
}

/* y = x W' + b for each of `rows`, bent: W is [outputs][inputs], inputs a multiple of 16. */
EXPORT void secondpass_dense(const Kernels *kernels, int bent, const float *x, int rows,
                             const float *weight, const float *bias, int inputs, int outputs,
                             float *y) {
  for (int r = 0; r < rows; r++)
    kernels->dense(bent, x + (size_t)r * (size_t)inputs, weight, bias, inputs, outputs,
                   y + (size_t)r * (size_t)outputs);
}

/* Normalizes each of `rows` in place; width is a multiple of 16. */
EXPORT void secondpass_normalize(const Kernels *kernels, const Norm *n, float *x, int rows,
                                 int width) {
  kernels->normalize(n, x, NULL, rows, width, 1);
}

/* Runs all sequences and returns DONE; on an error nothing was written. `seconds`, where it
   is not NULL, has 3 * layers + 2 places, and what was taken is added to them: of the threads'
   time embed, then project, attend and forward of each layer; last, the time of the call. */
EXPORT int secondpass_run(Pool *p, const Kernels *kernels, const Model *m,
                          const Sequence *sequences, int count, const int32_t *keep, int width,
                          double *seconds) {
  double begun = seconds ? now() : 0;
  int units = 0, most_rows = 0, most_tokens = 0;
  for (int i = 0; i < count; i++) {
    if (bad(m, &sequences[i])) return BAD_INPUT;
    most_tokens = larger(most_tokens, sequences[i].tokens);
  }
  for (int i = 0, rows; i < count; units++) {
    i += unit_at(sequences, i, count, &rows);
    most_rows = larger(most_rows, rows);
  }
  if (!count) return DONE;
  Call c = {.kernels = kernels, .model = m, .sequences = sequences, .keep = keep, .width = width,
            .count = count, .left = count, .seconds = seconds, .free_rooms = p->threads,
            .share = up(p->threads, smaller(units, p->threads)),
            .most_open = smaller(units, p->threads + 1)};
  Unit *open = calloc((size_t)c.most_open, sizeof *open);
  c.units = calloc((size_t)c.most_open, sizeof *c.units);
  c.rooms = calloc((size_t)p->threads, sizeof *c.rooms);
  Arena arena = {0};
  lay_out(&arena, &c, open, p->threads, most_rows, most_tokens);
  arena.at = aligned_alloc(64, arena.used);
  arena.used = 0;
  int result = NO_MEMORY;
  if (open && c.units && c.rooms && arena.at) {
    lay_out(&arena, &c, open, p->threads, most_rows, most_tokens);
    pthread_mutex_lock(&p->lock);
    Call **end = &p->calls;
    while (*end) end = &(*end)->next;
    *end = &c;
    wake_workers(p, p->running + 1);
    work(p, &c);
    for (end = &p->calls; *end != &c; end = &(*end)->next) continue;
    *end = c.next;
    if (seconds) seconds[3 * m->layers + 1] += now() - begun;
    wake_workers(p, p->running); /* what this thread leaves to others */
    pthread_mutex_unlock(&p->lock);
    result = DONE;
  }
  free(arena.at);
  free(open);
  free(c.units);
  free(c.rooms);
  return result;
}
