/* feed.c - follows a database: prints each committed transaction, and remembers where it was.
 *
 * Build: cc feed.c $(pkg-config --static --cflags --libs orbit) -o feed
 * Run:   ./feed FOLDER [NAME VALUE]
 * A run sets the name, if it is given one, and then prints what was committed since the run before.
 * The place goes to the file FOLDER.place behind each transaction: whenever it is killed, the next
 * run goes on there, and only the transaction that it was about to note may come a second time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orbit.h>

enum { CHANGES_AT_ONCE = 64 };

static char place_path[4096];

static void
must(int error)
{
    if (error != ORBIT_OK) {
        fprintf(stderr, "%s: %s\n", orbit_error_name(error), orbit_message());
        exit(1);
    }
}

/* Is there a place from an earlier run? */
static bool
place_load(struct orbit_feed_place *place)
{
    FILE *file = fopen(place_path, "r");
    unsigned long long commit = 0;
    unsigned int shard = 0;
    bool is_there = file != NULL && fscanf(file, "%llu %u", &commit, &shard) == 2;

    if (file != NULL) {
        fclose(file);
    }
    *place = (struct orbit_feed_place){.commit = commit, .shard = shard};
    return is_there;
}

static void
place_save(const struct orbit_feed_place *place)
{
    char path[sizeof(place_path) + 4];
    FILE *file;

    snprintf(path, sizeof(path), "%s.new", place_path);
    file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fprintf(file, "%llu %u\n", (unsigned long long)place->commit, (unsigned int)place->shard);
    if (fclose(file) != 0 || rename(path, place_path) != 0) {
        perror(place_path);
        exit(1);
    }
}

static void
change_print(const struct orbit_change *change)
{
    static const char *const kinds[] = {"put", "delete", "delete range"};

    printf("  %s %.*s", kinds[change->kind], (int)change->key_size, (const char *)change->key);
    if (change->kind == ORBIT_CHANGE_PUT) {
        printf(" = %.*s", (int)change->value_size, (const char *)change->value);
    }
    printf("\n");
}

/* As many as are there; none is waited for longer than the time. */
static unsigned int
follow(struct orbit_feed *feed, uint32_t timeout_ms)
{
    struct orbit_change changes[CHANGES_AT_ONCE];
    struct orbit_feed_txn txn;
    unsigned int seen = 0;
    size_t count;
    int error;

    while ((error = orbit_feed_next(feed, timeout_ms, &txn)) == ORBIT_OK) {
        printf("at %llu by '%s'\n", (unsigned long long)txn.commit_us, txn.principal);
        while ((error = orbit_feed_changes(feed, changes, CHANGES_AT_ONCE, &count)) == ORBIT_OK) {
            for (size_t i = 0; i < count; i++) {
                change_print(&changes[i]);
            }
        }
        must(error == ORBIT_NOT_FOUND ? ORBIT_OK : error); /* Behind the last change. */
        place_save(&txn.place);
        seen++;
    }
    must(error == ORBIT_TIMEOUT ? ORBIT_OK : error); /* Nothing more for now. */
    return seen;
}

int
main(int argc, char **argv)
{
    struct orbit_options options = {
        .dir = argc > 1 ? argv[1] : "feed-data", .shards = 2, .retention_s = 24 * 3600};
    struct orbit_feed_options from = {0};
    struct orbit_feed_place place;
    struct orbit_feed *feed;
    struct orbit *db;

    snprintf(place_path, sizeof(place_path), "%s.place", options.dir);
    must(orbit_open(&options, &db));
    if (argc > 3) {
        must(orbit_put(db, argv[2], strlen(argv[2]), argv[3], strlen(argv[3]), 0));
    }
    if (place_load(&place)) {
        from.behind = &place;
    }
    must(orbit_feed_open(db, &from, &feed));
    printf("%u transactions\n", follow(feed, 500));
    orbit_feed_free(&feed);
    orbit_close(&db);
    return 0;
}
