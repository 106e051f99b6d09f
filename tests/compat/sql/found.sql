-- Statements that once ended the server or never came to an end.
CREATE TABLE pairs (q1 bigint, q2 bigint);
INSERT INTO pairs VALUES (1, 2), (3, 4);
CREATE TABLE words (t text);
INSERT INTO words VALUES ('a word that is longer than a few bytes'), ('short'), (NULL);

-- A whole row that the right side of a lateral join takes.
SELECT * FROM pairs i, LATERAL (VALUES (i)) ss ORDER BY 1;
SELECT * FROM pairs i, LATERAL (SELECT i, g FROM generate_series(1, 3) g) ss ORDER BY 1, 4;
SELECT * FROM words i, LATERAL (VALUES (i), (i)) ss WHERE t IS NOT NULL ORDER BY 1;
SELECT * FROM words i LEFT JOIN LATERAL (SELECT i WHERE i.t LIKE 's%') ss ON true ORDER BY 1;
CREATE VIEW rows_of_pairs AS SELECT * FROM pairs i, LATERAL (VALUES (i)) ss;
SELECT * FROM rows_of_pairs ORDER BY 1;
SELECT p.q1, (SELECT count(*) FROM words w, LATERAL (VALUES (w, p)) s) FROM pairs p ORDER BY 1;

-- Frames and sizes at the ends of bigint.
SELECT q1, sum(q1) OVER (ORDER BY q1 GROUPS BETWEEN CURRENT ROW AND 9223372036854775807 FOLLOWING)
  FROM pairs;
SELECT q1, sum(q1) OVER (ORDER BY q1 GROUPS BETWEEN 9223372036854775807 PRECEDING AND CURRENT ROW)
  FROM pairs;
SELECT q1, sum(q1) OVER (ORDER BY q1 GROUPS BETWEEN 9223372036854775807 FOLLOWING
  AND 9223372036854775807 FOLLOWING) FROM pairs;
SELECT q1, sum(q1) OVER (ORDER BY q1 ROWS BETWEEN CURRENT ROW AND 9223372036854775807 FOLLOWING)
  FROM pairs;
SELECT pg_size_pretty((-9223372036854775808)::bigint), pg_size_pretty(9223372036854775807::bigint);
SELECT pg_size_pretty(-10239::bigint), pg_size_pretty(-10240::bigint), pg_size_pretty(10240::bigint);

-- An ordered aggregate whose argument is a whole row.
SELECT json_agg(q ORDER BY x, y)
  FROM (SELECT x, y FROM generate_series(1, 2) x, generate_series(4, 5) y) q;
