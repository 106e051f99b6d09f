/* example.c - a visitor book in an Orbit store inside the program.
 *
 * Build: cc example.c $(pkg-config --static --cflags --libs orbit) -o example
 * Run:   ./example FOLDER
 * Each run adds one visit, in one batch with the count of all visits, and lists what is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orbit.h>

static void
must(int error)
{
    if (error != ORBIT_OK) {
        fprintf(stderr, "%s: %s\n", orbit_error_name(error), orbit_message());
        exit(1);
    }
}

int
main(int argc, char **argv)
{
    struct orbit_options options = {.dir = argc > 1 ? argv[1] : "example-data"};
    struct orbit_scan_options visits = {
        .lower = "visit:", .lower_size = 6, .upper = "visit;", .upper_size = 6};
    struct orbit_batch *batch = orbit_batch_new();
    struct orbit_scan *scan;
    struct orbit *db;
    const void *key, *text;
    void *count_text;
    size_t key_size, text_size;
    char name[32], line[64];
    unsigned count = 0;

    must(orbit_open(&options, &db));
    if (orbit_get(db, "count", 5, &count_text, &text_size) == ORBIT_OK) {
        memcpy(&count, count_text, sizeof(count));
        orbit_free(count_text);
    }
    count++;
    snprintf(name, sizeof(name), "visit:%06u", count);
    snprintf(line, sizeof(line), "visitor number %u was here", count);
    must(orbit_batch_put(batch, name, strlen(name), line, strlen(line), 0));
    must(orbit_batch_put(batch, "count", 5, &count, sizeof(count), 0));
    must(orbit_batch_commit(db, batch)); /* Both or none, and on stable storage now. */

    must(orbit_scan_new(db, &visits, &scan));
    while (orbit_scan_next(scan, &key, &key_size, &text, &text_size) == ORBIT_OK) {
        printf("%.*s = %.*s\n", (int)key_size, (const char *)key, (int)text_size,
               (const char *)text);
    }
    orbit_scan_free(&scan);
    orbit_batch_free(&batch);
    orbit_close(&db);
    return 0;
}
