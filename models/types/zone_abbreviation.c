/* models/types/zone_abbreviation.c - abbreviations of time zones: PostgreSQL's set "Default".
 *
 * Those with a zone have changed their meaning over time: the zone says what they mean. */
#include <strings.h>

#include "engine/base/assert.h"
#include "models/types/zone.h"

#include "engine/base/poison.h"

#define FIXED(name, offset)                                                                        \
    {                                                                                              \
        (name), (offset), false, NULL                                                              \
    }
#define DAYLIGHT(name, offset)                                                                     \
    {                                                                                              \
        (name), (offset), true, NULL                                                               \
    }
#define NAMED(name, zone)                                                                          \
    {                                                                                              \
        (name), 0, false, (zone)                                                                   \
    }

/* Sorted by name. */
static const struct zone_abbreviation table[] = {
    DAYLIGHT("acdt", 37800),
    DAYLIGHT("acsst", 37800),
    FIXED("acst", 34200),
    FIXED("act", -18000),
    FIXED("acwst", 31500),
    DAYLIGHT("adt", -10800),
    DAYLIGHT("aedt", 39600),
    DAYLIGHT("aesst", 39600),
    FIXED("aest", 36000),
    FIXED("aft", 16200),
    DAYLIGHT("akdt", -28800),
    FIXED("akst", -32400),
    DAYLIGHT("almst", 25200),
    FIXED("almt", 21600),
    NAMED("amst", "Asia/Yerevan"),
    FIXED("amt", -14400),
    NAMED("anast", "Asia/Anadyr"),
    NAMED("anat", "Asia/Anadyr"),
    NAMED("arst", "America/Argentina/Buenos_Aires"),
    NAMED("art", "America/Argentina/Buenos_Aires"),
    FIXED("ast", -14400),
    DAYLIGHT("awsst", 32400),
    FIXED("awst", 28800),
    DAYLIGHT("azost", 0),
    FIXED("azot", -3600),
    NAMED("azst", "Asia/Baku"),
    NAMED("azt", "Asia/Baku"),
    DAYLIGHT("bdst", 7200),
    FIXED("bdt", 21600),
    FIXED("bnt", 28800),
    FIXED("bort", 28800),
    FIXED("bot", -14400),
    FIXED("bra", -10800),
    DAYLIGHT("brst", -7200),
    FIXED("brt", -10800),
    DAYLIGHT("bst", 3600),
    FIXED("btt", 21600),
    DAYLIGHT("cadt", 37800),
    FIXED("cast", 34200),
    FIXED("cct", 28800),
    DAYLIGHT("cdt", -18000),
    DAYLIGHT("cest", 7200),
    FIXED("cet", 3600),
    DAYLIGHT("cetdst", 7200),
    DAYLIGHT("chadt", 49500),
    FIXED("chast", 45900),
    FIXED("chut", 36000),
    NAMED("ckt", "Pacific/Rarotonga"),
    DAYLIGHT("clst", -10800),
    NAMED("clt", "America/Santiago"),
    FIXED("cot", -18000),
    FIXED("cst", -21600),
    FIXED("cxt", 25200),
    NAMED("davt", "Antarctica/Davis"),
    FIXED("ddut", 36000),
    NAMED("easst", "Pacific/Easter"),
    NAMED("east", "Pacific/Easter"),
    FIXED("eat", 10800),
    DAYLIGHT("edt", -14400),
    DAYLIGHT("eest", 10800),
    FIXED("eet", 7200),
    DAYLIGHT("eetdst", 10800),
    DAYLIGHT("egst", 0),
    FIXED("egt", -3600),
    FIXED("est", -18000),
    FIXED("fet", 10800),
    DAYLIGHT("fjst", 46800),
    FIXED("fjt", 43200),
    NAMED("fkst", "Atlantic/Stanley"),
    NAMED("fkt", "Atlantic/Stanley"),
    DAYLIGHT("fnst", -3600),
    FIXED("fnt", -7200),
    FIXED("galt", -21600),
    FIXED("gamt", -32400),
    NAMED("gest", "Asia/Tbilisi"),
    NAMED("get", "Asia/Tbilisi"),
    FIXED("gft", -10800),
    FIXED("gilt", 43200),
    FIXED("gmt", 0),
    NAMED("gyt", "America/Guyana"),
    FIXED("hkt", 28800),
    FIXED("hst", -36000),
    FIXED("ict", 25200),
    DAYLIGHT("idt", 10800),
    NAMED("iot", "Indian/Chagos"),
    NAMED("irkst", "Asia/Irkutsk"),
    NAMED("irkt", "Asia/Irkutsk"),
    FIXED("irt", 12600),
    FIXED("ist", 7200),
    FIXED("jayt", 32400),
    FIXED("jst", 32400),
    DAYLIGHT("kdt", 36000),
    DAYLIGHT("kgst", 21600),
    NAMED("kgt", "Asia/Bishkek"),
    NAMED("kost", "Pacific/Kosrae"),
    NAMED("krast", "Asia/Krasnoyarsk"),
    NAMED("krat", "Asia/Krasnoyarsk"),
    FIXED("kst", 32400),
    NAMED("lhdt", "Australia/Lord_Howe"),
    FIXED("lhst", 37800),
    FIXED("ligt", 36000),
    NAMED("lint", "Pacific/Kiritimati"),
    NAMED("lkt", "Asia/Colombo"),
    NAMED("magst", "Asia/Magadan"),
    NAMED("magt", "Asia/Magadan"),
    FIXED("mart", -34200),
    NAMED("mawt", "Antarctica/Mawson"),
    DAYLIGHT("mdt", -21600),
    DAYLIGHT("mest", 7200),
    DAYLIGHT("mesz", 7200),
    FIXED("met", 3600),
    DAYLIGHT("metdst", 7200),
    FIXED("mez", 3600),
    FIXED("mht", 43200),
    FIXED("mmt", 23400),
    FIXED("mpt", 36000),
    DAYLIGHT("msd", 14400),
    NAMED("msk", "Europe/Moscow"),
    FIXED("mst", -25200),
    DAYLIGHT("must", 18000),
    FIXED("mut", 14400),
    FIXED("mvt", 18000),
    FIXED("myt", 28800),
    DAYLIGHT("ndt", -9000),
    FIXED("nft", -12600),
    NAMED("novst", "Asia/Novosibirsk"),
    NAMED("novt", "Asia/Novosibirsk"),
    FIXED("npt", 20700),
    FIXED("nst", -12600),
    NAMED("nut", "Pacific/Niue"),
    DAYLIGHT("nzdt", 46800),
    FIXED("nzst", 43200),
    FIXED("nzt", 43200),
    NAMED("omsst", "Asia/Omsk"),
    NAMED("omst", "Asia/Omsk"),
    DAYLIGHT("pdt", -25200),
    FIXED("pet", -18000),
    NAMED("petst", "Asia/Kamchatka"),
    NAMED("pett", "Asia/Kamchatka"),
    FIXED("pgt", 36000),
    FIXED("pht", 28800),
    DAYLIGHT("pkst", 21600),
    FIXED("pkt", 18000),
    DAYLIGHT("pmdt", -7200),
    FIXED("pmst", -10800),
    FIXED("pont", 39600),
    FIXED("pst", -28800),
    FIXED("pwt", 32400),
    DAYLIGHT("pyst", -10800),
    NAMED("pyt", "America/Asuncion"),
    FIXED("ret", 14400),
    DAYLIGHT("sadt", 37800),
    FIXED("sast", 7200),
    FIXED("sct", 14400),
    NAMED("sgt", "Asia/Singapore"),
    FIXED("taht", -36000),
    FIXED("tft", 18000),
    FIXED("tjt", 18000),
    NAMED("tkt", "Pacific/Fakaofo"),
    NAMED("tmt", "Asia/Ashgabat"),
    FIXED("tot", 46800),
    FIXED("trut", 36000),
    FIXED("tvt", 43200),
    FIXED("uct", 0),
    DAYLIGHT("ulast", 32400),
    NAMED("ulat", "Asia/Ulaanbaatar"),
    FIXED("ut", 0),
    FIXED("utc", 0),
    DAYLIGHT("uyst", -7200),
    FIXED("uyt", -10800),
    DAYLIGHT("uzst", 21600),
    FIXED("uzt", 18000),
    NAMED("vet", "America/Caracas"),
    NAMED("vlast", "Asia/Vladivostok"),
    NAMED("vlat", "Asia/Vladivostok"),
    NAMED("volt", "Europe/Volgograd"),
    FIXED("vut", 39600),
    DAYLIGHT("wadt", 28800),
    FIXED("wakt", 43200),
    FIXED("wast", 25200),
    FIXED("wat", 3600),
    DAYLIGHT("wdt", 32400),
    FIXED("wet", 0),
    DAYLIGHT("wetdst", 3600),
    FIXED("wft", 43200),
    DAYLIGHT("wgst", -7200),
    FIXED("wgt", -10800),
    FIXED("xjt", 21600),
    NAMED("yakst", "Asia/Yakutsk"),
    NAMED("yakt", "Asia/Yakutsk"),
    FIXED("yapt", 36000),
    DAYLIGHT("yekst", 21600),
    NAMED("yekt", "Asia/Yekaterinburg"),
    FIXED("z", 0),
    FIXED("zulu", 0),
};
enum { ABBREVIATION_COUNT = sizeof(table) / sizeof(table[0]) };

uint32_t
zone_abbreviation_count(void)
{
    return ABBREVIATION_COUNT;
}

const struct zone_abbreviation *
zone_abbreviation_get(uint32_t index)
{
    ASSERT(index < ABBREVIATION_COUNT);
    return &table[index];
}

const struct zone_abbreviation *
zone_abbreviation_find(struct slice name)
{
    uint32_t low = 0, high = ABBREVIATION_COUNT;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        size_t size = strlen(table[middle].name);
        int order = strncasecmp((const char *)name.data, table[middle].name, MIN(name.size, size));

        order = order != 0 ? order : (name.size > size) - (name.size < size);
        if (order == 0) {
            return &table[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
