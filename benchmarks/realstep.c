/* One step of a real run: reads its inputs from end to end, sleeps, writes its output.
 *
 *     cpods-bench-step SALT MICROSECONDS BYTES OUTPUT [INPUT...]
 *
 * The output is a stream of pseudo-random 64-bit words (xorshift64*), which nothing compresses. It begins with a mix of the salt,
 * the output's name and every word of every input: a step that was given other bytes than it should have makes other ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_WORDS = 1 << 15 };

static uint64_t block[BLOCK_WORDS];

static int fail(const char *doing, const char *path)
{
    fprintf(stderr, "cpods-bench-step: cannot %s %s: %s\n", doing, path, strerror(errno));
    return -1;
}

static uint64_t mixed(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return state ^ (state >> 29);
}

/* Fills the block as far as the file reaches; bytes read, -1 for an error. */
static ssize_t fill(int file)
{
    size_t have = 0;
    while (have < sizeof block) {
        ssize_t came = read(file, (char *)block + have, sizeof block - have);
        if (came < 0 && errno == EINTR)
            continue;
        if (came < 0)
            return -1;
        if (came == 0)
            break;
        have += (size_t)came;
    }
    return (ssize_t)have;
}

static int take(const char *path, uint64_t *state)
{
    int file = open(path, O_RDONLY);
    if (file < 0)
        return fail("read", path);
    for (;;) {
        ssize_t have = fill(file);
        if (have < 0) {
            fail("read", path);
            close(file);
            return -1;
        }
        memset((char *)block + have, 0, sizeof block - (size_t)have);
        for (size_t word = 0; word < ((size_t)have + 7) / 8; word++)
            *state = mixed(*state, block[word]);
        *state = mixed(*state, (uint64_t)have);
        if ((size_t)have < sizeof block)
            break;
    }
    return close(file);
}

static int give(const char *path, uint64_t bytes, uint64_t state)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file < 0)
        return fail("write", path);
    state |= 1; /* xorshift must not begin with 0 */
    while (bytes > 0) {
        size_t portion = bytes < sizeof block ? (size_t)bytes : sizeof block;
        for (size_t word = 0; word < (portion + 7) / 8; word++) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            block[word] = state * UINT64_C(0x2545F4914F6CDD1D);
        }
        for (size_t gone = 0; gone < portion;) {
            ssize_t went = write(file, (char *)block + gone, portion - gone);
            if (went < 0 && errno != EINTR) {
                fail("write", path);
                close(file);
                return -1;
            }
            gone += went > 0 ? (size_t)went : 0;
        }
        bytes -= portion;
    }
    return close(file) ? fail("write", path) : 0;
}

static uint64_t spelled(uint64_t state, const char *text)
{
    for (; *text; text++)
        state = mixed(state, (unsigned char)*text);
    return mixed(state, 0);
}

int main(int count, char **words)
{
    if (count < 5) {
        fprintf(stderr, "usage: cpods-bench-step SALT MICROSECONDS BYTES OUTPUT [INPUT...]\n");
        return 2;
    }
    uint64_t state = spelled(spelled(UINT64_C(0xCBF29CE484222325), words[1]), words[4]);
    for (int input = 5; input < count; input++)
        if (take(words[input], &state))
            return 1;
    long long left = atoll(words[2]);
    struct timespec rest = {left / 1000000, left % 1000000 * 1000};
    while (nanosleep(&rest, &rest) && errno == EINTR)
        ;
    return give(words[4], strtoull(words[3], NULL, 10), state) ? 1 : 0;
}
