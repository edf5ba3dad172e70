/* Points in the quarter circle, counted as scoopsci.estimation.kernels counts them: with the same
   lanes and the same bits.

       circle K0 K1 FIRST_BLOCK N_BLOCKS

   prints the number of points of these blocks that are inside, and the time in nanoseconds. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifndef LANES_IN_REGISTERS
#define LANES_IN_REGISTERS 32
#endif

#define N_LANES 4096
#define N_MIXING 18
#define BLOCK_SIZE (1 << 22)

typedef struct {
    uint64_t a[LANES_IN_REGISTERS], b[LANES_IN_REGISTERS], c[LANES_IN_REGISTERS];
    uint64_t counter;
} Lanes;

/* The halves are signed coordinates. */
static uint64_t is_outside(uint64_t drawn)
{
    int64_t x = (int64_t)drawn >> 32;
    int64_t y = (int32_t)drawn;

    return (uint64_t)(x * x + y * y) >> 62;
}

/* Advance the lanes, and count the points drawn that are outside. A local copy of the lanes, whose
   address is never taken, can stay in registers. */
static uint64_t take_steps(Lanes *lanes, int n_steps)
{
    Lanes now = *lanes;
    uint64_t outside[LANES_IN_REGISTERS] = {0};
    uint64_t n_outside = 0;

    for (int step = 0; step < n_steps; step++, now.counter++) {
        for (int i = 0; i < LANES_IN_REGISTERS; i++) {
            uint64_t drawn = now.a[i] + now.b[i] + now.counter;
            now.a[i] = now.b[i] ^ (now.b[i] >> 11);
            now.b[i] = now.c[i] + (now.c[i] << 3);
            now.c[i] = ((now.c[i] << 24) | (now.c[i] >> 40)) + drawn;

            uint64_t turned = ((drawn << 16) & 0xFFFF0000FFFF0000)
                              | ((drawn >> 16) & 0x0000FFFF0000FFFF);
            outside[i] += is_outside(drawn) + is_outside(turned);
        }
    }
    *lanes = now;
    for (int i = 0; i < LANES_IN_REGISTERS; i++)
        n_outside += outside[i];
    return n_outside;
}

static uint64_t count_inside(uint64_t k0, uint64_t k1, uint64_t block)
{
    uint64_t n_outside = 0;

    for (int group = 0; group < N_LANES; group += LANES_IN_REGISTERS) {
        Lanes lanes = {.counter = 1};
        for (int i = 0; i < LANES_IN_REGISTERS; i++) {
            lanes.a[i] = k0;
            lanes.b[i] = k1;
            lanes.c[i] = block * N_LANES + group + i;
        }
        take_steps(&lanes, N_MIXING);
        n_outside += take_steps(&lanes, BLOCK_SIZE / (2 * N_LANES));
    }
    return BLOCK_SIZE - n_outside;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s K0 K1 FIRST_BLOCK N_BLOCKS\n", argv[0]);
        return 2;
    }
    uint64_t k0 = strtoull(argv[1], NULL, 10);
    uint64_t k1 = strtoull(argv[2], NULL, 10);
    uint64_t first = strtoull(argv[3], NULL, 10);
    uint64_t end = first + strtoull(argv[4], NULL, 10);
    uint64_t n_inside = 0;

    int64_t start_ns = now_ns();
    for (uint64_t block = first; block < end; block++)
        n_inside += count_inside(k0, k1, block);
    int64_t taken_ns = now_ns() - start_ns;
    printf("%" PRIu64 " %" PRId64 "\n", n_inside, taken_ns);
    return 0;
}
