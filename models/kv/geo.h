/* models/kv/geo.h - what the commands on places share: geo.c, geo_search.c. A place is a member of
 * a sorted set whose score is its number of 52 bits (geohash.h). */
#pragma once

#include "models/kv/geohash.h"
#include "models/kv/zset_words.h"

/* Words of a call; on an error they reply and return false. */
bool geo_parse_point(struct kv_request *request, const struct slice *words,
                     struct geo_point *point_out);
bool geo_parse_unit(struct kv_request *request, struct slice word, double *metres_out);

struct geo_point geo_point_of(double score);

void geo_reply_distance(struct kv_request *request, double distance); /* Four digits. */
void geo_reply_point(struct kv_request *request, struct geo_point point);
