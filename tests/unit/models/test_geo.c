/* Tests of models/kv/geohash.c, geo*.c and sort.c: places and their numbers, searches, SORT. */
#include <math.h>
#include <stdio.h>

#include "models/kv/geohash.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_geo, .timeout = 60);
TestSuite(kv_sort, .timeout = 60);

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

/* ---- Numbers of places ---- */

FIBER_TEST(kv_geo, a_place_comes_back_within_its_cell)
{
    struct prng prng;

    prng_init(&prng, 7);
    for (uint32_t i = 0; i < 10000; i++) {
        struct geo_point point = {
            .longitude = (double)prng_below(&prng, 360000000) / 1e6 - 180,
            .latitude = (double)prng_below(&prng, 170000000) / 1e6 - 85,
        };
        uint64_t score = geo_score(point);
        struct geo_point back = geo_decode(score);

        cr_assert_lt(score, UINT64_C(1) << 52);
        cr_assert_lt(fabs(back.longitude - point.longitude), 360.0 / (1 << 26));
        cr_assert_lt(fabs(back.latitude - point.latitude), 171.0 / (1 << 26));
        cr_assert_eq(geo_score(back), score);
        cr_assert_lt(geo_distance(point, back), 1.0);
    }
}

FIBER_TEST(kv_geo, the_cells_of_a_shape_hold_all_its_places)
{
    struct prng prng;

    prng_init(&prng, 8);
    for (uint32_t i = 0; i < 2000; i++) {
        struct geo_shape shape = {
            .center = {(double)prng_below(&prng, 340) - 170, (double)prng_below(&prng, 120) - 60},
            .radius = (double)(1 + prng_below(&prng, 300000)),
        };
        struct geo_point point = {
            shape.center.longitude + (double)prng_below(&prng, 600) / 100 - 3,
            shape.center.latitude + (double)prng_below(&prng, 600) / 100 - 3,
        };
        struct geo_cell cells[GEO_CELLS_MAX];
        bool is_covered = false;
        double distance;

        geo_shape_cells(&shape, cells);
        for (uint32_t j = 0; j < GEO_CELLS_MAX; j++) {
            uint64_t end = 0;
            uint64_t first = cells[j].steps == 0 ? 0 : geo_cell_scores(cells[j], &end);

            is_covered |= geo_score(point) >= first && geo_score(point) < end;
        }
        cr_assert(is_covered || !geo_shape_has(&shape, point, &distance),
                  "%f %f within %f of %f %f is in no cell", point.longitude, point.latitude,
                  shape.radius, shape.center.longitude, shape.center.latitude);
    }
}

/* ---- Commands ---- */

FIBER_TEST(kv_geo, places_are_added_found_and_measured)
{
    kv_fixture_open();
    EXPECT(":2\r\n", "GEOADD", "Sicily", "13.361389", "38.115556", "Palermo", "15.087269",
           "37.502669", "Catania");
    EXPECT("$11\r\n166274.1516\r\n", "GEODIST", "Sicily", "Palermo", "Catania");
    EXPECT("$8\r\n166.2742\r\n", "GEODIST", "Sicily", "Palermo", "Catania", "km");
    EXPECT("$-1\r\n", "GEODIST", "Sicily", "Palermo", "Rome");
    EXPECT("*2\r\n$11\r\nsqc8b49rny0\r\n$11\r\nsqdtr74hyu0\r\n", "GEOHASH", "Sicily", "Palermo",
           "Catania");
    EXPECT("*2\r\n*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n*-1\r\n",
           "GEOPOS", "Sicily", "Palermo", "Rome");
    EXPECT("$16\r\n3479099956230698\r\n", "ZSCORE", "Sicily", "Palermo");
    EXPECT("*2\r\n$7\r\nCatania\r\n$7\r\nPalermo\r\n", "GEORADIUS", "Sicily", "15", "37", "200",
           "km", "ASC");
    EXPECT("*1\r\n*2\r\n$7\r\nPalermo\r\n$8\r\n190.4424\r\n", "GEOSEARCH", "Sicily", "FROMLONLAT",
           "15", "37", "BYBOX", "400", "400", "km", "DESC", "COUNT", "1", "WITHDIST");
    EXPECT(":1\r\n", "GEOSEARCHSTORE", "near", "Sicily", "FROMMEMBER", "Catania", "BYRADIUS", "10",
           "km", "STOREDIST");
    EXPECT("*2\r\n$7\r\nCatania\r\n$1\r\n0\r\n", "ZRANGE", "near", "0", "-1", "WITHSCORES");
    kv_fixture_close();
}

FIBER_TEST(kv_geo, what_is_no_place_is_refused)
{
    kv_fixture_open();
    EXPECT("-ERR invalid longitude,latitude pair 181.000000,0.000000\r\n", "GEOADD", "g", "181",
           "0", "a");
    EXPECT("-ERR value is not a valid float\r\n", "GEOADD", "g", "x", "0", "a");
    EXPECT("-ERR syntax error\r\n", "GEOADD", "g", "NX", "XX", "1", "1", "a");
    EXPECT("-ERR unsupported unit provided. please use M, KM, FT, MI\r\n", "GEORADIUS", "g", "0",
           "0", "1", "parsec");
    EXPECT("-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH\r\n",
           "GEOSEARCH", "g", "BYRADIUS", "1", "m", "ASC", "WITHDIST");
    EXPECT("-ERR the ANY argument requires COUNT argument\r\n", "GEOSEARCH", "g", "FROMLONLAT", "0",
           "0", "BYRADIUS", "1", "m", "ANY");
    EXPECT("*0\r\n", "GEOSEARCH", "g", "FROMMEMBER", "a", "BYRADIUS", "1", "m");
    EXPECT(":0\r\n", "EXISTS", "g");
    kv_fixture_close();
}

FIBER_TEST(kv_geo, the_last_meridian_is_searched_too)
{
    kv_fixture_open();
    EXPECT(":2\r\n", "GEOADD", "g", "180", "10", "a", "20", "85.05112878", "b");
    EXPECT("*1\r\n$1\r\na\r\n", "GEORADIUSBYMEMBER", "g", "a", "0", "m");
    EXPECT("*1\r\n$1\r\nb\r\n", "GEORADIUSBYMEMBER", "g", "b", "0", "m");
    kv_fixture_close();
}

/* More places than one part of a search reads. */
FIBER_TEST(kv_geo, many_places_are_searched_in_parts)
{
    kv_fixture_open();
    for (uint32_t i = 0; i < 1500; i++) {
        char longitude[24];
        char latitude[24];
        char name[24];

        snprintf(longitude, sizeof(longitude), "%.4f", 10 + (double)(i % 40) / 100);
        snprintf(latitude, sizeof(latitude), "%.4f", 50 + (double)(i / 40) / 100);
        snprintf(name, sizeof(name), "p%u", i);
        cr_assert_eq(NUMBER("GEOADD", "g", longitude, latitude, name), 1);
    }
    cr_assert_eq(
        NUMBER("GEOSEARCHSTORE", "all", "g", "FROMLONLAT", "10.2", "50.2", "BYRADIUS", "500", "km"),
        1500);
    cr_assert_eq(NUMBER("GEOSEARCHSTORE", "some", "g", "FROMLONLAT", "10.2", "50.2", "BYRADIUS",
                        "500", "km", "COUNT", "700", "ANY"),
                 700);
    cr_assert_eq(memcmp(CALL("GEOSEARCH", "g", "FROMMEMBER", "p820", "BYBOX", "1", "1", "km").data,
                        "*1\r\n", 4),
                 0);
    kv_fixture_close();
}

/* ---- SORT ---- */

FIBER_TEST(kv_sort, numbers_and_texts_in_both_directions)
{
    kv_fixture_open();
    EXPECT(":4\r\n", "RPUSH", "l", "10", "9", "1.5", "-3");
    EXPECT("*4\r\n$2\r\n-3\r\n$3\r\n1.5\r\n$1\r\n9\r\n$2\r\n10\r\n", "SORT", "l");
    EXPECT("*2\r\n$1\r\n9\r\n$3\r\n1.5\r\n", "SORT", "l", "DESC", "LIMIT", "1", "2");
    EXPECT("*4\r\n$2\r\n-3\r\n$3\r\n1.5\r\n$2\r\n10\r\n$1\r\n9\r\n", "SORT", "l", "ALPHA");
    EXPECT(":5\r\n", "RPUSH", "l", "x");
    EXPECT("-ERR One or more scores can't be converted into double\r\n", "SORT", "l");
    EXPECT("+OK\r\n", "SET", "s", "x");
    EXPECT(WRONGTYPE, "SORT", "s");
    EXPECT("*0\r\n", "SORT", "none");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_sort, patterns_reach_other_keys_and_fields_on_all_shards, 3)
{
    kv_fixture_open();
    EXPECT(":3\r\n", "SADD", "s", "a", "b", "c");
    EXPECT("+OK\r\n", "MSET", "w_a", "3", "w_b", "1", "w_c", "2", "t_a", "A", "t_c", "C");
    EXPECT(":1\r\n", "HSET", "h_a", "f", "1");
    EXPECT(":1\r\n", "HSET", "h_b", "f", "2");
    EXPECT("*3\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\na\r\n", "SORT", "s", "BY", "w_*");
    EXPECT("*6\r\n$1\r\nb\r\n$-1\r\n$1\r\nc\r\n$1\r\nC\r\n$1\r\na\r\n$1\r\nA\r\n", "SORT", "s",
           "BY", "w_*", "GET", "#", "GET", "t_*");
    EXPECT("*3\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nb\r\n", "SORT", "s", "BY", "h_*->f");
    EXPECT("*3\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nb\r\n", "SORT", "s", "BY", "h_*->f", "ALPHA");
    EXPECT(":3\r\n", "SORT", "s", "BY", "w_*", "GET", "t_*", "STORE", "l");
    EXPECT("*3\r\n$0\r\n\r\n$1\r\nC\r\n$1\r\nA\r\n", "LRANGE", "l", "0", "-1");
    EXPECT(":0\r\n", "SORT", "none", "STORE", "l");
    EXPECT(":0\r\n", "EXISTS", "l");
    kv_fixture_close();
}

FIBER_TEST(kv_sort, without_an_order_lists_and_sorted_sets_keep_theirs)
{
    kv_fixture_open();
    EXPECT(":3\r\n", "ZADD", "z", "1", "c", "2", "b", "3", "a");
    EXPECT("*2\r\n$1\r\nb\r\n$1\r\na\r\n", "SORT", "z", "BY", "nosort", "LIMIT", "1", "2");
    EXPECT("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "SORT", "z", "BY", "nosort", "DESC", "LIMIT", "0", "2");
    EXPECT(":3\r\n", "SORT", "z", "BY", "nosort", "STORE", "l");
    EXPECT("*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n", "LRANGE", "l", "0", "-1");
    EXPECT("-ERR syntax error\r\n", "SORT_RO", "z", "BY", "nosort", "STORE", "l");
    kv_fixture_close();
}

FIBER_TEST(kv_sort, a_script_sees_the_members_of_a_set_in_the_order_of_their_bytes)
{
    kv_fixture_open();
    EXPECT(":5\r\n", "SADD", "s", "b", "c", "azz", "a", "aa");
    EXPECT("*5\r\n$1\r\na\r\n$2\r\naa\r\n$3\r\nazz\r\n$1\r\nb\r\n$1\r\nc\r\n", "EVAL",
           "return redis.call('SORT', KEYS[1], 'BY', '_')", "1", "s");
    EXPECT("*2\r\n$1\r\nc\r\n$1\r\nb\r\n", "EVAL",
           "return redis.call('SORT_RO', KEYS[1], 'BY', '_', 'DESC', 'LIMIT', 0, 2, 'GET', '#')",
           "1", "s");
    /* Lists have an order of their own. */
    EXPECT(":2\r\n", "RPUSH", "l", "b", "a");
    EXPECT("*2\r\n$1\r\nb\r\n$1\r\na\r\n", "EVAL", "return redis.call('SORT', KEYS[1], 'BY', '_')",
           "1", "l");
    kv_fixture_close();
}
