/* The mean and the mode of the cells of a volume, row by row: what downsample.py does in NumPy.

   Voxels of a row follow each other in memory; the other axes, up to four, have any strides.  Sums
   of integers are exact, those of floating-point numbers are made in double precision in the order
   of the fallback (the rows of a cell first, then along them), so that the two agree to the bit.

   Only the buffer protocol and the stable ABI of Python 3.11 are used.  */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RANK 5
#define LEVELS 16
#define AHEAD 8192        /* bytes of rows that are asked for before they are needed */
#define MOST_VOXELS 65536 /* of a cell: as many of 16 bits have a sum of 32 */
#define STRIP 64          /* voxels of a row that are worked on while others are asked for */
#define FEW 16            /* labels of a cell that are counted in a list, rather than sorted */

/* Compiled for newer processors as well; the one that fits is chosen when the module is loaded.  */
#if defined(__GNUC__) && defined(__x86_64__) && defined(__GLIBC__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define VECTORS
#if defined(__x86_64__)
#define WIDER
#endif
#endif
#endif
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

typedef Py_ssize_t Size;

typedef struct {
    char *data;
    Size shape[RANK];
    Size strides[RANK]; /* in bytes */
} Grid;

/* The rows of one row of cells, and where it is.  */
typedef struct {
    const char **starts;
    Size count;
    Size cell[RANK];
} Rows;

typedef void (*Folder)(void *, const void *, Size, Size);
typedef void (*Moder)(void *, const char *const *, Size, Size, Size, void *);

/* Find the rows of a row of cells.  */
static void
find_rows(const Grid *grid, const Size *factors, Rows *rows)
{
    Size low[RANK - 1], high[RANK - 1], i[RANK - 1];

    for (int axis = 0; axis < RANK - 1; axis++) {
        low[axis] = rows->cell[axis] * factors[axis];
        high[axis] = low[axis] + factors[axis];
        if (high[axis] > grid->shape[axis])
            high[axis] = grid->shape[axis];
    }
    rows->count = 0;
    for (i[0] = low[0]; i[0] < high[0]; i[0]++)
        for (i[1] = low[1]; i[1] < high[1]; i[1]++)
            for (i[2] = low[2]; i[2] < high[2]; i[2]++)
                for (i[3] = low[3]; i[3] < high[3]; i[3]++) {
                    const char *start = grid->data;
                    for (int axis = 0; axis < RANK - 1; axis++)
                        start += i[axis] * grid->strides[axis];
                    rows->starts[rows->count++] = start;
                }
}

/* Go to the next row of cells; return 0 after the last.  */
static int
next_row(const Grid *out, Rows *rows)
{
    for (int axis = RANK - 2; axis >= 0; axis--) {
        if (++rows->cell[axis] < out->shape[axis])
            return 1;
        rows->cell[axis] = 0;
    }
    return 0;
}

static char *
row_of(const Grid *grid, const Rows *rows)
{
    char *start = grid->data;

    for (int axis = 0; axis < RANK - 1; axis++)
        start += rows->cell[axis] * grid->strides[axis];
    return start;
}

/* Rows that are asked for some way ahead of those that are worked on: in a part of a larger volume
   they are short, and the processor does not foresee them.  */
typedef struct {
    Rows rows;
    Size bytes;
    int left;
} Ahead;

/* Ask for a part of some of its rows, in bytes.  */
INLINE void
ask(const Ahead *ahead, Size first, Size last, Size from, Size to)
{
#if defined(__GNUC__)
    if (last > ahead->rows.count)
        last = ahead->rows.count;
    for (Size k = first; k < last; k++)
        for (Size at = from; at < to; at += 64)
            __builtin_prefetch(ahead->rows.starts[k] + at);
#else
    (void)ahead, (void)first, (void)last, (void)from, (void)to;
#endif
}

static void
go_ahead(const Grid *grid, const Size *factors, const Grid *out, Ahead *ahead)
{
    ahead->left = ahead->left && next_row(out, &ahead->rows);
    ahead->rows.count = 0;
    if (ahead->left)
        find_rows(grid, factors, &ahead->rows);
}

static Ahead
begin_ahead(const Grid *grid, const Size *factors, const Grid *out, const char **starts)
{
    Ahead ahead = {{starts, 0, {0}}, grid->shape[RANK - 1] * grid->strides[RANK - 1], 1};
    Size bytes = 0;

    find_rows(grid, factors, &ahead.rows);
    while (ahead.left && bytes < AHEAD) {
        ask(&ahead, 0, ahead.rows.count, 0, ahead.bytes);
        bytes += ahead.rows.count * ahead.bytes;
        go_ahead(grid, factors, out, &ahead);
    }
    return ahead;
}

/* The mean.  */

typedef void (*Adder)(void *, const char *const *, Size, Size, int, uint64_t, const Ahead *,
                      Size);

/* Add up four rows or fewer, voxel by voxel, each as TERM has it; `on` to what is there.  The order
   is the same whichever way: ((a + b) + c) + d.  Meanwhile other rows are asked for.  */
#define DEFINE_ADD(NAME, T, A, TERM)                                                              \
    CLONES static void NAME(void *sums, const char *const *rows, Size count, Size n, int on,      \
                            uint64_t sign, const Ahead *ahead, Size first)                        \
    {                                                                                             \
        A *restrict acc = sums;                                                                   \
        const T flip = (T)sign;                                                                   \
        const T *a = (const T *)rows[0], *b = (const T *)rows[count > 1];                         \
        const T *c = (const T *)rows[count > 2 ? 2 : 0], *d = (const T *)rows[count - 1];         \
        (void)flip;                                                                               \
        for (Size from = 0; from < n; from += STRIP) {                                            \
            const Size to = from + STRIP < n ? from + STRIP : n;                                  \
            ask(ahead, first, first + count, from * (Size)sizeof(T), to * (Size)sizeof(T));       \
            if (count == 4 && on)                                                                 \
                for (Size x = from; x < to; x++)                                                  \
                    acc[x] = acc[x] + TERM(a[x]) + TERM(b[x]) + TERM(c[x]) + TERM(d[x]);          \
            else if (count == 4)                                                                  \
                for (Size x = from; x < to; x++)                                                  \
                    acc[x] = TERM(a[x]) + TERM(b[x]) + TERM(c[x]) + TERM(d[x]);                   \
            else                                                                                  \
                for (Size k = 0; k < count; k++) {                                                \
                    const T *e = (const T *)rows[k];                                              \
                    if (on || k)                                                                  \
                        for (Size x = from; x < to; x++)                                          \
                            acc[x] += TERM(e[x]);                                                 \
                    else                                                                          \
                        for (Size x = from; x < to; x++)                                          \
                            acc[x] = TERM(e[x]);                                                  \
                }                                                                                 \
        }                                                                                         \
    }

/* Signed numbers are counted from the least one on: their order and their halves stay.  */
#define AS_32(v) ((uint32_t)((v) ^ flip))
#define AS_64(v) ((uint64_t)((v) ^ flip))
#define UPPER(v) (((v) ^ flip) >> 32)
#define LOWER(v) ((v) & UINT64_C(0xFFFFFFFF))
#define AS_DOUBLE(v) ((double)(v))
#define AS_IT_IS(v) (v)

DEFINE_ADD(add_u8, uint8_t, uint32_t, AS_32)
DEFINE_ADD(add_u16, uint16_t, uint32_t, AS_32)
DEFINE_ADD(add_u32, uint32_t, uint64_t, AS_64)
DEFINE_ADD(add_upper, uint64_t, uint64_t, UPPER)
DEFINE_ADD(add_lower, uint64_t, uint64_t, LOWER)
DEFINE_ADD(add_f4, float, double, AS_DOUBLE)
DEFINE_ADD(add_f8, double, double, AS_IT_IS)
DEFINE_ADD(add_sums32, uint32_t, uint32_t, AS_IT_IS)
DEFINE_ADD(add_sums64, uint64_t, uint64_t, AS_IT_IS)

/* Add up the voxels of each cell of a row of n voxels.  */
#define DEFINE_FOLD(NAME, A)                                                                      \
    CLONES static void NAME(void *sums, const void *row, Size n, Size factor)                     \
    {                                                                                             \
        A *restrict out = sums;                                                                   \
        const A *restrict in = row;                                                               \
        Size whole = n / factor;                                                                  \
        if (factor == 1)                                                                          \
            memcpy(out, in, (size_t)n * sizeof(A));                                               \
        else if (factor == 2)                                                                     \
            for (Size j = 0; j < whole; j++)                                                      \
                out[j] = in[2 * j] + in[2 * j + 1];                                               \
        else if (factor == 4)                                                                     \
            for (Size j = 0; j < whole; j++)                                                      \
                out[j] = in[4 * j] + in[4 * j + 1] + in[4 * j + 2] + in[4 * j + 3];               \
        else                                                                                      \
            for (Size j = 0; j < whole; j++) {                                                    \
                A sum = in[j * factor];                                                           \
                for (Size i = 1; i < factor; i++)                                                 \
                    sum += in[j * factor + i];                                                    \
                out[j] = sum;                                                                     \
            }                                                                                     \
        if (n % factor) {                                                                         \
            A sum = in[whole * factor];                                                           \
            for (Size x = whole * factor + 1; x < n; x++)                                         \
                sum += in[x];                                                                     \
            out[whole] = sum;                                                                     \
        }                                                                                         \
    }

DEFINE_FOLD(fold_32, uint32_t)
DEFINE_FOLD(fold_64, uint64_t)
DEFINE_FOLD(fold_f8, double)

INLINE int
shift_of(uint64_t count)
{
    int shift = 0;

    if (count & (count - 1))
        return -1;
    while (count >> (shift + 1))
        shift++;
    return shift;
}

/* Divide sums by how many voxels there were, to the nearest, halves to even.  */
#define DEFINE_ROUND(NAME, S, T)                                                                  \
    CLONES static void NAME(void *means, const void *sums, Size n, uint64_t voxels,               \
                            uint64_t sign)                                                        \
    {                                                                                             \
        T *restrict out = means;                                                                  \
        const S *restrict in = sums;                                                              \
        const S count = (S)voxels;                                                                \
        const T flip = (T)sign;                                                                   \
        const int shift = shift_of(voxels);                                                       \
        if (shift == 0)                                                                           \
            for (Size j = 0; j < n; j++)                                                          \
                out[j] = (T)in[j] ^ flip;                                                         \
        else if (shift > 0)                                                                       \
            for (Size j = 0; j < n; j++)                                                          \
                out[j] = (T)((in[j] + (count / 2 - 1) + (in[j] >> shift & 1)) >> shift) ^ flip;   \
        else                                                                                      \
            for (Size j = 0; j < n; j++) {                                                        \
                S mean = in[j] / count, left = in[j] % count * 2;                                 \
                mean += left > count || (left == count && mean & 1);                              \
                out[j] = (T)mean ^ flip;                                                          \
            }                                                                                     \
    }

DEFINE_ROUND(round_u8, uint32_t, uint8_t)
DEFINE_ROUND(round_u16, uint32_t, uint16_t)
DEFINE_ROUND(round_u32, uint64_t, uint32_t)

/* The same of 64 bits, of which there are sums of the upper and of the lower halves.  */
CLONES static void
round_u64(uint64_t *restrict out, const uint64_t *restrict upper, const uint64_t *restrict lower,
          Size n, uint64_t count, uint64_t flip)
{
    const int shift = shift_of(count);

    if (shift == 0)
        for (Size j = 0; j < n; j++)
            out[j] = ((upper[j] << 32) + lower[j]) ^ flip;
    else if (shift > 0)
        for (Size j = 0; j < n; j++) {
            uint64_t left = ((upper[j] & (count - 1)) << 32) + lower[j];
            uint64_t mean = ((upper[j] >> shift) << 32) + (left >> shift);
            left &= count - 1;
            mean += (left + (count / 2 - 1) + (mean & 1)) >> shift;
            out[j] = mean ^ flip;
        }
    else
        for (Size j = 0; j < n; j++) {
            uint64_t left = (upper[j] % count << 32) + lower[j];
            uint64_t mean = (upper[j] / count << 32) + left / count;
            left = left % count * 2;
            mean += left > count || (left == count && mean & 1);
            out[j] = mean ^ flip;
        }
}

#define DEFINE_DIVIDE(NAME, T)                                                                    \
    CLONES static void NAME(void *means, const double *restrict sums,                             \
                            const uint32_t *restrict counts, Size n)                              \
    {                                                                                             \
        T *restrict out = means;                                                                  \
        for (Size j = 0; j < n; j++)                                                              \
            out[j] = (T)(sums[j] / (double)(int32_t)counts[j]);                                   \
    }

DEFINE_DIVIDE(divide_f4, float)
DEFINE_DIVIDE(divide_f8, double)

CLONES static int
any_nan(const double *sums, Size n)
{
    int found = 0;

    for (Size j = 0; j < n; j++)
        found |= sums[j] != sums[j];
    return found;
}

/* Count the voxels of each cell of a row; where the sum is NaN, leave those of NaN out of both.  */
CLONES static void
count_voxels(double *sums, uint32_t *counts, const Rows *rows, Size n, Size factor, int size)
{
    Size cells = (n + factor - 1) / factor;

    for (Size j = 0; j < cells; j++)
        counts[j] = (uint32_t)(rows->count * factor);
    counts[cells - 1] = (uint32_t)(rows->count * (n - (cells - 1) * factor));
    if (!any_nan(sums, cells))
        return;
    for (Size j = 0; j < cells; j++) {
        Size end = (j + 1) * factor < n ? (j + 1) * factor : n;
        if (sums[j] == sums[j])
            continue;
        for (Size x = j * factor; x < end; x++) {
            double sum = 0;
            for (Size k = 0; k < rows->count; k++) {
                double value = size == 4 ? ((const float *)rows->starts[k])[x]
                                         : ((const double *)rows->starts[k])[x];
                int missing = value != value;
                counts[j] -= (uint32_t)missing;
                value = missing ? -0.0 : value; /* -0.0 + x is x */
                sum = k ? sum + value : value;
            }
            sums[j] = x == j * factor ? sum : sums[j] + sum;
        }
    }
}

/* What the means of a type are made with.  A second plane of sums has the lower halves of 64 bits,
   or how many voxels of each cell are not NaN.  */
typedef struct {
    int size;
    int is_float;
    int width[2];   /* bytes of a sum */
    Adder first[2]; /* from voxels */
    Adder next[2];  /* from sums */
    Folder fold[2];
} Family;

static const Family families[] = {
    {1, 0, {4, 0}, {add_u8, NULL}, {add_sums32, NULL}, {fold_32, NULL}},
    {2, 0, {4, 0}, {add_u16, NULL}, {add_sums32, NULL}, {fold_32, NULL}},
    {4, 0, {8, 0}, {add_u32, NULL}, {add_sums64, NULL}, {fold_64, NULL}},
    {8, 0, {8, 8}, {add_upper, add_lower}, {add_sums64, add_sums64}, {fold_64, fold_64}},
    {4, 1, {8, 4}, {add_f4, NULL}, {add_f8, add_sums32}, {fold_f8, fold_32}},
    {8, 1, {8, 4}, {add_f8, NULL}, {add_f8, add_sums32}, {fold_f8, fold_32}},
};

/* The sums of a level, and memory for one row of them.  */
typedef struct {
    Grid planes[2];
    void *rows[2];
} Sums;

static void
divide_row(const Family *family, char *out, void *const *sums, Size n, uint64_t count,
           uint64_t flip)
{
    if (family->is_float) {
        if (family->size == 4)
            divide_f4(out, sums[0], sums[1], n);
        else
            divide_f8(out, sums[0], sums[1], n);
    }
    else if (family->size == 1)
        round_u8(out, sums[0], n, count, flip);
    else if (family->size == 2)
        round_u16(out, sums[0], n, count, flip);
    else if (family->size == 4)
        round_u32(out, sums[0], n, count, flip);
    else
        round_u64((uint64_t *)out, sums[0], sums[1], n, count, flip);
}

/* How many voxels of the full resolution a cell has along an axis.  */
static Size
voxels_along(const Size *whole, const Size *step, int axis, Size cell)
{
    Size left = whole[axis] - cell * step[axis];

    return left < step[axis] ? left : step[axis];
}

/* Write the means of a level, and keep its sums if they are wanted; `before` is NULL at first.  */
static void
average_level(const Family *family, const Grid *voxels, const Sums *before, const Size *factors,
              const Size *step, uint64_t flip, const Grid *out, const Sums *kept, void *const *acc,
              const char **starts, const char **ahead_starts)
{
    const Adder *add = before == NULL ? family->first : family->next;
    const Grid *in = before == NULL ? voxels : &before->planes[0];
    const Size n = in->shape[RANK - 1], factor = factors[RANK - 1];
    const Size cells = out->shape[RANK - 1];
    Rows rows = {starts, 0, {0}};
    Ahead ahead = begin_ahead(in, factors, out, ahead_starts);

    do {
        void *sums[2];
        uint64_t count = 1;
        for (int plane = 0; plane < 2 && family->width[plane]; plane++) {
            const Grid *from = before == NULL ? voxels : &before->planes[plane];
            sums[plane] = kept->planes[plane].data == NULL ? kept->rows[plane]
                                                           : row_of(&kept->planes[plane], &rows);
            if (add[plane] == NULL)
                continue;
            if (plane == 0 || before != NULL)
                find_rows(from, factors, &rows);
            for (Size k = 0; k < rows.count; k += 4) {
                Size some = rows.count - k < 4 ? rows.count - k : 4;
                add[plane](acc[plane], rows.starts + k, some, n, k > 0, flip, &ahead, k);
            }
            family->fold[plane](sums[plane], acc[plane], n, factor);
        }
        if (family->is_float && before == NULL)
            count_voxels(sums[0], sums[1], &rows, n, factor, family->size);
        for (int axis = 0; axis < RANK - 1; axis++)
            count *= (uint64_t)voxels_along(voxels->shape, step, axis, rows.cell[axis]);
        go_ahead(in, factors, out, &ahead);
        Size edge = voxels_along(voxels->shape, step, RANK - 1, cells - 1);
        Size whole = edge < step[RANK - 1] ? cells - 1 : cells;
        char *means = row_of(out, &rows);
        divide_row(family, means, sums, whole, count * (uint64_t)step[RANK - 1], flip);
        if (whole < cells) {
            void *last[2] = {(char *)sums[0] + whole * family->width[0], NULL};
            if (family->width[1])
                last[1] = (char *)sums[1] + whole * family->width[1];
            divide_row(family, means + whole * family->size, last, 1, count * (uint64_t)edge,
                       flip);
        }
    } while (next_row(out, &rows));
}

/* The mode.  */

/* Of two voxels, the one with the smaller label first.  */
#define SORT(A, B)                                                                                \
    if ((B) < voxels) {                                                                           \
        V swap = (v[A] ^ v[B]) & (V)(v[A] > v[B]);                                                \
        v[A] ^= swap;                                                                             \
        v[B] ^= swap;                                                                             \
    }

/* Every other one of two vectors: of labels of so many bits, in so many bytes.  */
#define EVEN_8_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_8_16 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define EVEN_16_16 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_16_16 1, 3, 5, 7, 9, 11, 13, 15
#define EVEN_32_16 0, 2, 4, 6
#define ODD_32_16 1, 3, 5, 7
#define EVEN_64_16 0, 2
#define ODD_64_16 1, 3
#define EVEN_8_32                                                                                 \
    0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46,    \
    48, 50, 52, 54, 56, 58, 60, 62
#define ODD_8_32                                                                                  \
    1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47,    \
    49, 51, 53, 55, 57, 59, 61, 63
#define EVEN_16_32 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_16_32 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define EVEN_32_32 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_32_32 1, 3, 5, 7, 9, 11, 13, 15
#define EVEN_64_32 0, 2, 4, 6
#define ODD_64_32 1, 3, 5, 7

#define BYTES 16
#define TARGET
#define BITS 8
#include "_downsample_mode.h"
#undef BITS
#define BITS 16
#include "_downsample_mode.h"
#undef BITS
#define BITS 32
#include "_downsample_mode.h"
#undef BITS
#define BITS 64
#include "_downsample_mode.h"
#undef BITS
#undef BYTES
#undef TARGET

#ifdef WIDER
#define BYTES 32
#define TARGET __attribute__((target("avx2")))
#define BITS 8
#include "_downsample_mode.h"
#undef BITS
#define BITS 16
#include "_downsample_mode.h"
#undef BITS
#define BITS 32
#include "_downsample_mode.h"
#undef BITS
#define BITS 64
#include "_downsample_mode.h"
#undef BITS
#endif

static Moder
moder_of(Size itemsize)
{
#ifdef WIDER
    if (__builtin_cpu_supports("avx2"))
        return itemsize == 1   ? mode_8_32
               : itemsize == 2 ? mode_16_32
               : itemsize == 4 ? mode_32_32
                               : mode_64_32;
#endif
    return itemsize == 1   ? mode_8_16
           : itemsize == 2 ? mode_16_16
           : itemsize == 4 ? mode_32_16
                           : mode_64_16;
}

static void
mode_level(Moder mode, const Grid *in, const Size *factors, const Grid *out, void *memory,
           const char **starts, const char **ahead_starts)
{
    Rows rows = {starts, 0, {0}};
    Ahead ahead = begin_ahead(in, factors, out, ahead_starts);

    do {
        ask(&ahead, 0, ahead.rows.count, 0, ahead.bytes);
        go_ahead(in, factors, out, &ahead);
        find_rows(in, factors, &rows);
        mode(row_of(out, &rows), rows.starts, rows.count, in->shape[RANK - 1],
             factors[RANK - 1], memory);
    } while (next_row(out, &rows));
}

/* What Python calls.  */

typedef struct {
    Size step[RANK];
    Size factors[RANK]; /* from the level before */
    Grid out;
    Sums sums;
    Py_buffer view;
} Level;

typedef struct {
    Grid voxels;
    Size itemsize;
    Py_buffer view;
    int levels;
    Level level[LEVELS];
} Job;

/* Take a buffer as a grid of five axes, the first of one voxel if it has fewer.  */
static int
take_grid(PyObject *object, int flags, Py_buffer *view, Grid *grid)
{
    if (PyObject_GetBuffer(object, view, flags | PyBUF_STRIDES) < 0) {
        view->obj = NULL;
        return -1;
    }
    int missing = RANK - view->ndim;
    if (missing < 0 || missing == RANK || view->itemsize <= 0 || view->len == 0) {
        PyErr_SetString(PyExc_ValueError, "one to five axes with voxels are needed");
        return -1;
    }
    grid->data = view->buf;
    for (int axis = 0; axis < RANK; axis++) {
        grid->shape[axis] = axis < missing ? 1 : view->shape[axis - missing];
        grid->strides[axis] = axis < missing ? 0 : view->strides[axis - missing];
        if (grid->strides[axis] % view->itemsize)
            goto uneven;
    }
    if ((uintptr_t)view->buf % (uintptr_t)view->itemsize == 0 &&
        (grid->shape[RANK - 1] == 1 || grid->strides[RANK - 1] == view->itemsize))
        return 0;
uneven:
    PyErr_SetString(PyExc_ValueError, "the voxels of a row must follow each other");
    return -1;
}

static int
take_level(Job *job, PyObject *step, PyObject *out)
{
    Level *level = &job->level[job->levels];
    int missing = RANK - job->view.ndim;
    Size voxels = 1;

    job->levels++;
    if (take_grid(out, PyBUF_WRITABLE, &level->view, &level->out) < 0)
        return -1;
    if (level->view.itemsize != job->itemsize || level->view.ndim != job->view.ndim ||
        PyTuple_Size(step) != job->view.ndim)
        goto differs;
    for (int axis = 0; axis < RANK; axis++) {
        Size before = job->levels > 1 ? level[-1].step[axis] : 1, factor = 1;
        if (axis >= missing) {
            factor = PyLong_AsSsize_t(PyTuple_GetItem(step, axis - missing));
            if (factor == -1 && PyErr_Occurred())
                return -1;
        }
        if (factor < 1 || factor > MOST_VOXELS / voxels || factor % before)
            goto differs;
        voxels *= factor;
        level->step[axis] = factor;
        level->factors[axis] = factor / before;
        if (level->out.shape[axis] != (job->voxels.shape[axis] + factor - 1) / factor)
            goto differs;
    }
    return 0;
differs:
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a level does not fit the voxels");
    return -1;
}

/* Get memory for the sums of a level, and for a row of them.  */
static int
make_sums(const Family *family, Level *level, int kept)
{
    const Size *shape = level->out.shape;

    for (int plane = 0; plane < 2 && family->width[plane]; plane++) {
        Size size = family->width[plane];
        level->sums.rows[plane] = malloc((size_t)(shape[RANK - 1] * size));
        if (level->sums.rows[plane] == NULL)
            return -1;
        if (!kept)
            continue;
        Grid *grid = &level->sums.planes[plane];
        for (int axis = RANK - 1; axis >= 0; axis--) {
            grid->shape[axis] = shape[axis];
            grid->strides[axis] = size;
            size *= shape[axis];
        }
        grid->data = malloc((size_t)size);
        if (grid->data == NULL)
            return -1;
    }
    return 0;
}

/* Make all levels, without Python's lock.  Return -1 if there is not enough memory.  */
static int
average_all(Job *job, const Family *family, uint64_t flip, const char **starts,
            const char **ahead_starts)
{
    void *acc[2] = {NULL, NULL};
    int failed = 0;

    for (int plane = 0; plane < 2 && family->width[plane]; plane++) {
        acc[plane] = malloc((size_t)(job->voxels.shape[RANK - 1] * family->width[plane]));
        failed |= acc[plane] == NULL;
    }
    for (int i = 0; i < job->levels && !failed; i++) {
        Level *level = &job->level[i];
        failed = make_sums(family, level, i + 1 < job->levels) < 0;
        if (!failed)
            average_level(family, &job->voxels, i ? &level[-1].sums : NULL, level->factors,
                          level->step, flip, &level->out, &level->sums, acc, starts, ahead_starts);
    }
    for (int i = 0; i < job->levels; i++)
        for (int plane = 0; plane < 2; plane++) {
            free(job->level[i].sums.rows[plane]);
            free(job->level[i].sums.planes[plane].data);
        }
    free(acc[0]);
    free(acc[1]);
    return failed ? -1 : 0;
}

static int
mode_all(Job *job, void *memory, const char **starts, const char **ahead_starts)
{
    const Moder mode = moder_of(job->itemsize);

    for (int i = 0; i < job->levels; i++) {
        Level *level = &job->level[i];
        mode_level(mode, i ? &level[-1].out : &job->voxels, level->factors,
                   &level->out, memory, starts, ahead_starts);
    }
    return 0;
}

/* How many voxels a cell has at most, of the level before.  */
static Size
largest_cell(const Job *job)
{
    Size most = 1;

    for (int i = 0; i < job->levels; i++) {
        Size voxels = 1;
        for (int axis = 0; axis < RANK; axis++)
            voxels *= job->level[i].factors[axis];
        most = voxels > most ? voxels : most;
    }
    return most;
}

static int
run(Job *job, int what)
{
    const Family *family = NULL;
    uint64_t flip = what == 'i' ? (uint64_t)1 << (8 * job->itemsize - 1) : 0;
    const size_t cell = (size_t)largest_cell(job);
    const char **starts = malloc(2 * cell * sizeof *starts); /* of these rows, and of those ahead */
    void *memory = what == 'm' ? malloc(cell * (size_t)job->itemsize) : NULL;
    int result = -1;

    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i].size == job->itemsize && families[i].is_float == (what == 'f'))
            family = &families[i];
    if (starts != NULL && what == 'm' && memory != NULL)
        result = mode_all(job, memory, starts, starts + cell);
    else if (starts != NULL && what != 'm' && family != NULL)
        result = average_all(job, family, flip, starts, starts + cell);
    free(memory);
    free(starts);
    return result;
}

PyDoc_STRVAR(reduce_doc,
             "reduce(what, voxels, steps, outs)\n--\n\n"
             "Write the scales of some voxels: what is 'u', 'i' or 'f' for the means of unsigned,\n"
             "signed or floating-point numbers, 'm' for the mode of labels.");

static PyObject *
reduce(PyObject *Py_UNUSED(module), PyObject *args)
{
    int what, failed = 0;
    PyObject *voxels, *steps, *outs;
    Job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return PyErr_NoMemory();
    if (!PyArg_ParseTuple(args, "COO!O!:reduce", &what, &voxels, &PyTuple_Type, &steps,
                          &PyTuple_Type, &outs))
        failed = 1;
    else if (what == 0 || strchr("uifm", what) == NULL || PyTuple_Size(steps) > LEVELS ||
             PyTuple_Size(steps) != PyTuple_Size(outs)) {
        PyErr_SetString(PyExc_ValueError, "as many outs as steps are needed, of a known kind");
        failed = 1;
    }
    else
        failed = take_grid(voxels, 0, &job->view, &job->voxels) < 0;
    job->itemsize = job->view.itemsize;
    Size size = job->itemsize;
    if (!failed && size != 8 && size != 4 && (what == 'f' || (size != 1 && size != 2))) {
        PyErr_SetString(PyExc_ValueError, "voxels of this size have no such scale");
        failed = 1;
    }
    for (Size i = 0; !failed && i < PyTuple_Size(steps); i++) {
        PyObject *step = PyTuple_GetItem(steps, i);
        if (!PyTuple_Check(step)) {
            PyErr_SetString(PyExc_TypeError, "a step is a tuple");
            failed = 1;
        }
        else
            failed = take_level(job, step, PyTuple_GetItem(outs, i)) < 0;
    }
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = run(job, what) < 0;
        Py_END_ALLOW_THREADS
        if (failed)
            PyErr_NoMemory();
    }
    for (int i = 0; i < job->levels; i++)
        if (job->level[i].view.obj != NULL)
            PyBuffer_Release(&job->level[i].view);
    if (job->view.obj != NULL)
        PyBuffer_Release(&job->view);
    free(job);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"reduce", reduce, METH_VARARGS, reduce_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_downsample",
    .m_doc = "The mean and the mode of the cells of a volume.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__downsample(void)
{
    return PyModuleDef_Init(&module);
}
