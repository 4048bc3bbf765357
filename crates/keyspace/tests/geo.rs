//! Commands on places answer what Redis answers.
//!
//! Each line is a command and its reply.

mod transcript;

use transcript::check;

#[test]
fn places_and_distances() {
    check(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => 2
        GEOADD g CH 13.361389 38.115556 Palermo 0 0 Null => 1
        GEOADD g NX 1 1 Palermo => 0
        GEOADD g XX CH 0.1 0.1 Null => 1
        ZSCORE g Palermo => "3479099956230698"
        GEODIST g Palermo Catania => "166274.1516"
        GEODIST g Palermo Catania km => "166.2742"
        GEODIST g Palermo Catania MI => "103.3182"
        GEODIST g Palermo Palermo => "0.0000"
        GEODIST g Palermo x => nil
        GEODIST none a b => nil
        GEODIST g Palermo Catania cm => -ERR unsupported unit provided. please use M, KM, FT, MI
        GEODIST g Palermo Catania m m => -ERR syntax error
        GEOHASH g Palermo x Catania => ["sqc8b49rny0", nil, "sqdtr74hyu0"]
        GEOHASH g => []
        GEOHASH none a => [nil]
        GEOPOS g Palermo x => [["13.36138933897018433", "38.11555639549629859"], nil-array]
        GEOPOS none a => [nil-array]
        HELLO 3
        GEOPOS g Palermo => [[,13.36138933897018433, ,38.11555639549629859]]
        GEODIST g Palermo Catania km => "166.2742"
        "#,
    );
}

#[test]
fn wrong_places() {
    check(
        r#"
        GEOADD g 1 2 => -ERR wrong number of arguments for 'geoadd' command
        GEOADD g 181 0 a => -ERR invalid longitude,latitude pair 181.000000,0.000000
        GEOADD g 0 85.06 a => -ERR invalid longitude,latitude pair 0.000000,85.060000
        GEOADD g 1 1 a x 1 b => -ERR value is not a valid float
        GEOADD g NX XX 1 1 a => -ERR syntax error
        GEOADD g 1 1 a 2 => -ERR syntax error
        GEOADD g CH NX XX => -ERR syntax error
        EXISTS g => 0
        SET t x => +OK
        GEOADD t 1 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        GEOPOS t a => -WRONGTYPE Operation against a key holding the wrong kind of value
        GEOHASH t => -WRONGTYPE Operation against a key holding the wrong kind of value
        GEODIST t a b => -WRONGTYPE Operation against a key holding the wrong kind of value
        GEOSEARCH t FROMLONLAT 0 0 BYRADIUS 1 m => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn searches() {
    check(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1 17.24151 38.788135 edge2 => 4
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC => ["Catania", "Palermo"]
        GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH => [["Catania", "56.4413", 3479447370796909, ["15.08726745843887329", "37.50266842333162032"]], ["Palermo", "190.4424", 3479099956230698, ["13.36138933897018433", "38.11555639549629859"]], ["edge2", "279.7403", 3481342659049484, ["17.24151045083999634", "38.78813451624225195"]], ["edge1", "279.7405", 3479273021651468, ["12.7584877610206604", "38.78813451624225195"]]]
        GEOSEARCH g FROMMEMBER Palermo BYRADIUS 100 mi DESC => ["edge1", "Palermo"]
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 500 km COUNT 2 => ["Catania", "Palermo"]
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 500 km COUNT 1 DESC => ["edge1"]
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km => []
        GEOSEARCH none FROMMEMBER x BYRADIUS 1 km => []
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST => 2
        ZRANGE d 0 -1 => ["Catania", "Palermo"]
        ZRANGEBYSCORE d 56.44 56.45 => ["Catania"]
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 => 1
        ZRANGE d 0 -1 WITHSCORES => ["Catania", "3479447370796909"]
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 1 m => 0
        EXISTS d => 0
        "#,
    );
}

#[test]
fn wrong_searches() {
    check(
        r#"
        GEOADD g 1 1 a => 1
        GEOSEARCH g FROMMEMBER x BYRADIUS 1 m => -ERR could not decode requested zset member
        GEOSEARCH g FROMMEMBER a FROMLONLAT 1 1 BYRADIUS 1 m => -ERR syntax error
        GEOSEARCH g FROMMEMBER a BYRADIUS 1 m BYBOX 1 1 m => -ERR syntax error
        GEOSEARCH g ASC ASC ASC BYRADIUS 1 m => -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH
        geosearch g FROMMEMBER a ASC ASC ASC => -ERR exactly one of BYRADIUS and BYBOX can be specified for geosearch
        GEOSEARCH g FROMMEMBER a BYRADIUS x m => -ERR need numeric radius
        GEOSEARCH g FROMMEMBER a BYRADIUS -1 m => -ERR radius cannot be negative
        GEOSEARCH g FROMMEMBER a BYBOX x 1 m => -ERR need numeric width
        GEOSEARCH g FROMMEMBER a BYBOX 1 x m => -ERR need numeric height
        GEOSEARCH g FROMMEMBER a BYBOX 1 -1 m => -ERR height or width cannot be negative
        GEOSEARCH g FROMMEMBER a BYBOX 1 1 x => -ERR unsupported unit provided. please use M, KM, FT, MI
        GEOSEARCH g FROMMEMBER a BYRADIUS 1 m ANY => -ERR the ANY argument requires COUNT argument
        GEOSEARCH g FROMMEMBER a BYRADIUS 1 m COUNT 0 => -ERR COUNT must be > 0
        GEOSEARCH g FROMMEMBER a BYRADIUS 1 m COUNT x => -ERR value is not an integer or out of range
        GEOSEARCH g FROMMEMBER a BYRADIUS 1 m STORE d => -ERR syntax error
        GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 1 m WITHDIST => -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options
        GEORADIUS g 1 1 1 m WITHDIST STORE d => -ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options
        GEORADIUS_RO g 1 1 1 m STORE d => -ERR syntax error
        EXISTS d => 0
        "#,
    );
}

#[test]
fn the_older_commands() {
    check(
        r#"
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => 2
        GEORADIUS g 15 37 200 km WITHDIST => [["Palermo", "190.4424"], ["Catania", "56.4413"]]
        GEORADIUS_RO g 15 37 100 km => ["Catania"]
        GEORADIUSBYMEMBER g Catania 200 km ASC => ["Catania", "Palermo"]
        GEORADIUSBYMEMBER_RO g x 200 km => -ERR could not decode requested zset member
        GEORADIUSBYMEMBER none x bad km => []
        GEORADIUS g 15 37 200 km STORE d => 2
        GEORADIUS g 15 37 200 km STOREDIST e COUNT 1 => 1
        ZRANGE d 0 -1 => ["Palermo", "Catania"]
        ZRANGEBYSCORE e 56.44 56.45 => ["Catania"]
        GEORADIUS none 15 37 200 km STORE d => 0
        EXISTS d => 0
        COMMAND GETKEYS GEORADIUS g 15 37 200 km STORE d => ["g", "d"]
        "#,
    );
}

/// At the edges of the world, and for scores that are no places.
#[test]
fn odd_places() {
    check(
        r#"
        GEOADD g 180 85.05112878 corner -180 -85.05112878 other => 2
        GEOSEARCH g FROMMEMBER corner BYRADIUS 1 m => ["corner"]
        GEOSEARCH g FROMMEMBER other BYBOX 1 1 m => ["other"]
        ZADD g -1 a inf b 1e300 c => 3
        GEOPOS g a b c => [["180", "85.0511287799999991"], ["-179.99999731779098511", "-85.05112751263942528"], ["-179.99999731779098511", "-85.05112751263942528"]]
        GEOSEARCH g FROMLONLAT 0 0 BYRADIUS inf m COUNT 9 ANY => ["other"]
        "#,
    );
}
