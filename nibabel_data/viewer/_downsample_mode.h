/* The mode of cells of labels of BITS bits, in vectors of so many BYTES: included by _downsample.c
   once for each, and for each kind of processor (TARGET).

   Labels are compared as if one less and unsigned: 0 is the largest, negative ones come before it.
   Cells of 2, 4 and 8 voxels are sorted many at once by a network of 8 (Knuth, TAOCP 3, 5.3.4), of
   which fewer voxels use a part, in vectors as GCC and Clang have them.  */

#define LANES (8 * BYTES / BITS)
#define JOIN_(A, B, C) A##_##B##_##C
#define JOIN(A, B, C) JOIN_(A, B, C)
#define NAMED(A) JOIN(A, BITS, BYTES)
#define TYPE_(A, B) A##B##_t
#define TYPE(A, B) TYPE_(A, B)

#define T TYPE(uint, BITS)
#define S TYPE(int, BITS)

#ifdef VECTORS

#define U NAMED(unsigned_vector)
#define V NAMED(vector)

typedef T U __attribute__((vector_size(BYTES)));
typedef S V __attribute__((vector_size(BYTES)));
typedef S NAMED(anywhere) __attribute__((vector_size(BYTES), aligned(BITS / 8), may_alias));

/* Write the modes of as many cells of 2, 4 or 8 voxels as a vector has of labels.  */
TARGET INLINE void NAMED(few)(T *out, const T *const *rows, Size at, const int count,
                              const int factor)
{
    const T top = (T)((T)1 << (BITS - 1));
    const int voxels = count * factor;
    V in[4][2], v[8], other = {0};
    uint64_t parts[BYTES / 8], any = 0;

    for (int k = 0; k < count; k++)
        for (int half = 0; half < factor; half++) {
            in[k][half] = *(const NAMED(anywhere) *)(rows[k] + at * factor + half * LANES);
            other |= in[k][half] ^ in[0][half];
        }
    for (int k = 0; k < count; k++)
        if (factor == 1)
            v[k] = in[k][0];
        else {
            v[2 * k] = __builtin_shufflevector(in[k][0], in[k][1], NAMED(EVEN));
            v[2 * k + 1] = __builtin_shufflevector(in[k][0], in[k][1], NAMED(ODD));
        }
    if (factor == 2)
        other |= v[0] ^ v[1];
    memcpy(parts, &other, sizeof other);
    for (int i = 0; i < BYTES / 8; i++)
        any |= parts[i];
    if (any == 0) { /* each cell has one label */
        *(NAMED(anywhere) *)(out + at) = v[0];
        return;
    }
    for (int k = 0; k < voxels; k++)
        v[k] = (V)(((U)v[k] - 1) ^ top);
    SORT(0, 2) SORT(1, 3) SORT(4, 6) SORT(5, 7) SORT(0, 4) SORT(1, 5) SORT(2, 6) SORT(3, 7)
    SORT(0, 1) SORT(2, 3) SORT(4, 5) SORT(6, 7) SORT(2, 4) SORT(3, 5) SORT(1, 4) SORT(3, 6)
    SORT(1, 2) SORT(3, 4) SORT(5, 6)
    V best = v[0], run = {0}, longest = {0};
    for (int k = 1; k < voxels; k++) {
        V same = (V)(v[k] == v[k - 1]);
        run = (run + 1) & same;
        V longer = (V)(run > longest);
        best ^= (best ^ v[k]) & longer;
        longest -= longer; /* a run grows by one at a time */
    }
    *(NAMED(anywhere) *)(out + at) = (V)(((U)best ^ top) + 1);
}

TARGET INLINE Size NAMED(rows_of_few)(T *out, const T *const *rows, const int count,
                                      const int factor, Size cells)
{
    Size at = 0;

    for (; at + LANES <= cells; at += LANES)
        NAMED(few)(out, rows, at, count, factor);
    return at;
}

#undef U
#undef V
#endif

static T NAMED(of_many)(const T *const *rows, Size count, Size at, Size width, T *sorted)
{
    Size n = 0, run = 1, longest = 1;
    for (Size k = 0; k < count; k++)
        for (Size x = at; x < at + width; x++)
            sorted[n++] = (T)(rows[k][x] - 1);
    for (Size gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
        for (Size x = gap; x < n; x++) {
            T label = sorted[x];
            Size to = x;
            for (; to >= gap && sorted[to - gap] > label; to -= gap)
                sorted[to] = sorted[to - gap];
            sorted[to] = label;
        }
    T best = sorted[0];
    for (Size x = 1; x < n; x++) {
        run = sorted[x] == sorted[x - 1] ? run + 1 : 1;
        if (run > longest) {
            longest = run;
            best = sorted[x];
        }
    }
    return (T)(best + 1);
}

/* Of one cell of any size.  */
static T NAMED(of_any)(const T *const *rows, Size count, Size at, Size width, void *memory)
{
    T labels[FEW] = {0};
    Size counts[FEW] = {0};
    int known = 0, place = 0, best = 0;
    for (Size k = 0; k < count; k++)
        for (Size x = at; x < at + width; x++) {
            T label = (T)(rows[k][x] - 1);
            if (known == 0 || labels[place] != label) {
                for (place = 0; place < known && labels[place] != label;)
                    place++;
                if (place == FEW)
                    return NAMED(of_many)(rows, count, at, width, memory);
                if (place == known)
                    labels[known++] = label;
            }
            counts[place]++;
        }
    for (int i = 1; i < known; i++)
        if (counts[i] > counts[best] || (counts[i] == counts[best] && labels[i] < labels[best]))
            best = i;
    return (T)(labels[best] + 1);
}

TARGET static void NAMED(mode)(void *to, const char *const *starts, Size count, Size n,
                               Size factor, void *memory)
{
    T *restrict out = to;
    const T *const *rows = (const T *const *)starts;
    Size j = 0, whole = n / factor;
    if (factor == 1 && count == 1) {
        memcpy(out, rows[0], (size_t)n * sizeof(T));
        return;
    }
#ifdef VECTORS
    if (factor == 2 && count == 4)
        j = NAMED(rows_of_few)(out, rows, 4, 2, whole);
    else if (factor == 2 && count == 2)
        j = NAMED(rows_of_few)(out, rows, 2, 2, whole);
    else if (factor == 2 && count == 1)
        j = NAMED(rows_of_few)(out, rows, 1, 2, whole);
    else if (factor == 1 && count == 4)
        j = NAMED(rows_of_few)(out, rows, 4, 1, whole);
    else if (factor == 1 && count == 2)
        j = NAMED(rows_of_few)(out, rows, 2, 1, whole);
#endif
    for (; j < whole; j++)
        out[j] = NAMED(of_any)(rows, count, j * factor, factor, memory);
    if (n % factor)
        out[whole] = NAMED(of_any)(rows, count, whole * factor, n % factor, memory);
}

#undef LANES
#undef JOIN_
#undef JOIN
#undef NAMED
#undef TYPE_
#undef TYPE
#undef T
#undef S
